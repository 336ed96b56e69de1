"""Holds back records and writes of people who were forgotten or who object, before anything of them is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.base.errors import MappingError
from penstock.flows.effects import find_match
from penstock.flows.kept import Effect
from penstock.flows.model import Flow, Target
from penstock.flows.work import Sorted, Work, fold_key
from penstock.runtime.barred import Barred, name_record
from penstock.runtime.store import Store

LONGEST_EMAIL = 320


class Gate:
    """The gate of one flow."""

    def __init__(self, flow: Flow, store: Store) -> None:
        self._flow = flow
        self._barred = Barred(store)
        known = {"record", *(join.name for join in flow.joins)}
        self._target: Target | None = next(
            (target for target in flow.targets if target.kind == "brevo" and target.match.names <= known), None
        )

    def find_contact(self, scope: dict[str, Any]) -> str | None:
        """Return the contact that a record is about, as the sink finds it; None where it tells none."""
        if self._target is None:
            return None
        try:
            match = find_match(self._target, scope)
        except MappingError:
            return None
        return fold_key(str(next(match[name] for name in ("email", "ext_id", *match) if name in match)))

    async def hold_back(self, found: Sorted) -> None:
        """Move works of barred people out of the way."""
        works = found.works
        barred = await self._barred.find(name for work in works for name in self._names_of(work))
        if not barred:
            return
        reasons = [{barred[name] for name in self._names_of(work) if name in barred} for work in works]
        found.forgotten += sum("forgotten" in reason for reason in reasons)
        found.objected += [work for work, reason in zip(works, reasons, strict=True) if reason == {"objected"}]
        found.works = [work for work, reason in zip(works, reasons, strict=True) if not reason]

    def _names_of(self, work: Work) -> Iterator[str]:
        """Yield what a record can be recognised by: its key, its contact, and every address in it."""
        yield name_record(self._flow.name, work.record.key)
        yield work.owner
        for part in work.scope.values():
            if isinstance(part, dict):
                yield from _list_emails(part)
                if isinstance(part.get("attributes"), dict):
                    yield from _list_emails(part["attributes"])
                if part.get("ext_id"):
                    yield str(part["ext_id"])


def _list_emails(values: dict[str, Any]) -> Iterator[str]:
    for value in values.values():
        if isinstance(value, str) and "@" in value and len(value) <= LONGEST_EMAIL:
            yield value


def names_of(effect: Effect) -> list[str]:
    """Return what the person of a write can be recognised by."""
    return [str(value) for value in effect.match.values() if value not in (None, "")]


def is_clearing(effect: Effect) -> bool:
    """Tell whether a write only takes values away."""
    return effect.kind != "event" and all(value is None for value in effect.fields.values())
