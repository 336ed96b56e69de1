"""Holds back records and writes of people who were forgotten or who object, before anything of them is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.base.errors import MappingError
from penstock.data.consent import consent_of, is_contact, is_refused
from penstock.flows.consenting import add_own_lists
from penstock.flows.effects import find_match
from penstock.flows.kept import Effect
from penstock.flows.model import Flow, Target
from penstock.flows.work import Sorted, Work, fold_key
from penstock.runtime.barred import Barred, name_record
from penstock.runtime.store import Store

LONGEST_EMAIL = 320


class Gate:
    """The gate of one flow."""

    def __init__(self, flow: Flow, store: Store, places: Sequence[str] = ()) -> None:
        """Hold back for a flow; `places` are the accounts that it writes to, as their sinks are identified."""
        self._flow = flow
        self._store = store
        self._places = places
        self._barred = Barred(store)
        self._rule = flow.consent.rule()
        self.is_informed = False
        """Whether any record came with what its person allows."""
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
        """Move works of people who were forgotten or who object out of the way."""
        works, allowed = found.works, list[Work]()
        self._rule = await add_own_lists(self._flow.consent.rule(), self._store, self._places)
        barred = await self._barred.find(name for work in works for name in self._names_of(work))
        for work in works:
            reasons = {barred[name] for name in self._names_of(work) if name in barred} if barred else ()
            if "forgotten" in reasons:
                found.forgotten += 1
            elif reasons or not self._is_allowed(work.scope):
                found.objected.append(work)
            else:
                allowed.append(work)
        found.works = allowed

    def _is_allowed(self, scope: dict[str, Any]) -> bool:
        """Tell what Brevo says, in the record or in a joined row; the strictest verdict counts."""
        states = [
            consent_of(part, self._rule) for part in scope.values() if isinstance(part, dict) and is_contact(part)
        ]
        self.is_informed = self.is_informed or bool(states)
        if any(is_refused(state) for state in states):
            return False
        return self._flow.consent.unknown == "use" or "subscribed" in states

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
