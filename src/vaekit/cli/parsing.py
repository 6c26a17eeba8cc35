r"""From a function's signature and docstring to the arguments of a command, on jsonargparse."""

__all__ = ["add_arguments", "parse", "parser_for"]

import argparse
import inspect
import os
import re
import textwrap
import types
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Union, get_args, get_origin

from vaekit.errors import RequestError, nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_YES_NO = ("yes", "no")


def parser_for(prog: str, function: Callable[..., Any], skip: Collection[str] = ()) -> "ArgumentParser":
    r"""Return a parser of the arguments that a function takes; what it does not understand is a `RequestError`.

    A parameter without a default is positional, and one or more words if it is a list; any other is an option of its
    name with hyphens.

    Arguments:
        prog: The words of the command, for its help.
        function: Its signature has the types and the defaults, its docstring the help. An annotation in quotes names
            a type that is heavy to import: on the command line a name or a path stands for it.
        skip: Parameters that are left out.
    """
    import jsonargparse

    class Formatter(jsonargparse.DefaultHelpFormatter):
        def _get_help_string(self, action: Any) -> str:
            default = action.default
            shown = isinstance(default, str | int | float | tuple) and not isinstance(default, bool)
            shown = shown and default != argparse.SUPPRESS
            if not action.option_strings or not shown:
                return str(action.help or "")
            text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            return f"{action.help} [{text}]".replace("%", "%%")

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            paragraphs = re.split(r"\n\s*\n", text)
            return "\n\n".join(textwrap.fill(" ".join(p.split()), width, break_on_hyphens=False) for p in paragraphs)

        def _split_lines(self, text: str, width: int) -> list[str]:
            return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    class Parser(jsonargparse.ArgumentParser):
        hints: dict[str, Any] = {}  # noqa: RUF012 - every parser gets its own below

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise RequestError(_readable(message, self, self.hints))

    from docstring_parser import parse as parse_docstring

    parser = Parser(
        prog=prog,
        description=parse_docstring(inspect.getdoc(function) or "").description,
        epilog="Defaults are in [brackets].",
        formatter_class=Formatter,
        default_env=False,
        allow_abbrev=False,
    )
    parser.hints = {}
    add_arguments(parser, function, skip=skip, group="arguments")
    needed = [
        f"{name.upper()} ..." if get_origin(parser.hints[name]) is list else name.upper()
        for name, p in _parameters(function, skip).items()
        if p.default is p.empty
    ]
    parser.usage = " ".join([prog, *needed, "[--ARGUMENT VALUE ...]"])
    return parser


def add_arguments(parser: Any, function: Callable[..., Any], *, skip: Collection[str], group: str) -> None:
    r"""Add a function's arguments to a parser that `parser_for` made.

    Arguments:
        parser: The parser.
        function: As for `parser_for`.
        skip: Parameters that are left out.
        group: Heading of the arguments in the help.
    """
    from docstring_parser import parse as parse_docstring

    target = parser.add_argument_group(group)
    documented = parse_docstring(inspect.getdoc(function) or "").params
    described = {p.arg_name: " ".join((p.description or "").split()) for p in documented}
    for name, parameter in _parameters(function, skip).items():
        hint = parser.hints[name] = _shell_type(function.__annotations__[name])
        text, default, flag = described.get(name, ""), parameter.default, name.replace("_", "-")
        if default is parameter.empty and get_origin(hint) is list:  # one or more
            target.add_argument(name, type=get_args(hint)[0], nargs="+", help=text, metavar=name.upper())
        elif default is parameter.empty:
            target.add_argument(name, type=hint, help=text, metavar=name.upper())
        elif hint is bool and default:
            negated = f"Do not {text[:1].lower()}{text[1:]}"
            target.add_argument(f"--no-{flag}", dest=name, action="store_false", default=True, help=negated)
        elif hint is bool:
            target.add_argument(f"--{flag}", dest=name, action="store_true", default=False, help=text)
        else:
            options: dict[str, Any] = {"type": _widths if _is_widths(hint) else hint, "default": default, "help": text}
            if get_origin(hint) is not Literal:
                options["metavar"] = _metavar(name, hint)
            target.add_argument(f"--{flag}", dest=name, **options)


