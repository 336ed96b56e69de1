"""Files and batches of OpenAI: a thin client, the lines of an input file, and what the lines of a result mean.

It never retries and never waits. Fields and statuses: OpenAPI description of 2026-08-21 and SDK 3.52 (contract 2.16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.base.errors import PenstockError, QuotaError, UnavailableError
from penstock.base.redact import redact
from penstock.base.types import Usage
from penstock.vendor.http import Reply
from penstock.vendor.openai import Exchange, OpenAI, read_reply
from penstock.vendor.openai_meanings import OLD_QUOTA, OLD_QUOTA_CODES, QUOTA

MOST_LINES, MOST_BYTES, MOST_INPUTS = 50_000, 200_000_000, 50_000
"""Of one file: requests, bytes, and texts to embed (contract 2.16)."""
WINDOW_SECONDS = 86_400.0
"""The one completion window that there is."""
PATHS = frozenset(
    ["/responses", "/chat/completions", "/embeddings", "/completions", "/moderations", "/images/generations"]
)
"""Endpoints whose JSON requests a batch takes; the Decisions API is none of them."""
ENDED = frozenset(["completed", "failed", "expired", "cancelled"])
TAG = "penstock"
"""Name of the metadata entry by which a batch is found again when the reply to its creation was lost."""

_FILE_SECONDS = 600.0
_PAGE = 100
_FULL = "token_limit_exceeded"


class Fault(msgspec.Struct, frozen=True):
    """Why a whole file was refused; `line` counts from 1, 0 where it concerns all of them."""

    code: str
    message: str
    line: int = 0


class Batch(msgspec.Struct, frozen=True):
    """One batch as the vendor tells it now; names of files are empty where there is none."""

    id: str
    status: str
    tag: str
    created_at: float
    output_file: str
    error_file: str
    total: int
    completed: int
    failed: int
    faults: tuple[Fault, ...]

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED

    @property
    def is_too_much(self) -> bool:
        """Whether it was refused because too many tokens of its model wait already."""
        return any(fault.code == _FULL for fault in self.faults)

    def find_stop(self) -> PenstockError | None:
        """Return the error of credit and limits that refused it, which no retry can help."""
        for fault in self.faults:
            meaning = OLD_QUOTA if fault.code in OLD_QUOTA_CODES else QUOTA.get(fault.code)
            if meaning is not None:
                return QuotaError(f"the batch was refused: {meaning.what}", code=meaning.code, hint=meaning.hint)
        return None


class Row(msgspec.Struct, frozen=True):
    """One line of a result: what it answers, and the exchange as a live call would have had it.

    `unserved` is the vendor's code for a request that was never executed, such as `batch_expired`.
    """

    custom_id: str
    exchange: Exchange
    unserved: str = ""


class _Response(msgspec.Struct):
    status_code: int = 0
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Line(msgspec.Struct):
    custom_id: str = ""
    response: _Response | None = None
    error: _Error | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


class Batches:
    """The files and batches of one connection; every method raises the typed error of a refusal."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    async def upload(self, name: str, content: bytes, call_id: str) -> str:
        """Upload the input of a batch; returns the id of the file."""
        seal = hashlib.blake2b(content, digest_size=16).hexdigest()
        body, media_type = _write_form(name, content, f"part-{seal}")
        exchange = await self._client.post("/files", body, call_id, _FILE_SECONDS, media_type=media_type)
        return _text(_good(exchange), "id")

    async def create(self, path: str, file: str, tag: str, call_id: str) -> Batch:
        """Create a batch from an uploaded file."""
        body = {
            "input_file_id": file,
            "endpoint": f"/v1{path}",
            "completion_window": "24h",
            "metadata": {TAG: tag},
        }
        return _read(_good(await self._client.post("/batches", msgspec.json.encode(body), call_id)))

    async def show(self, batch: str) -> Batch:
        """Return a batch as it is now."""
        return _read(await self._client.get(f"/batches/{batch}"))

    async def find(self, tag: str, since: float) -> Batch | None:
        """Return the batch that carries a tag, if it was created at or after `since`; the list is newest first."""
        after = ""
        while True:
            page = await self._client.get(f"/batches?limit={_PAGE}{after}")
            found = [_read(one) for one in page.get("data") or () if isinstance(one, dict)]
            for batch in found:
                if batch.tag == tag:
                    return batch
            if not page.get("has_more") or not found or found[-1].created_at < since:
                return None
            after = f"&after={found[-1].id}"

    async def cancel(self, batch: str, call_id: str) -> Batch:
        """Ask for the end of a batch; what is finished by then is delivered and billed."""
        return _read(_good(await self._client.post(f"/batches/{batch}/cancel", b"", call_id)))

    async def download(self, file: str) -> bytes:
        """Return what a file holds."""
        return await self._client.fetch(f"/files/{file}/content", timeout=_FILE_SECONDS)

    async def delete(self, file: str, call_id: str) -> None:
        """Delete a file."""
        _good(await self._client.post(f"/files/{file}", b"", call_id, method="DELETE"))


