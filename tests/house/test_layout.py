"""Floors, sizes, docstrings, and the one room for each danger."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import penstock

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "penstock"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_BODY, LONGEST_MODULE = 60, 450

ROOMS = {
    "time": (
        {"time.sleep", "time.time", "time.monotonic", "asyncio.sleep", "datetime.now", "datetime.utcnow", "date.today"},
        {"base/clock.py"},
    ),
    "chance": ({"random.random", "random.choice", "os.urandom", "uuid.uuid4", "secrets.token_hex"}, {"base/clock.py"}),
    "terminal": ({"print", "sys.stdout.write", "sys.stderr.write"}, {"cli/render.py", "sandbox/server.py"}),
    "network": ({"pyreqwest", "httpx", "requests", "aiohttp", "urllib.request", "http.client"}, {"vendor/http.py"}),
    "engine": ({"dbos"}, {"runtime/dbos_engine.py"}),
}
"""What is used in one room alone; the sandbox server, a program of its own, announces its addresses."""


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def names_in(path):
    """Return what a module imports and calls, as dotted names."""
    found = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} | {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            top = node.module or ""
            found |= {top, top.partition(".")[0], *(f"{top}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call):
            found.add(ast.unparse(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else "")
        elif isinstance(node, ast.arg):
            found.add(f"argument {node.arg}")
    return found


def functions():
    for path in MODULES:
        for node in ast.walk(parse(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, node


def body_lines(node):
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_imports_go_down():
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_the_import_contract_names_every_floor_and_has_no_exceptions():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    floors = next(one for one in config["contracts"] if one["type"] == "layers")
    assert "ignore_imports" not in floors
    named = set(re.findall(r"\w+", " ".join(floors["layers"])))
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} <= named


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path):
    text = ast.get_docstring(parse(path))
    assert text, f"{name_of(path)} has no docstring"
    assert text.strip()[-1] in ".!:)}`" or "\n\n" in text, f"{name_of(path)}: the docstring is not a sentence"


def test_no_function_is_too_long():
    long = {f"{name_of(path)} {node.name}": body_lines(node) for path, node in functions()}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_BODY} == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_too_long(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{name_of(path)} has {lines} lines: split it by what it does"


@pytest.mark.parametrize("danger", ROOMS)
def test_each_danger_has_one_room(danger):
    names, rooms = ROOMS[danger]
    assert {name_of(path) for path in MODULES if names & names_in(path)} <= rooms


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tests_pass_fakes_instead_of_patching(path):
    used = names_in(path)
    assert not used & {"argument monkeypatch", "argument mocker", "unittest.mock", "mock"}
    assert not [name for name in used if name.startswith(("mock.", "mocker.", "monkeypatch."))]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_test_names_are_sentences(path):
    names = [
        node.name
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]
    assert [name for name in names if name.count("_") < 3] == []


def test_the_package_shows_its_version_and_is_typed():
    assert re.fullmatch(r"\d+\.\d+\.\d+", penstock.__version__)
    assert (PACKAGE / "py.typed").is_file()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert declared["dynamic"] == ["version"]
