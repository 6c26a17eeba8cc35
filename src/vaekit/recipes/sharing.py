r"""Arguments that recipes share, said once: in the signature and the docstring of a function they all end in."""

__all__ = ["sharing"]

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def sharing(base: Callable[..., Any], *, without: tuple[str, ...] = (), **defaults: Any) -> Callable[[F], F]:
    r"""Give a recipe the keyword arguments of another function, with defaults of its own.

    The recipe takes them as `**shared` and passes them on. Its signature and docstring, which are its command line,
    then list its own arguments and, after them, those of `base` that it has not got itself.

    Arguments:
        base: Whose keyword arguments with defaults are shared; its docstring describes them under "Args".
        without: Those that mean nothing to the recipe.
        defaults: Other defaults.

    Example:
        >>> def base(data, parts, *, epochs: int = 20, width: int = 8):
        ...     '''Base.
        ...
        ...     Args:
        ...         epochs: Passes over the data.
        ...         width: Of a layer.
        ...     '''
        ...     return epochs, width
        >>> @sharing(base, epochs=5)
        ... def recipe(data, *, beta: float = 1.0, **shared):
        ...     '''Recipe.
        ...
        ...     Args:
        ...         beta: A weight.
        ...     '''
        ...     return base(data, None, **shared)
        >>> inspect.signature(recipe)
        <Signature (data, *, beta: float = 1.0, epochs: int = 5, width: int = 8)>
        >>> recipe(None), recipe(None, epochs=7), recipe.__doc__.strip().splitlines()[-1].strip()
        ((5, 8), (7, 8), 'width: Of a layer.')
    """

    def decorate(recipe: F) -> F:
        own = inspect.signature(recipe)
        fixed = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        named = {p.name for p in fixed}
        unknown = defaults.keys() - inspect.signature(base).parameters.keys()
        if unknown:
            raise TypeError(f"{recipe.__name__} shares {', '.join(sorted(unknown))}, which {base.__name__} has not")
        shared = [
            p.replace(default=defaults.get(p.name, p.default))
            for p in inspect.signature(base).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.default is not p.empty and p.name not in named and p.name not in without
        ]
        passed = {p.name: p.default for p in shared}

        def call(*given: Any, **arguments: Any) -> Any:
            refused = arguments.keys() - named - passed.keys()
            if refused:
                raise TypeError(f"{recipe.__name__}() got unexpected arguments: {', '.join(sorted(refused))}")
            return recipe(*given, **{**passed, **arguments})

        call.__name__, call.__qualname__, call.__module__ = recipe.__name__, recipe.__qualname__, recipe.__module__
        call.__annotations__ = {**{p.name: p.annotation for p in (*fixed, *shared)}}
        call.__signature__ = own.replace(parameters=[*fixed, *shared])  # type: ignore[attr-defined]
        entries = _entries(base)
        lines = [line for p in shared for line in entries[p.name]]
        call.__doc__ = "\n".join([inspect.getdoc(recipe) or "", *lines])
        return call  # type: ignore[return-value]

    return decorate


def _entries(function: Callable[..., Any]) -> dict[str, list[str]]:
    """The lines of a docstring that describe each argument."""
    text = inspect.getdoc(function) or ""
    entries: dict[str, list[str]] = {}
    name = ""
    for line in text.partition("Args:\n")[2].splitlines():
        if line[:4].strip():
            break
        if line[4:5].strip():
            name = line.strip().partition(":")[0]
        entries.setdefault(name, []).append(line.rstrip())
    return entries
