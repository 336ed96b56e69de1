"""Many contact updates at once through Brevo's import: chunks, a background process, and its reports.

An import must name a list, so the rows land in one list that Penstock owns, in a folder that it owns.
It creates contacts that do not exist, so existence is checked first where that is not wanted.
A repeated import leaves the same data (API reference, 2026), so an unknown outcome is simply repeated.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from penstock.base.errors import RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Outcome, Problem
from penstock.data.brevo_contacts import Place, scan
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Row, Target, get_contacts, read_email
from penstock.runtime.brevo_calls import BrevoCaller

FOLDER = "Penstock"
LIST = "Penstock updates"
MOST_BYTES = 7_500_000
MOST_ROWS = 50_000
FIRST_POLL_SECONDS = 3.0
LONGEST_POLL_SECONDS = 60.0
LONGEST_PROCESS_SECONDS = 3600.0
DOWN = (UnavailableError, ThrottledError, RejectedError)

_UNFINISHED = Problem(
    "brevo.import-unfinished",
    "Brevo took the import, but did not finish it in time",
    "It is looked up before anything is repeated; run the same command again later.",
)


class Importer:
    """Writes rows by import; a row that it leaves without an outcome is to be written singly."""

    def __init__(self, caller: BrevoCaller, *, create_contacts: bool) -> None:
        self._caller = caller
        self._create = create_contacts
        self._list: int | None = None
        self._opening = asyncio.Lock()

    def choose(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that an import can carry: one per contact, its first, with nothing to clear."""
        first: dict[Target, Row] = {}
        for row in rows:
            first.setdefault(row.target, row)
        return [row for row in first.values() if row.target.kind != "ext_id" and "" not in row.attributes.values()]

    async def is_worth_it(self, rows: Sequence[Row]) -> bool:
        """Say whether checking who exists costs clearly fewer calls than writing singly."""
        by_email = any(row.target.kind == "email_id" for row in rows)
        if self._create or not by_email:
            return True
        total = (await self._caller.call("contacts.list", query={"limit": 1})).content.get("count")
        return isinstance(total, int) and total / 1000 < len(rows) / 2

    async def write(self, rows: Sequence[Row], done: dict[int, Outcome]) -> None:
        """Import what can be imported and note it in `done`; raises only what stops the run."""
        try:
            ready = await self._resolve(rows, done)
            list_id = await self._open_list() if ready else 0
        except DOWN:
            return
        for chunk in cut_chunks(ready):
            try:
                done.update(await self._write_chunk(chunk, list_id))
            except DOWN:
                return

    async def _resolve(self, rows: Sequence[Row], done: dict[int, Outcome]) -> list[tuple[str, Row]]:
        """Return the rows with the address to import them under; rows of absent contacts are done."""
        contacts = await get_contacts(self._caller, [row.target for row in rows if row.target.kind == "contact_id"])
        wanted = {row.target.value for row in rows if row.target.kind == "email_id"}
        present = wanted if self._create else await self._find_present(wanted)
        ready: list[tuple[str, Row]] = []
        for row in rows:
            email: str | None
            if row.target.kind == "email_id":
                email, is_present = row.target.value, row.target.value in present
            else:
                contact = contacts.get(row.target)
                email, is_present = read_email((contact or {}).get("email")), contact is not None
            if not is_present:
                done[row.index] = Outcome("rejected", NO_SUCH_CONTACT)
            elif email is not None:
                ready.append((email, row))
        return ready

    async def _find_present(self, wanted: set[str]) -> set[str]:
        present: set[str] = set()
        if not wanted:
            return present
        async for contacts, _ in scan(self._caller, Place(), 1000):
            present.update(wanted.intersection(str(contact.get("email")).lower() for contact in contacts))
            if len(present) == len(wanted):
                break
        return present

    async def _open_list(self) -> int:
        async with self._opening:
            if self._list is None:
                folder = await self._find_or_create("folders.list", "folders", {}, "folders.create", {"name": FOLDER})
                self._list = await self._find_or_create(
                    "folders.lists", "lists", {"id": folder}, "lists.create", {"name": LIST, "folderId": folder}
                )
            return self._list

    async def _find_or_create(
        self, list_operation: str, collection: str, path: dict[str, int], create_operation: str, body: dict[str, Any]
    ) -> int:
        offset, size = 0, 50
        while True:
            query: dict[str, Any] = {"limit": size, "offset": offset, "sort": "asc"}
            reply = await self._caller.call(list_operation, path=path, query=query)
            found = reply.content[collection]
            for item in found:
                if item.get("name") == body["name"]:
                    return int(item["id"])
            if len(found) < size:
                break
            offset += size
        return int((await self._caller.call(create_operation, body=body)).content["id"])

    async def _write_chunk(self, chunk: Sequence[tuple[str, Row]], list_id: int) -> dict[int, Outcome]:
        body = {
            "jsonBody": [{"email": email, "attributes": row.attributes} for email, row in chunk],
            "listIds": [list_id],
            "updateExistingContacts": True,
            "emptyContactsAttributes": False,
            "disableNotification": True,
        }
        process = int((await self._caller.call("contacts.import", body=body)).content["processId"])
        receipt = f"import {process}"
        try:
            content = await self._await_process(process)
            if content is not None and content.get("status") != "completed":
                return {}
            failed = None if content is None else await self._read_reports(content, {email for email, _ in chunk})
        except DOWN:
            failed = None
        if failed is None:
            return {row.index: Outcome("unknown", _UNFINISHED, receipt) for _, row in chunk}
        return {row.index: Outcome("confirmed", None, receipt) for email, row in chunk if email not in failed}

    async def _await_process(self, process: int) -> dict[str, Any] | None:
        """Poll ever more rarely, for polls share a limit of some hundred calls an hour; None when it takes too long."""
        clock = self._caller.clock
        give_up = clock.monotonic() + LONGEST_PROCESS_SECONDS
        wait = FIRST_POLL_SECONDS
        while clock.monotonic() < give_up:
            await clock.sleep(wait)
            content: dict[str, Any] = (await self._caller.call("processes.get", path={"id": process})).content
            if content.get("status") in ("completed", "failed", "cancelled"):
                return content
            wait = min(wait * 1.6, LONGEST_POLL_SECONDS)
        return None

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
