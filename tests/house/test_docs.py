"""Documentation is fresh, its links lead somewhere, its commands exist, and the examples load."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from penstock.cli.main import penstock
from penstock.flows.model import COMPUTED, load_flow

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
FLOWS = sorted((ROOT / "examples").rglob("flow.yaml"))


def short(path):
    return path.relative_to(ROOT).as_posix()


def test_the_generated_reference_is_fresh():
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_to_a_file(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def find_command(words):
    """Return the options of a command, None where there is no such command."""
    command = penstock
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
        if command is None:
            return None
    return {name for parameter in command.params for name in parameter.opts}


def commands_in(text):
    """Yield the words of each `penstock …` that a text tells people to type."""
    for line in re.findall(r"(?:`|^ {4}|^\$ )(?:\.venv/bin/)?penstock +([a-z][^`\n]*)", text, re.MULTILINE):
        yield line.split()


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_command_that_is_named_exists(page):
    for words in commands_in(page.read_text(encoding="utf-8")):
        plain = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        options = find_command(plain[:2])
        assert options is not None, f"there is no command: penstock {' '.join(words)}"
        if words[:2] == ["sandbox", "up"]:  # its options are the server's own
            continue
        named = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert named <= options | {"--help", "--version"}, f"no such option: penstock {' '.join(words)}"


@pytest.mark.parametrize("path", FLOWS, ids=short)
def test_every_example_flow_loads(path):
    flow = load_flow(path)
    is_moved = {target.kind for target in flow.targets} == {"conversions"}
    assert flow.steps or is_moved or flow.source_kind in COMPUTED
    parts = [
        flow.source_options,
        *(part.get("files", {}) for part in flow.source_options.values() if isinstance(part, dict)),
    ]
    assert [part["path"] for part in parts if (path.parent / str(part.get("path", "?"))).is_file()]


def test_every_page_of_the_docs_is_linked_from_its_index():
    linked = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "README.md"]
    assert [short(page) for page in missing if page.relative_to(ROOT / "docs").as_posix() not in linked] == []
