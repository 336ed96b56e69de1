"""Files of the emulated OpenAI: upload, list, read, delete, and their expiry by the world's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from penstock.sandbox.openai_fields import Fields, invalid, read_fields
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Act, Call, Done, Route, Service, answer_json

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_MOST_BYTES = 512_000_000
_PROJECT_BYTES = 2_500_000_000_000
_BATCH_SECONDS = 30 * 86_400
_KNOWN = frozenset(["file", "purpose", "expires_after"])


class StoredFile(msgspec.Struct):
    """One file; `expires_at` is None for one that stays until it is deleted."""

    id: str
    filename: str
    purpose: str
    content: bytes
    created_at: float
    expires_at: float | None

    def body(self) -> dict[str, Any]:
        """Return the File object."""
        body = {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }
        return body if self.expires_at is None else {**body, "expires_at": int(self.expires_at)}


class Files:
    """The files of the emulated service; every key sees all of them."""

    def __init__(self, service: Service) -> None:
        self._clock = service.world.clock
        self._kept: dict[str, StoredFile] = {}

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v1/files", "files.create", self._create),
            Route("GET", "/v1/files", "files.list", self._list),
            Route(
                "GET", "/v1/files/{id}", "files.retrieve", lambda call: answer_json(self.find(call.names["id"]).body())
            ),
            Route("DELETE", "/v1/files/{id}", "files.delete", self._delete),
            Route("GET", "/v1/files/{id}/content", "files.content", self._read),
        ]

    def find(self, identity: str) -> StoredFile:
        """Return a file that is still there."""
        found = self._kept.get(identity)
        if found is not None and found.expires_at is not None and found.expires_at <= self._clock.now():
            del self._kept[identity]
            found = None
        if found is None:
            raise ApiError(404, f"No such File object: {identity}", param="id")
        return found

    def add(self, filename: str, purpose: str, content: bytes, seconds: float | None = None) -> StoredFile:
        """Keep a file, for so many seconds where given; batch files stay 30 days."""
        if sum(len(one.content) for one in self._kept.values()) + len(content) > _PROJECT_BYTES:
            raise ApiError(400, "The project's files take more than 2.5 TB.", code="storage_limit_exceeded")
        if seconds is None and purpose in ("batch", "batch_output"):
            seconds = _BATCH_SECONDS
        now = self._clock.now()
        identity = self._clock.new_id("file").replace("_", "-")
        stored = StoredFile(identity, filename, purpose, content, now, None if seconds is None else now + seconds)
        self._kept[identity] = stored
        return stored

    def _create(self, call: Call) -> Act:
        fields = read_fields(call, form=True)
        fields.refuse_unknown(_KNOWN)
        given = fields.file("file")
        purpose = fields.choice("purpose", PURPOSES, "") if fields.get("purpose") else fields.text("purpose")
        seconds = read_expiry(fields)
        check_file(given.name, purpose, len(given.content))
        return Act(lambda: answer_json(self.add(given.name, purpose, given.content, seconds).body()))

    def _list(self, call: Call) -> Done:
        now, purpose = self._clock.now(), call.asked("purpose")
        alive = [one for one in self._kept.values() if one.expires_at is None or one.expires_at > now]
        chosen = [one for one in alive if not purpose or one.purpose == purpose]
        if call.asked("order", "desc") == "desc":
            chosen.reverse()
        return answer_json(make_page(call, chosen, most=10_000, usual=10_000))

    def _delete(self, call: Call) -> Act:
        identity = self.find(call.names["id"]).id

        def run() -> Done:
            self._kept.pop(identity, None)
            return answer_json({"id": identity, "object": "file", "deleted": True})

        return Act(run)

    def _read(self, call: Call) -> Done:
        stored = self.find(call.names["id"])
        if stored.purpose in ("assistants", "vision", "user_data"):
            text = f"Not allowed to download files of purpose: {stored.purpose}"
            raise ApiError(400, text)
        return Done(stored.content, kind=b"application/octet-stream")


def check_file(filename: str, purpose: str, size: int) -> None:
    """Refuse a file that is empty, too large, or of the wrong kind for its purpose."""
    if not size:
        raise invalid("file", "the file is empty.", "empty_file")
    if size > _MOST_BYTES:
        raise ApiError(413, "The file is too large: at most 512 MB.", param="file")
    if purpose in ("batch", "fine-tune", "evals") and not filename.lower().endswith(".jsonl"):
        text = f"Invalid file format for purpose '{purpose}'. Must be .jsonl."
        raise ApiError(400, text, code="invalid_file_format", param="file")


def read_expiry(fields: Fields, name: str = "expires_after") -> float | None:
    """Return the seconds that a file is to stay, 1 hour to 30 days; None where nothing is said."""
    if name not in fields.names:
        return None
    if fields.get(f"{name}.anchor") != "created_at":
        raise invalid(f"{name}.anchor", "supported values are: created_at.")
    return fields.whole(f"{name}.seconds", 3_600, 2_592_000, 0) or None


class Listed(Protocol):
    """What can stand in a list."""

    id: str

    def body(self) -> dict[str, Any]:
        """Return the object as the service writes it."""


def make_page(call: Call, items: Sequence[Listed], *, most: int, usual: int) -> dict[str, Any]:
    """Return one page of a list; `after` and `limit` are in the query."""
    asked = call.asked("limit", str(usual))
    if not asked.isdigit() or not 1 <= int(asked) <= most:
        raise invalid("limit", f"expected a whole number from 1 to {most}.")
    start = 0
    after = call.asked("after")
    if after:
        places = [at for at, item in enumerate(items) if item.id == after]
        if not places:
            raise invalid("after", f"no such object: '{after}'.")
        start = places[0] + 1
    chosen = items[start : start + int(asked)]
    return {
        "object": "list",
        "data": [item.body() for item in chosen],
        "first_id": chosen[0].id if chosen else None,
        "last_id": chosen[-1].id if chosen else None,
        "has_more": start + len(chosen) < len(items),
    }