def write_line(custom_id: str, path: str, body: bytes) -> bytes:
    """Return the line of one request."""
    line = {"custom_id": custom_id, "method": "POST", "url": f"/v1{path}", "body": msgspec.Raw(body)}
    return msgspec.json.encode(line) + b"\n"


def read_rows(content: bytes, host: str) -> Iterator[Row]:
    """Yield the lines of an output or error file; a line that is damaged is left out, as if it had not come."""
    for text in content.split(b"\n"):
        if not text.strip():
            continue
        try:
            line = _decode_line(text)
        except msgspec.DecodeError:
            continue
        if line.response is not None:
            headers = {"x-request-id": line.response.request_id or ""}
            yield Row(
                line.custom_id, read_reply(Reply(line.response.status_code, headers, bytes(line.response.body), host))
            )
        else:
            error = line.error or _Error()
            code, said = error.code or "batch_line_lost", redact(error.message or "no reason given")[:500]
            problem = UnavailableError(
                f"{host} did not execute this request of a batch ({code}): {said}",
                code="openai.batch-unserved",
                where=host,
                hint="It was not billed, and is asked again.",
                sent=False,
            )
            yield Row(line.custom_id, Exchange({}, None, problem, Usage(), "", "", ""), code)


def _read(content: Mapping[str, Any]) -> Batch:
    counts = content.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    metadata, errors = content.get("metadata"), content.get("errors")
    faults = errors.get("data") if isinstance(errors, dict) else None
    return Batch(
        _text(content, "id"),
        _text(content, "status"),
        str(metadata.get(TAG) or "") if isinstance(metadata, dict) else "",
        float(content.get("created_at") or 0.0),
        str(content.get("output_file_id") or ""),
        str(content.get("error_file_id") or ""),
        int(counts.get("total") or 0),
        int(counts.get("completed") or 0),
        int(counts.get("failed") or 0),
        tuple(_read_fault(fault) for fault in faults or () if isinstance(fault, dict)),
    )


def _read_fault(fault: Mapping[str, Any]) -> Fault:
    line = fault.get("line")
    message = redact(str(fault.get("message") or ""))[:500]
    return Fault(str(fault.get("code") or ""), message, line if isinstance(line, int) else 0)


def _good(exchange: Exchange) -> Any:
    if exchange.error is not None:
        raise exchange.error
    return exchange.content


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise UnavailableError(f"the vendor's answer about a file or batch has no {name}", code="openai.wrong-shape")
    return value


def _write_form(name: str, content: bytes, boundary: str) -> tuple[bytes, str]:
    """Write the upload as multipart form data (RFC 7578)."""
    parts: Sequence[bytes] = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode(),
        b"Content-Type: application/jsonl\r\n\r\n",
        content,
        f"\r\n--{boundary}--\r\n".encode(),
    )
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
