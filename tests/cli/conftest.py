"""The command line in this process: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ended import Ended
from penstock.cli.main import execute


@pytest.fixture(autouse=True)
def bare_environment() -> Iterator[None]:
    """Run without keys and settings of the machine."""
    kept = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("PENSTOCK_", "OPENAI_", "BREVO_", "NO_COLOR")):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def penstock(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in the workspace `tmp_path`."""

    def run(*arguments: str) -> Ended:
        code = execute([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.out + captured.err, captured.err
        return Ended(code, captured.out, captured.err)

    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        yield run
    finally:
        os.chdir(here)
