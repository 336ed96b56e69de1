"""Bulk imports and background processes of the Brevo emulator: queued, in process, done, by the world's clock.

A process takes effect when the clock has passed its end and the next request arrives; nothing runs by itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from penstock.sandbox.brevo_records import PHONE_KINDS, Fields, fold, is_email, read_claims
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    MAX_BODY_BYTES,
    Answer,
    RefusedError,
    Request,
    cut_page,
    decode,
    invalid,
)

REPORTS = {
    "email": "duplicate_email_id",
    "ext_id": "duplicate_ext_id",
    "SMS": "duplicate_phone_id",
    "WHATSAPP": "duplicate_whatsapp_id",
    "LANDLINE_NUMBER": "duplicate_landline_number_id",
}
ALL_REPORTS = ("invalid_emails", "duplicate_contact_id", *sorted(REPORTS.values()))


class Process(msgspec.Struct):
    """One background process; `work` is what it does at its end. Times are milliseconds."""

    id: int
    name: str
    start: int
    end: int
    work: Callable[[], None] | None
    failed: bool = False
    site: str = ""
    token: str = ""
    notify: str = ""
    actor: str = ""
    file: str = ""
    reports: dict[str, list[tuple[str, ...]]] = {}

    def status(self, now: int) -> str:
        """Return the vendor's word for where the process stands."""
        if self.work is None:
            return "failed" if self.failed else "completed"
        return "queued" if now < self.start else "in_process"

    def show(self, now: int) -> dict[str, Any]:
        """Return the process as the API shows it; reports appear only once an import is complete."""
        shown: dict[str, Any] = {"id": self.id, "name": self.name, "status": self.status(now)}
        if self.name == "IMPORTUSER" and shown["status"] == "completed":
            address = f"{self.site}/sandbox-reports/{self.id}/{self.token}"
            links = {name: f"{address}/{name}.csv" if name in self.reports else None for name in ALL_REPORTS}
            shown["info"] = {"import": links}
        if self.name == "EXPORTUSER" and shown["status"] == "completed":
            shown["export_url"] = f"{self.site}/sandbox-reports/{self.id}/{self.token}/export.csv"
        return shown


class _NewList(msgspec.Struct):
    name: str = msgspec.field(name="listName")
    folder: int = msgspec.field(name="folderId")


class _Row(msgspec.Struct):
    email: str | None = None
    attributes: dict[str, Any] = {}


class _Import(msgspec.Struct, rename="camel"):
    json_body: list[_Row] | None = None
    file_body: str | None = None
    file_url: str | None = None
    list_ids: list[int] = []
    new_list: _NewList | None = None
    update_existing_contacts: bool = True
    empty_contacts_attributes: bool = False
    email_blacklist: bool = False
    sms_blacklist: bool = False
    consent_group_ids: list[int] = []
    notify_url: str | None = None


def start_process(
    state: BrevoState,
    name: str,
    rows: int,
    work: Callable[[], None],
    request: Request,
    notify: str | None = None,
) -> Process:
    """Queue a process behind those already there; `notify` is told of its end."""
    now = state.now()
    start = now + round(state.behaviour.import_delay * 1000)
    if state.waiting:
        start = max(start, state.waiting[-1].end)
    end = start + round(rows / state.behaviour.import_rows_per_second * 1000)
    process = Process(state.next_id("process"), name, start, end, work)
    process.site = request.site
    process.token = f"{state.world.rng.getrandbits(64):016x}"
    process.notify = notify or ""
    process.actor = state.actor
    state.processes[process.id] = process
    state.waiting.append(process)
    return process


def settle(state: BrevoState) -> None:
    """Let every process that is due by now take effect, in order."""
    while state.waiting and state.waiting[0].end <= state.now():
        _end(state)


def finish(state: BrevoState) -> None:
    """Let every process take effect at once, because the sandbox closes."""
    while state.waiting:
        _end(state)


def _end(state: BrevoState) -> None:
    process = state.waiting.popleft()
    process.failed = state.world.take_fault("brevo", "import.process") is not None
    if process.work is not None and not process.failed:
        state.actor = process.actor
        process.work()
        state.actor = ""
    process.work = None
    if process.notify:
        state.outbox.notify(process.notify, process.show(state.now()))


