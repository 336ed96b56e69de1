"""A copy of the package with one more operation in it, to prove that a file is all that an operation needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import penstock

LEAF = '''"""echo-text: Give a text back.

A throw-away operation.
"""

from penstock.operations.declare import Asker, Fields, ModelChoice, Operation


class Input(Fields):
    """What to give back."""

    text: str
    """The text."""


class Output(Fields):
    """The text again."""

    text: str
    """The text."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Give it back."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Output:
    """Say what would be sent: nothing."""
    return Output(text=input.text)


def read(input: Input, answer: object) -> Output:
    """Read nothing."""
    return Output(text=input.text)


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    example={"text": "hello"},
)
'''


class Program(NamedTuple):
    """The copied package, to be run as a program or imported by a script."""

    packages: Path
    folder: Path

    def run(self, *arguments: str) -> str:
        """Run a command and return its standard output."""
        return self._python("-m", "penstock", *arguments)

    def script(self, code: str) -> str:
        """Run Python code with the copied package and return its standard output."""
        return self._python("-c", code)

    def _python(self, *arguments: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "OPENAI_"))}
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.packages)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def with_one_more_operation(folder: Path) -> Program:
    """Copy the package into `folder` and add the operation `echo-text` to it."""
    packages, work = folder / "packages", folder / "work"
    work.mkdir()
    shutil.copytree(Path(penstock.__file__).parent, packages / "penstock", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "penstock" / "operations" / "echo_text.py").write_text(LEAF, encoding="utf-8")
    return Program(packages, work)
