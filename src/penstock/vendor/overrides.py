"""Keeps a workspace's `models.toml` up to date: what the vendor lists today, laid beside what the catalogue says.

Lines that were written here carry a dated remark and may be renewed; lines of the user are never touched.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal

import msgspec

from penstock.vendor.models import PROJECT, Catalogue, Limits

Facts = Mapping[str, Mapping[str, str]]
"""Keys to set, by model: each value as it stands in TOML."""

_MARK = re.compile(r"#\s*from OpenAI, \d{4}-\d{2}-\d{2}\s*$")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")


class Change(msgspec.Struct, frozen=True):
    """One difference between the vendor's list and the catalogue.

    new: listed, and not in the catalogue. gone: in the catalogue as alive, and not listed: it ended, or
    this key may not use it. date: another shutdown date.
    """

    model: str
    kind: Literal["new", "gone", "date"]
    was: date | None = None
    now: date | None = None

    def describe(self) -> str:
        """Say the change in words."""
        ends = f"ends on {self.now}" if self.now else "has no shutdown date"
        if self.kind == "new":
            return f"is new to the catalogue and {ends}"
        if self.kind == "gone":
            return "is not listed: it ended, or this key may not use it"
        return f"{ends}; the catalogue said {self.was or 'none'}"


class Merged(msgspec.Struct, frozen=True):
    """A file with facts merged into it: its new text, what was written, and what the user's own lines kept out."""

    text: str
    written: tuple[str, ...]
    kept: tuple[str, ...]


def compare_listed(catalogue: Catalogue, listed: Iterable[Mapping[str, Any]], at: float) -> list[Change]:
    """Compare items of `GET /models` (id, optional `shutdown_date`; contract 2.20) with the catalogue."""
    changes: list[Change] = []
    seen: set[str] = set()
    dates = {str(item.get("id") or ""): read_date(item.get("shutdown_date")) for item in listed}
    for name, ends in dates.items():
        model = catalogue.find(name)
        seen |= {name, model.id}
        if not name or name.startswith("ft:"):
            continue
        if not model.known:
            changes.append(Change(name, "new", now=ends))
        elif ends != model.shutdown and not (name != model.id and model.id in dates and ends == dates[model.id]):
            changes.append(Change(name, "date", model.shutdown, ends))
    gone = [model.id for model in catalogue.all() if model.state(at) != "dead" and model.id not in seen]
    return [*changes, *(Change(name, "gone", catalogue.find(name).shutdown) for name in gone)]


def read_date(value: Any) -> date | None:
    """Return the day of a `shutdown_date`; None for none, or one that is no date."""
    try:
        return date.fromisoformat(str(value or "")[:10])
    except ValueError:
        return None


def to_facts(catalogue: Catalogue, changes: Iterable[Change]) -> dict[str, dict[str, str]]:
    """Return what to write for changes of dates; a snapshot that ends on its own starts from its family."""
    facts: dict[str, dict[str, str]] = {}
    for change in changes:
        if change.kind == "gone" or change.now is None:
            continue
        model = catalogue.find(change.model)
        facts[change.model] = {"shutdown": change.now.isoformat()}
        if change.kind == "new":
            facts[change.model]["known"] = "false"
        elif model.id != change.model:
            facts[change.model]["like"] = f'"{model.id}"'
    return facts


def limit_facts(catalogue: Catalogue, limits: Mapping[str, Limits]) -> dict[str, dict[str, str]]:
    """Return what to write for a project's own limits of the models that the catalogue lists."""
    facts = {}
    for name, own in limits.items():
        numbers = {key: value for key, value in msgspec.structs.asdict(own).items() if value}
        if numbers and catalogue.find(name).known:
            inner = ", ".join(f"{key} = {value:.0f}" for key, value in numbers.items())
            facts[name] = {"limits": f"{{ {PROJECT} = {{ {inner} }} }}"}
    return facts


def merge(text: str, facts: Facts, today: date) -> Merged:
    """Write facts into the text of a models file, each on a dated line of its own.

    A key that the user set stays as it is; a line that was written here before is renewed.
    """
    lines, tables = text.splitlines(), tomllib.loads(text).get("models", {})
    written: list[str] = []
    kept: list[str] = []
    for model, values in facts.items():
        place = _find_table(lines, model)
        if place is None and model in tables:
            kept.append(f"{model}: its table is written in a form that cannot be added to")
            continue
        if place is None:
            lines += ["", f"[models.{_quote(model)}]"]
            place = len(lines) - 1
        for key, value in values.items():
            line = f"{key} = {value}  # from OpenAI, {today}"
            old = _find_key(lines, place, key)
            if old is not None and _MARK.search(lines[old]):
                if _fact_of(lines[old]) != _fact_of(line):
                    lines[old] = line
                    written.append(f"{model}: {_fact_of(line)}")
            elif old is not None or key in tables.get(model, {}):
                kept.append(f"{model}: your own `{key}` stays")
            else:
                lines.insert(place + 1, line)
                written.append(f"{model}: {_fact_of(line)}")
    return Merged("\n".join(lines).strip("\n") + "\n" if lines else "", tuple(written), tuple(kept))


def _fact_of(line: str) -> str:
    return _MARK.sub("", line).strip()


def _quote(model: str) -> str:
    return model if _PLAIN_ID.fullmatch(model) else f'"{model}"'


def _find_table(lines: list[str], model: str) -> int | None:
    names = {model, f'"{model}"', f"'{model}'"} if _PLAIN_ID.fullmatch(model) else {f'"{model}"', f"'{model}'"}
    for index, line in enumerate(lines):
        head = re.match(r"\s*\[\s*models\s*\.\s*(.+?)\s*\]\s*(#.*)?$", line)
        if head and head[1] in names:
            return index
    return None


def _find_key(lines: list[str], place: int, key: str) -> int | None:
    for index in range(place + 1, len(lines)):
        if lines[index].lstrip().startswith("["):
            return None
        if re.match(rf"\s*{key}\s*[.=]", lines[index]):
            return index
    return None
