r"""The documentation keeps its word: its examples run, its commands parse, its tables and links are right."""

import ast
import functools
import inspect
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from vaekit import cli, recipes

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/results/README.md"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def python_lines(page):
    """The page with all but its Python blanked out, so that an error has the page's own line number."""
    kept, inside = [], False
    for line in (ROOT / page).read_text().splitlines():
        inside = inside and line != "```"
        kept.append(line if inside else "")
        inside = inside or line == "```python"
    return "\n".join(kept)


def commands():
    lines = "".join(blocks("README.md", "sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = python_lines(page)
    assert source.count("vaekit.train(") >= 2
    quick = re.sub(r"\bepochs=\d+", "epochs=2", source).replace(
        "latent_dim=2, random", "latent_dim=2, epochs=2, random"
    )
    quick = quick.replace("vaekit.train(", "train(")
    from vaekit import train

    def quiet(*arguments, **options):
        return train(*arguments, **options, nll_samples=5, progress=False)

    names = {"train": quiet, "__name__": "example"}
    exec(compile(quick, page, "exec"), names)
    assert (names["run"].directory / "report.html").is_file()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words, monkeypatch, capsys):
    called = []

    def recorder(command):
        @functools.wraps(command)  # the signature is what is parsed
        def record(*arguments, **options):
            inspect.signature(command).bind(*arguments, **options)
            called.append(command)
            return SimpleNamespace(metrics={}, directory=Path("runs/first"))

        return record

    monkeypatch.setattr(cli.api, "train", recorder(cli.api.train))
    for name in cli.COMMANDS.keys() - {"recipes", "datasets", "train"}:
        monkeypatch.setitem(cli.COMMANDS, name, recorder(cli.COMMANDS[name]))
    program, *rest = words
    assert program == "vaekit"
    if "--help" in rest:
        with pytest.raises(SystemExit, match="0"):
            cli.main(rest)
    else:
        assert cli.main(rest) == 0, capsys.readouterr().err
        assert called or rest[0] in ("recipes", "datasets")


def test_the_table_of_recipes_agrees_with_the_catalogue():
    section = (ROOT / "README.md").read_text().split("## Recipes")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)
    assert listed == list(recipes.catalogue())
    for name in listed:
        assert f"`{name}`" in (ROOT / "CHANGELOG.md").read_text()


def test_every_command_is_in_the_tour_and_the_changelog():
    shown = {words[1] for words in commands()}
    assert shown == set(cli.COMMANDS)
    assert all(f"`{name}`" in (ROOT / "CHANGELOG.md").read_text() for name in cli.COMMANDS)


def test_the_map_shows_the_tree():
    shown = set(re.findall(r"^  ([a-z_]+(?:\.py|/)) ", "".join(blocks("ARCHITECTURE.md", "")), re.MULTILINE))
    package = ROOT / "src" / "vaekit"
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert shown == files | folders


def imported(tree):
    """What a module imports when it runs, in functions too; imports for types alone do not count."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in for_types:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_module_imports_from_those_above_it_on_the_map():
    order = re.findall(r"^  ([a-z_]+)(?:\.py|/) ", "".join(blocks("ARCHITECTURE.md", "")), re.MULTILINE)
    package, upwards = ROOT / "src" / "vaekit", []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own not in order:  # __init__.py, which is above all
            continue
        for name in imported(ast.parse(path.read_text())):
            part = name.split(".")[1] if name.startswith("vaekit.") else own
            if part in order and order.index(part) > order.index(own):
                upwards.append(f"{path.relative_to(package)} imports {name}")
    assert not upwards


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)\)", (ROOT / page).read_text())
    missing = [target for target in targets if "://" not in target and not ((ROOT / page).parent / target).exists()]
    assert not missing


def test_the_targets_of_make_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        # In an indented block or between backticks: elsewhere the word is a verb.
        for target in re.findall(r"(?:^    (?:.* )?|`)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_the_version_is_one():
    from vaekit import __version__

    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
