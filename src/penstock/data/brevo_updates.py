"""Contact updates: singly while that takes about a minute, else by import, each the other's fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.base.errors import RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Outcome, Problem
from penstock.data.brevo_imports import Importer
from penstock.data.brevo_known import People
from penstock.data.brevo_owned import OwnedLists
from penstock.data.brevo_processes import Processes
from penstock.data.brevo_schema import Attribute
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Row, Target, spread, width_for
from penstock.runtime.brevo_calls import BrevoCaller

PATIENCE_SECONDS = 60.0
DOWN_AFTER = 3
"""Failures in a row, each after all its attempts, that count as the service being down."""

_DOWN = Problem(
    "brevo.unavailable",
    "Brevo takes neither single updates nor imports at the moment",
    "Run the same command again later; what was confirmed is not written again.",
)


class ContactWriter:
    """Sets attributes of contacts; the same update twice leaves the same contact."""

    def __init__(
        self, caller: BrevoCaller, owned: OwnedLists, processes: Processes, people: People, *, create_contacts: bool
    ) -> None:
        self._caller = caller
        self._create = create_contacts
        self._importer = Importer(caller, owned, processes, people, create_contacts=create_contacts)

    async def write(self, rows: Sequence[Row], done: dict[int, Outcome], attributes: Mapping[str, Attribute]) -> None:
        """Write all rows, those of one contact in order, and note in `done` what became of each."""
        is_many = len(rows) > self._caller.rate_of("contacts.update") * PATIENCE_SECONDS
        by_import = self._importer.choose(rows) if is_many else []
        if by_import:
            await self._importer.write(by_import, done, attributes)
        await self._write_singly([row for row in rows if row.index not in done], done)
        left = [row for row in rows if row.index not in done]
        if left and not by_import:
            await self._importer.write(self._importer.choose(left), done, attributes)
        for row in left:
            done.setdefault(row.index, Outcome("later", _DOWN))

    async def _write_singly(self, rows: Sequence[Row], done: dict[int, Outcome]) -> None:
        """Write rows singly; stops when Brevo seems down, and leaves the rest without an outcome."""
        groups: dict[Target, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.target, []).append(row)
        failures_in_a_row = 0

        async def write_group(group: list[Row]) -> None:
            nonlocal failures_in_a_row
            for row in group:
                if failures_in_a_row >= DOWN_AFTER:
                    return
                try:
                    done[row.index] = await self._write_one(row)
                    failures_in_a_row = 0
                except (UnavailableError, ThrottledError) as error:
                    if error.code == "brevo.in-process":
                        done[row.index] = Outcome("later", Problem.from_error(error))
                        continue
                    failures_in_a_row += 1
                    if failures_in_a_row < DOWN_AFTER:
                        done[row.index] = Outcome("later", Problem.from_error(error))

        await spread(list(groups.values()), write_group, width_for(self._caller, "contacts.update"))

    async def _write_one(self, row: Row) -> Outcome:
        try:
            if self._create and row.target.kind != "contact_id":
                name = "email" if row.target.kind == "email_id" else "ext_id"
                body = {name: row.target.value, "attributes": row.attributes, "updateEnabled": True}
                await self._caller.call("contacts.create", body=body)
            else:
                await self._caller.call(
                    "contacts.update", path=row.target.path, query=row.target.query, body={"attributes": row.attributes}
                )
        except RejectedError as error:
            return _explain(error)
        return Outcome("confirmed")


def _explain(error: RejectedError) -> Outcome:
    if error.code == "brevo.duplicate":
        return Outcome("conflict", Problem.from_error(error))
    if error.code == "brevo.not-found":
        return Outcome("rejected", NO_SUCH_CONTACT)
    return Outcome("rejected", Problem.from_error(error))
