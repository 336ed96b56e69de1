"""Memberships of the connector's own lists, kept in step: up to 150 contacts per call, added and removed.

Brevo refuses a call in which nobody could be moved with the same 400 as a wrong one, and names the others as failures
(list reference, 2026); neither says whether the contact is there already or does not exist, so that is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from penstock.base.errors import RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Change, Outcome, Problem
from penstock.data.brevo_known import find_contacts
from penstock.data.brevo_owned import OwnedLists
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Target, find_target, spread, width_for
from penstock.runtime.brevo_calls import BrevoCaller

MOST_PER_CALL = 150
DOWN_AFTER = 3
SECOND_LOOK_SECONDS = 5.0

_WORDS = {"email_id": "emails", "contact_id": "ids", "ext_id": "extIds"}
_DOWN = Problem("brevo.unavailable", "Brevo moves no list members at the moment", "Run the same command again later.")
_NOT_MOVED = Problem(
    "brevo.not-added",
    "Brevo says that the contact is there, but does not put it on the list",
    "Look at the contact in Brevo; retry the record when the reason is gone.",
)

Item = tuple[int, Change]


class Move(NamedTuple):
    """One contact to be put on a list, or taken off it; `place` is that of its change in the batch."""

    place: int
    target: Target
    name: str
    is_member: bool


class ListWriter:
    """Puts contacts on lists and takes them off; the same move twice leaves the same lists."""

    def __init__(
        self,
        caller: BrevoCaller,
        owned: OwnedLists,
        families: Mapping[str, Sequence[str]],
        *,
        create_contacts: bool,
    ) -> None:
        """Write to `owned`; `families` are the options of lists of which a contact is on one."""
        self._caller = caller
        self._owned = owned
        self._families = families
        self._create = create_contacts

    async def write(self, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        """Move every contact, and note in `done` what became of each change."""
        moves: dict[tuple[str, bool, str], list[Move]] = {}
        for move in self._plan(items, done):
            moves.setdefault((move.name, move.is_member, move.target.kind), []).append(move)
        removals = [part for key, found in moves.items() if not key[1] for part in _cut(found)]
        additions = [part for key, found in moves.items() if key[1] for part in _cut(found)]
        ended: dict[int, list[Outcome]] = {}
        await self._move_all(removals, ended)
        await self._move_all(additions, ended)
        for index, outcomes in ended.items():
            done[index] = min(outcomes, key=_gravity)

    def _plan(self, items: Sequence[Item], done: dict[int, Outcome]) -> list[Move]:
        """Return the moves that changes come to; the last one of a contact and list counts."""
        moves: dict[tuple[Target, str], Move] = {}
        for index, change in items:
            target = find_target(change.match)
            if isinstance(target, Problem):
                done[index] = Outcome("rejected", target)
                continue
            for name, is_member in self.wanted(change).items():
                if change.is_first and not is_member:
                    continue  # it was never on any list of ours
                moves[target, name] = Move(index, target, name, is_member)
        moved = {move.place for move in moves.values()}
        for index, _ in items:
            if index not in moved:
                done.setdefault(index, Outcome("confirmed"))  # a later change of the same batch says more
        return list(moves.values())

    def wanted(self, change: Change) -> dict[str, bool]:
        """Return on which lists the contact is to be, by name, and on which it is not."""
        name, member = str(change.fields["list"]), change.fields.get("member")
        if name in self._families:
            return {list_name(name, option): option == member for option in self._families[name]}
        return {name: bool(member)}

    async def _move_all(self, parts: Sequence[list[Move]], ended: dict[int, list[Outcome]]) -> None:
        failures_in_a_row = 0

        async def move(part: list[Move]) -> None:
            nonlocal failures_in_a_row
            if failures_in_a_row >= DOWN_AFTER:
                outcomes = [Outcome("later", _DOWN)] * len(part)
            else:
                outcomes = await self._move(part)
                is_down = all(outcome.state in ("later", "unknown") for outcome in outcomes)
                failures_in_a_row = failures_in_a_row + 1 if is_down else 0
            for one, outcome in zip(part, outcomes, strict=True):
                ended.setdefault(one.place, []).append(outcome)

        await spread(parts, move, width_for(self._caller, "lists.add"))

    async def _move(self, part: list[Move]) -> list[Outcome]:
        """Move contacts of one kind of identifier in one call."""
        number = await self._owned.find(part[0].name)
        if number is None:
            return [Outcome("rejected", _no_list(part[0].name))] * len(part)
        word = _WORDS[part[0].target.kind]
        values = [int(one.target.value) if word == "ids" else one.target.value for one in part]
        operation = "lists.add" if part[0].is_member else "lists.remove"
        try:
            reply = await self._caller.call(operation, path={"id": number}, body={word: values})
            moved = (reply.content or {}).get("contacts") or {}
            success = {str(value).lower() for value in moved.get("success") or ()}
        except RejectedError as error:
            if error.code == "brevo.not-found":
                return [Outcome("rejected", _no_list(part[0].name))] * len(part)
            success = set()
        except ThrottledError as error:
            return [Outcome("later", Problem.from_error(error))] * len(part)
        except UnavailableError as error:
            return [Outcome("unknown" if error.sent else "later", Problem.from_error(error))] * len(part)
        left = [one for one in part if one.target.value.lower() not in success]
        looked = await self._explain(left, number) if left else {}
        return [looked.get(one.target, Outcome("confirmed")) for one in part]

    async def _explain(self, left: Sequence[Move], number: int) -> dict[Target, Outcome]:
        """Say what became of contacts that a call did not move: there already, off already, or not there at all."""
        if not left[0].is_member:
            return {}  # who is not on the list, or not in the account, is off it
        try:
            return await self._explain_additions([one.target for one in left], number)
        except (UnavailableError, ThrottledError) as error:
            return {one.target: Outcome("later", Problem.from_error(error)) for one in left}

    async def _explain_additions(self, targets: Sequence[Target], number: int) -> dict[Target, Outcome]:
        contacts = await find_contacts(self._caller, targets)
        found = {target: await self._create_on(target, number) for target in targets if target not in contacts}
        missing = [target for target, contact in contacts.items() if not _is_on(contact, number)]
        if missing:  # what Brevo told may be older than the move
            await self._caller.clock.sleep(SECOND_LOOK_SECONDS)
            contacts = await find_contacts(self._caller, missing)
        for target in missing:
            if not _is_on(contacts.get(target, {}), number):
                found[target] = Outcome("rejected", _NOT_MOVED)
        return found

    async def _create_on(self, target: Target, number: int) -> Outcome:
        """Create a contact on a list, where that is wished."""
        if not self._create or target.kind == "contact_id":
            return Outcome("rejected", NO_SUCH_CONTACT)
        name = "email" if target.kind == "email_id" else "ext_id"
        try:
            body = {name: target.value, "listIds": [number], "updateEnabled": True}
            await self._caller.call("contacts.create", body=body)
        except RejectedError as error:
            return Outcome("rejected", Problem.from_error(error))
        return Outcome("confirmed")

    async def find(self, items: Sequence[Item]) -> dict[int, Outcome]:
        """Compare with the lists that each contact is on now."""
        done: dict[int, Outcome] = {}
        wanted: dict[int, tuple[Target, dict[str, bool]]] = {}
        for index, change in items:
            target = find_target(change.match)
            if isinstance(target, Problem):
                done[index] = Outcome("rejected", target)
            else:
                wanted[index] = (target, self.wanted(change))
        try:
            contacts = await find_contacts(self._caller, [target for target, _ in wanted.values()])
        except (UnavailableError, ThrottledError) as error:
            return done | {index: Outcome("unknown", Problem.from_error(error)) for index in wanted}
        for index, (target, lists) in wanted.items():
            done[index] = await self._compare(contacts.get(target), lists)
        return done

    async def _compare(self, contact: Mapping[str, Any] | None, lists: Mapping[str, bool]) -> Outcome:
        held = set((contact or {}).get("listIds") or ())
        numbers = {name: await self._owned.find(name) for name in lists}
        is_so = all((numbers[name] in held) == is_member for name, is_member in lists.items())
        return Outcome("confirmed" if is_so else "later")


def list_name(family: str, option: str) -> str:
    """Return what the list of one option is called."""
    return f"{family}: {option}"


def _is_on(contact: Mapping[str, Any], number: int) -> bool:
    return number in (contact.get("listIds") or ())


def _cut(moves: list[Move]) -> list[list[Move]]:
    return [moves[start : start + MOST_PER_CALL] for start in range(0, len(moves), MOST_PER_CALL)]


def _gravity(outcome: Outcome) -> int:
    return ("rejected", "conflict", "unknown", "later", "confirmed").index(outcome.state)


def _no_list(name: str) -> Problem:
    return Problem(
        "brevo.no-such-list",
        f"the list {name} is not there, or not ours",
        "Run with --apply-schema to create it.",
        name,
    )
