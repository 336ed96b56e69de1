"""Which settings and flow files of a workspace use which model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from penstock.base.document import read_document
from penstock.base.errors import PenstockError
from penstock.base.settings import SETTINGS, Settings

MOST_FILES = 500
"""Flow files that are looked at, so that a large folder does not hold up a list."""


def find_uses(folder: Path, settings: Settings, model_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Return who uses each model, as `model_of` names it; a file that is no flow is left out."""
    uses: dict[str, list[str]] = {}
    for setting in SETTINGS:
        if setting.name == "model" or setting.name.startswith("model."):
            uses.setdefault(model_of(str(settings.get(setting.name))), []).append(f"setting {setting.name}")
    for path, model in _flows(folder):
        name = model or str(settings.get("model"))
        uses.setdefault(model_of(name), []).append(f"flow {path.relative_to(folder).as_posix()}")
    return uses


def _flows(folder: Path) -> Iterator[tuple[Path, str]]:
    files = (path for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml") for path in sorted(folder.glob(pattern)))
    for path in islice((path for path in files if not _is_hidden(path.relative_to(folder))), MOST_FILES):
        try:
            plain = read_document(path).plain
        except PenstockError:
            continue
        if isinstance(plain, dict) and "steps" in plain and "source" in plain:
            model = plain.get("model")
            yield path, model if isinstance(model, str) else ""


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
