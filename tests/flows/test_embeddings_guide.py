"""The commands and the Python of the guide to embeddings do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from penstock.cli.main import execute

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "embeddings.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    penstock (.*)$", PAGE, flags=re.MULTILINE)
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_works(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("Late.\nLovely.\n")
    (tmp_path / "texts.json").write_text('["@maria", "Late."]')
    given = [part.replace("@", f"@{tmp_path}/") if part.startswith("@") else part for part in shlex.split(command)]
    assert execute([*given, "--workspace", str(tmp_path)]) == 0
    assert "text-embedding-3-small" in "".join(capsys.readouterr())


@pytest.mark.slow
def test_the_python_of_the_guide_runs(tmp_path: Path) -> None:
    said = [
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for script in SCRIPTS
    ]
    assert said[0].startswith("2 text-embedding-3-small ")
    assert said[1] == "(5000, 64) float32 0\n"
    assert numpy.load(tmp_path / "block-4096.npy").shape == (904, 64)