def import_contacts(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/import: 202 with the process that will do it."""
    if len(request.body) > MAX_BODY_BYTES:
        raise RefusedError(400, "out_of_range", "the body is larger than 10 MB")
    body = decode(request.body, _Import)
    given = [part for part in (body.json_body, body.file_body, body.file_url) if part]
    if len(given) != 1:
        raise invalid("exactly one of jsonBody, fileBody and fileUrl is needed")
    if body.file_url:
        raise invalid(f"fileUrl cannot be reached from the sandbox: {body.file_url}")
    if not body.list_ids and body.new_list is None:
        raise RefusedError(400, "missing_parameter", "listIds or newList is missing")
    state.check_lists(body.list_ids)
    if unknown := [number for number in body.consent_group_ids if number not in state.groups]:
        raise invalid(f"consentGroupIds does not exist: {unknown[0]}")
    lists = [*body.list_ids, *_open_list(state, body.new_list)]
    rows = body.json_body if body.json_body is not None else list(_read_csv(body.file_body or ""))

    job = _Job(state, body, lists)
    process = start_process(state, "IMPORTUSER", len(rows), lambda: job.write(rows, process), request, body.notify_url)
    state.world.wrote("brevo", "contacts.import", f"process {process.id}", ())
    return Answer(202, {"processId": process.id})


def _open_list(state: BrevoState, new: _NewList | None) -> list[int]:
    if new is None:
        return []
    if new.folder not in state.folders:
        raise invalid(f"folderId does not exist: {new.folder}")
    return [state.add_list(new.name, new.folder).id]


def _read_csv(text: str) -> Iterable[_Row]:
    reader = csv.DictReader(io.StringIO(text), delimiter=";", restval="")
    if not {"EMAIL", "EXT_ID", *PHONE_KINDS} & {(name or "").strip().upper() for name in reader.fieldnames or ()}:
        raise invalid("the file has no column that identifies a contact")
    for line in reader:
        cells = {name.strip().upper(): cell.strip() for name, cell in line.items() if isinstance(cell, str) and name}
        yield _Row(cells.pop("EMAIL", None), cells)


class _Job:
    """The writing of one import's rows."""

    def __init__(self, state: BrevoState, body: _Import, lists: list[int]) -> None:
        self.state = state
        self.body = body
        self.lists = lists
        self.seen: set[tuple[str, str]] = set()

    def write(self, rows: list[_Row], process: Process) -> None:
        """Write all rows; those that cannot be go to the process's reports."""
        self.lists = [number for number in self.lists if number in self.state.lists]
        for row in rows:
            refused = self._write_row(row, process.end)
            if refused is not None:
                process.reports.setdefault(refused[0], []).append(refused[1:])

    def _write_row(self, row: _Row, at: int) -> tuple[str, ...] | None:
        """Write one row; returns the report that it belongs to and its cells when it was not written."""
        email = (row.email or "").strip()
        attributes = {name: "" if value is None else value for name, value in row.attributes.items()}
        claims = {} if email and not is_email(email) else _read_row_claims(email, attributes)
        keyed = self.body.file_body is not None or self.state.behaviour.import_identifiers
        if not claims or not (email or keyed):
            return "invalid_emails", email
        primary, value = next(iter(claims.items()))
        mark = primary, fold(primary, value)
        if mark in self.seen:
            return REPORTS[primary], email, value
        self.seen.add(mark)
        target = self.state.find(primary, value)
        if kinds := self.state.conflicts(claims, target):
            return REPORTS[kinds[0]], email, claims[kinds[0]]
        fields = self._fields(attributes, claims)
        if target is not None and not self.body.update_existing_contacts:
            fields = Fields(lists=self.lists)
        written = self.state.write(target, fields, "contacts.import", at)
        for number in self.body.consent_group_ids:
            self.state.consents.setdefault(written.id, {}).setdefault(number, "subscribed")
        return None

    def _fields(self, attributes: dict[str, Any], claims: dict[str, str]) -> Fields:
        return Fields(
            attributes,
            claims,
            self.lists,
            email_blacklisted=self.body.email_blacklist or None,  # false is the default and changes nothing
            sms_blacklisted=self.body.sms_blacklist or None,
            clear=self.body.empty_contacts_attributes,
            cells=self.body.file_body is not None,
        )


def _read_row_claims(email: str, attributes: dict[str, Any]) -> dict[str, str]:
    """Return a row's identifiers; an invalid phone number is dropped, as any value that does not fit."""
    try:
        return read_claims(email, None, attributes)
    except RefusedError:
        rest = {name: value for name, value in attributes.items() if name not in PHONE_KINDS}
        return read_claims(email, None, rest)


def list_processes(state: BrevoState, request: Request) -> Answer:
    """GET /processes."""
    rows = list(state.processes.values())
    page = cut_page(rows, request, default=10, highest=50)
    now = state.now()
    return Answer(200, {"processes": [process.show(now) for process in page], "count": len(rows)})


def get_process(state: BrevoState, request: Request) -> Answer:
    """GET /processes/{process}."""
    text = request.path["process"]
    if not text.isdecimal() or int(text) not in state.processes:
        raise RefusedError(404, "invalid_parameter", "processId is invalid")
    return Answer(200, state.processes[int(text)].show(state.now()))


def get_report(state: BrevoState, request: Request) -> Answer:
    """Serve a CSV report: columns EMAIL and, for duplicates, the identifier that is taken."""
    process = state.processes.get(int(request.path["process"])) if request.path["process"].isdecimal() else None
    name = request.path["file"].removesuffix(".csv")
    mine = process is not None and process.token == request.path["token"]
    if process is not None and mine and name == "export" and process.work is None and process.file:
        return Answer(200, raw=process.file.encode(), media="text/csv")
    if process is None or not mine or name not in process.reports:
        raise RefusedError(404, "document_not_found", "Report does not exist")
    output = io.StringIO()
    writer = csv.writer(output, delimiter=";", lineterminator="\n")
    writer.writerow(["EMAIL"] if name == "invalid_emails" else ["EMAIL", name.removeprefix("duplicate_").upper()])
    writer.writerows(process.reports[name])
    return Answer(200, raw=output.getvalue().encode(), media="text/csv")
