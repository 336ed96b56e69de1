"""Names of modules and options follow docs/reference/words.md."""

import inspect
import re
from pathlib import Path

import click
import pytest

from penstock.base.settings import SETTINGS
from penstock.cli.main import penstock
from penstock.data.files import snapshot, source
from penstock.data.sql import sink as sql_sink
from penstock.data.sql import source as sql_source
from penstock.flows import model
from penstock.operations.catalogue import all_operations

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "penstock"
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core", "lib", "tools"}
VENDORS = {"openai", "brevo"}


def list_words():
    """Return the listed words, and those that must never be used."""
    words, never = set(), set()
    page = (ROOT / "docs" / "reference" / "words.md").read_text(encoding="utf-8")
    for line in page.partition("## Words of options")[2].partition("## Words of the field")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`"):
            words |= set(re.findall(r"`([^`]+)`", cells[0]))
            never |= {word.strip() for word in cells[2].split(",") if word.strip()}
    return words, never


WORDS, NEVER = list_words()


def walk(group, context):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walk(command, context)
        else:
            yield command


def used_options():
    """Return every option that a person can write, by where it is written."""
    for command in walk(penstock, click.Context(penstock)):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from ((f"command {command.name}", name[2:]) for name in parameter.opts if name.startswith("--"))
    for setting in SETTINGS:
        parts = setting.name.split(".")
        if parts[0] == "budget":  # of what: run, flow, day, month
            parts = parts[:1]
        yield from ((f"setting {setting.name}", part) for part in parts if part not in {*VENDORS, "answers"})
    for part in vars(model).values():
        if inspect.isclass(part) and issubclass(part, model.Strict):
            yield from ((part.__name__, info.alias or name) for name, info in part.model_fields.items())
    for place in (snapshot, source, sql_source, sql_sink):
        yield from ((place.__name__, name) for name in place.OPTIONS)
    for entry in all_operations():
        yield from ((entry.name, name.replace("_", "-")) for name in entry.load().input.model_fields)


@pytest.mark.parametrize(("place", "option"), sorted(set(used_options())))
def test_an_option_is_a_word_of_the_list(place, option):
    assert option in WORDS, f"{place}: add {option!r} to docs/reference/words.md, or use the word that is there"


@pytest.mark.parametrize(("place", "option"), sorted(set(used_options())))
def test_an_option_never_has_a_second_name(place, option):
    assert option not in NEVER, f"{place}: {option!r} stands under never in docs/reference/words.md"


def test_no_word_is_both_right_and_wrong():
    assert not WORDS & NEVER


def test_modules_have_plain_names():
    names = {path.stem for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert not names & BANNED
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)


def test_folders_have_plain_names():
    floor = PACKAGE / "base"  # the lowest floor carries the name of its place
    names = {path.name for path in PACKAGE.rglob("*") if path.is_dir() and path != floor} - {"__pycache__"}
    assert not names & BANNED


def test_operations_are_verbs_with_hyphens():
    for entry in all_operations():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.name)


def test_exceptions_end_in_error():
    from penstock.base import errors

    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert all(kind.__name__.endswith("Error") for kind in kinds)