def parse(parser: Any, words: list[str], *, explicit_only: bool = False) -> dict[str, Any]:
    r"""Return the arguments by name.

    Arguments:
        parser: What `parser_for` made.
        words: The words after the command.
        explicit_only: Leave out those that were not given, instead of giving their defaults.

    Raises:
        RequestError: If an argument is unknown or missing, or a value is not of its type.

    Example:
        >>> def greet(name: str, times: int = 1, loud: bool | Literal["auto"] = "auto") -> None: ...
        >>> parse(parser_for("greet", greet), ["Ada", "--loud", "yes"])
        {'name': 'Ada', 'times': 1, 'loud': True}
    """
    values = vars(parser.parse_args(_joined(parser, words), defaults=not explicit_only))
    either = {name for name in values if _choices(parser.hints.get(name))[-2:] == _YES_NO}
    return {name: v == "yes" if name in either and v in _YES_NO else v for name, v in values.items()}


def _joined(parser: Any, words: list[str]) -> list[str]:
    """Write `--option -3:3` as `--option=-3:3`: a value that begins with a minus would be taken for an option."""
    valued = {option for action in parser._actions if action.nargs is None for option in action.option_strings}
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in valued and re.match(r"-\.?\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parameters(function: Callable[..., Any], skip: Collection[str]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD and name not in skip}


def _shell_type(hint: Any) -> Any:
    """The type of a parameter as given on the command line."""
    if isinstance(hint, str):
        return str
    kinds = _kinds(hint)
    if str in kinds and any(get_origin(kind) is os.PathLike for kind in kinds):
        return str
    if bool in kinds and len(kinds) > 1:
        return Literal[(*(choice for kind in kinds for choice in _choices(kind)), *_YES_NO)]
    return hint


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint, without None."""
    union = get_origin(hint) in (Union, types.UnionType)
    return tuple(kind for kind in (get_args(hint) if union else (hint,)) if kind is not type(None))


def _is_widths(hint: Any) -> bool:
    return _kinds(hint) == (tuple[int, ...],)


def _widths(given: Any) -> tuple[int, ...]:
    """Read whole numbers between commas; brackets around them are welcome, and nothing is none."""
    if not isinstance(given, str):
        return tuple(given)
    words = given.strip("[]() ")
    return tuple(map(int, words.split(","))) if words else ()


def _metavar(name: str, hint: Any) -> str:
    if _is_widths(hint):
        return "N,N,..."
    if name in ("out", "data"):
        return {"out": "PATH", "data": "NAME_OR_PATH"}[name]
    named: dict[Any, str] = {int: "N", float: "X", str: "NAME"}
    return "|".join("|".join(_choices(kind)) or named.get(kind, "JSON") for kind in _kinds(hint))


def _choices(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _expected(hint: Any) -> str:
    """Say in words what a parameter takes."""
    if _is_widths(hint):
        return "whole numbers between commas, such as 300,300, or '' for none"
    named: dict[Any, str] = {int: "a whole number", float: "a number", str: "a word"}
    kinds = _kinds(hint)
    words = [named.get(kind, "JSON in braces, such as '{\"size\": 64}'") for kind in kinds if not _choices(kind)]
    choices = [choice for kind in kinds for choice in _choices(kind)]
    if choices:
        words.append(f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0])
    return " or ".join(words)


def _readable(message: str, parser: "ArgumentParser", hints: dict[str, Any]) -> str:
    """Make one line of a parser's complaint, with the nearest known argument where one is unknown."""
    text = " ".join(message.split())
    known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    known = [option for option in known if not option.startswith(("--print_", "--help"))]
    for marker in ("Unrecognized arguments:", "unrecognized arguments:"):
        if marker in text:
            word = text.split(marker)[1].split()[0].partition("=")[0]
            return f"unknown argument {word!r}; {parser.prog} --help lists those it takes.{nearest(word, known)}"
    found = re.match(r'.*Parser key "(\w+)": .*(?:Got|Given) value: (.*)$', text)
    found = found or re.match(r"argument --([\w-]+): invalid \w+ value: (.*)$", text)
    if found:
        name, value = found[1].replace("-", "_"), found[2].strip("'\"")
        choices = [choice for kind in _kinds(hints[name]) for choice in _choices(kind)]
        return (
            f"--{name.replace('_', '-')} is {value!r}; expected {_expected(hints[name])}: see {parser.prog} --help."
            f"{nearest(value, choices)}"
        )
    return f"{text[:1].lower()}{text[1:]}; see {parser.prog} --help"
