"""What the guides show is what happens: their commands, their Python, their catalogue entry."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from penstock.cli.main import execute
from penstock.flows.model import load_flow
from penstock.vendor.models import load_catalogue

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHANGED = "This time the jacket came torn. I am very disappointed."


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "examples" / "feedback", tmp_path, dirs_exist_ok=True)
    return tmp_path


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page, language):
    parts = re.split(r"^```(.*)\n", read(page), flags=re.MULTILINE)  # text, word after the fence, block, "", text, …
    return [parts[at + 1] for at in range(1, len(parts), 4) if parts[at] == language]


def run_in(folder, capsys, *arguments):
    execute([*arguments, "--sandbox", "--workspace", str(folder)])
    return capsys.readouterr().out


def facts_shown_in(text):
    """Return the lines of a listing that name a figure, those aside that depend on the moment."""
    lines = re.findall(r"^  (?:records|calls|cost|writes) +\S.*$", text, re.MULTILINE)
    return [" ".join(line.split()) for line in lines]


def test_the_tutorial_shows_what_its_commands_say(folder, capsys):
    flow = str(folder / "flow.yaml")
    said = run_in(folder, capsys, "plan", flow)
    said += run_in(folder, capsys, "run", flow, "--apply-schema", "--budget", "2.50")
    feedback = folder / "feedback.csv"
    text = feedback.read_text(encoding="utf-8")
    old = "This time the delivery was quick and the jacket is lovely. Thank you!"
    assert old in text
    feedback.write_text(text.replace(old, CHANGED), encoding="utf-8")
    said += run_in(folder, capsys, "plan", flow)
    told = [line for block in blocks("tutorial.md", "") for line in facts_shown_in(block)]
    assert len(told) == 12
    happened = facts_shown_in(said)
    assert [line for line in told if line not in happened] == []


def test_the_python_of_the_guide_runs(folder):
    job, script = blocks("how-to/python.md", "python")
    (folder / "job.py").write_text(job, encoding="utf-8")
    (folder / "script.py").write_text(script, encoding="utf-8")
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    prepare = "from penstock.cli.main import main; main(['run', 'flow.yaml', '--sandbox', '--apply-schema'])"
    said = []
    for command in (["-c", prepare], ["job.py"], ["script.py"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    assert said[1][:2] == ["0 0", "done 0 0"]
    assert len(said[1][2].split()) == 3
    assert len(said[2]) == 1


def test_the_catalogue_entry_of_the_guide_gives_a_price(tmp_path):
    (entry,) = blocks("how-to/models.md", "toml")
    (tmp_path / "models.toml").write_text(entry, encoding="utf-8")
    catalogue = load_catalogue(tmp_path / "models.toml")
    for name in tomllib.loads(entry)["models"]:
        model = catalogue.find(name)
        assert model.known
        assert model.prices_at() is not None


@pytest.mark.parametrize("page", ["tutorial.md", "how-to/files.md", "how-to/brevo.md", "how-to/personal-data.md"])
def test_the_flow_parts_of_the_guides_are_words_of_a_flow_file(page, tmp_path):
    """Each part is put into a whole flow; joins and steps are those of the example."""
    for number, part in enumerate(blocks(page, "yaml")):
        flow = _complete(part)
        path = tmp_path / f"part{number}.yaml"
        path.write_text(flow, encoding="utf-8")
        assert load_flow(path).steps, part


def _complete(part):
    words = set(re.findall(r"^(\w+):", part, re.MULTILINE))
    if "known" in words:  # an input of the step
        return f"{_NAME}{_SOURCE}{_JOIN}steps:\n  - analyze-sentiment:\n      text: x\n      {part}"
    parts = [_NAME, part]
    parts += [text for word, text in (("source", _SOURCE), ("join", _JOIN), ("steps", _STEPS)) if word not in words]
    return "".join(parts)


_NAME = "name: part\n"
_SOURCE = "source:\n  files: { path: feedback.csv, key: id }\n"
_JOIN = "join:\n  customer:\n    files: { path: contacts.csv, key: email }\n    on: ${{ record.email }}\n"
_STEPS = "steps:\n  - analyze-sentiment:\n      text: ${{ record.text }}\n"
