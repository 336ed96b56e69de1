"""Many contact updates at once through Brevo's import: chunks, a background process, and its reports.

An import must name a list, so the rows land in one list that Penstock owns, in a folder that it owns.
It creates contacts that do not exist, so existence is checked first where that is not wanted.
No report tells of values that were dropped, so a sample is read back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.base.errors import FixError, RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Outcome, Problem
from penstock.data.brevo_known import People
from penstock.data.brevo_owned import LANDING, OwnedLists
from penstock.data.brevo_processes import Processes
from penstock.data.brevo_schema import Attribute, holds
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Row, Target, get_contacts
from penstock.runtime.brevo_calls import BrevoCaller

MOST_BYTES = 7_500_000
MOST_ROWS = 50_000
SAMPLE = 3
"""Contacts that are read back after each import."""
SECOND_LOOK_SECONDS = 10.0
DOWN = (UnavailableError, ThrottledError, RejectedError, FixError)

_UNFINISHED = Problem(
    "brevo.import-unfinished",
    "Brevo took the import, but did not finish it in time",
    "It is looked up before anything is repeated; run the same command again later.",
)
_NOT_VISIBLE = Problem(
    "brevo.not-visible",
    "Brevo took the import, but a contact read back does not show what was written",
    "It is compared once more before anything is repeated.",
)


class Importer:
    """Writes rows by import; a row that it leaves without an outcome is to be written singly."""

    def __init__(
        self, caller: BrevoCaller, owned: OwnedLists, processes: Processes, people: People, *, create_contacts: bool
    ) -> None:
        self._caller = caller
        self._people = people
        self._owned = owned
        self._processes = processes
        self._create = create_contacts

    def choose(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that an import can carry: one per contact, its first, with nothing to clear."""
        first: dict[Target, Row] = {}
        for row in rows:
            first.setdefault(row.target, row)
        return [row for row in first.values() if row.target.kind != "ext_id" and "" not in row.attributes.values()]

    async def write(self, rows: Sequence[Row], done: dict[int, Outcome], attributes: Mapping[str, Attribute]) -> None:
        """Import what can be imported and note it in `done`; raises only what stops the run."""
        try:
            ready = await self._resolve(rows, done)
            list_id = await self._owned.open(LANDING) if ready else 0
        except DOWN:
            return
        for chunk in cut_chunks(ready):
            try:
                done.update(await self._write_chunk(chunk, list_id, attributes))
            except DOWN:
                return

    async def _resolve(self, rows: Sequence[Row], done: dict[int, Outcome]) -> list[tuple[str, Row]]:
        """Return the rows with the address to import them under; rows of absent contacts are done."""
        asked = [row.target for row in rows if not self._create or row.target.kind == "contact_id"]
        people = await self._people.find(asked)
        ready: list[tuple[str, Row]] = []
        for row in rows:
            person, is_by_email = people.get(row.target), row.target.kind == "email_id"
            is_present = person is not None or (self._create and is_by_email)
            email = row.target.value if is_by_email else person and person.email
            if not is_present:
                done[row.index] = Outcome("rejected", NO_SUCH_CONTACT)
            elif email is not None:
                ready.append((email, row))
        return ready

    async def _write_chunk(
        self, chunk: Sequence[tuple[str, Row]], list_id: int, attributes: Mapping[str, Attribute]
    ) -> dict[int, Outcome]:
        body = {
            "jsonBody": [{"email": email, "attributes": row.attributes} for email, row in chunk],
            "listIds": [list_id],
            "updateExistingContacts": True,
            "emptyContactsAttributes": False,
            "disableNotification": True,
        }
        begun = await self._processes.begin("contacts.import", body, "processId")
        receipt = f"import {begun.number}"
        problem: Problem | None = _UNFINISHED
        try:
            content = await self._processes.end(begun)
            if content is not None and content.get("status") != "completed":
                return {}
            failed = None if content is None else await self._read_reports(content, {email for email, _ in chunk})
            if failed is not None and not await self._is_visible(
                [row for row in chunk if row[0] not in failed], attributes
            ):
                failed, problem = None, _NOT_VISIBLE
        except DOWN:
            failed = None
        if failed is None:
            return {row.index: Outcome("unknown", problem, receipt) for _, row in chunk}
        return {row.index: Outcome("confirmed", None, receipt) for email, row in chunk if email not in failed}

    async def _is_visible(self, chunk: Sequence[tuple[str, Row]], attributes: Mapping[str, Attribute]) -> bool:
        """Read a sample back: no report tells of values that Brevo dropped, or does not show yet."""
        sample = [chunk[round(n * (len(chunk) - 1) / (SAMPLE - 1))] for n in range(SAMPLE)] if chunk else []
        targets = {email: Target("email_id", email) for email, _ in sample}
        for wait in (0.0, SECOND_LOOK_SECONDS):
            if wait:
                await self._caller.clock.sleep(wait)
            contacts = await get_contacts(self._caller, targets.values())
            held = {email: contacts.get(target, {}).get("attributes") or {} for email, target in targets.items()}
            if all(holds(held[email], row.attributes, attributes) for email, row in sample):
                return True
        return False

    async def _read_reports(self, content: dict[str, Any], emails: set[str]) -> set[str] | None:
        """Return the addresses that were not written; None when a report names rows that cannot be told."""
        info = content.get("info")
        reports = info.get("import") if isinstance(info, dict) else None
        failed: set[str] = set()
        for url in (reports or {}).values():
            if not isinstance(url, str) or not url:
                continue
            for cells in read_report(await self._caller.download(url)):
                named = cells & emails
                if not named:
                    return None
                failed |= named
        return failed


def read_report(text: str) -> Iterator[set[str]]:
    """Yield the cells of each row of a report in lower case, without the heading."""
    lines = text.splitlines()
    delimiter = ";" if lines and lines[0].count(";") >= lines[0].count(",") else ","
    for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter)):
        values = {cell.strip().lower() for cell in cells if cell.strip()}
        if values and not (number == 0 and not any("@" in value for value in values)):
            yield values


def cut_chunks(rows: Sequence[tuple[str, Row]]) -> Iterator[list[tuple[str, Row]]]:
    """Cut rows into imports below the size that Brevo advises (8 MB); one address occurs once per chunk."""
    chunk: list[tuple[str, Row]] = []
    emails: set[str] = set()
    size = 0
    for email, row in rows:
        length = len(msgspec.json.encode(row.attributes)) + len(email) + 40
        if chunk and (size + length > MOST_BYTES or len(chunk) >= MOST_ROWS or email in emails):
            yield chunk
            chunk, emails, size = [], set(), 0
        chunk.append((email, row))
        emails.add(email)
        size += length
    if chunk:
        yield chunk
