"""The examples run one after the other in one folder, as somebody who looks around would run them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from penstock.cli.main import execute

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = [
    "campaigns draft examples/campaign/campaign.yaml",
    "run examples/feedback/flow.yaml --apply-schema --budget 1",
    "feedback hear examples/voice/calls",
    "run examples/voice/judge.yaml --apply-schema",
    "campaigns show winter-sale",
    "run examples/feedback/flow.yaml",
]


def test_every_example_finds_its_people_in_the_sandbox(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for command in COMMANDS:
            code = execute([*command.split(), "--sandbox"])
            said = capfd.readouterr()
            assert code == 0, f"{command}\n{said.out[-1500:]}{said.err[-500:]}"
            assert "refused" not in said.out, command
    finally:
        os.chdir(here)
