"""Uploads of the emulated OpenAI: a large file in parts, joined when it is complete."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from penstock.sandbox.openai_fields import invalid, read_fields
from penstock.sandbox.openai_files import PURPOSES, Files, StoredFile, read_expiry
from penstock.sandbox.openai_requests import ApiError, missing
from penstock.sandbox.openai_routes import Act, Call, Done, Route, Service, answer_json

_MOST_BYTES = 8_000_000_000
_PART_BYTES = 64_000_000
_HOUR = 3_600.0
_KNOWN = frozenset(["filename", "purpose", "bytes", "mime_type", "expires_after"])


class _Upload(msgspec.Struct):
    id: str
    filename: str
    purpose: str
    size: int
    created_at: float
    seconds: float | None
    status: str = "pending"
    parts: dict[str, bytes] = {}
    file: StoredFile | None = None

    def body(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "upload",
            "bytes": self.size,
            "created_at": int(self.created_at),
            "expires_at": int(self.created_at + _HOUR),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status,
            "file": self.file.body() if self.file else None,
        }


class Uploads:
    """Uploads that are under way; each ends an hour after its creation."""

    def __init__(self, service: Service, files: Files) -> None:
        self._clock = service.world.clock
        self._files = files
        self._kept: dict[str, _Upload] = {}

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v1/uploads", "uploads.create", self._create),
            Route("POST", "/v1/uploads/{id}/parts", "uploads.parts", self._add_part),
            Route("POST", "/v1/uploads/{id}/complete", "uploads.complete", self._complete),
            Route("POST", "/v1/uploads/{id}/cancel", "uploads.cancel", self._cancel),
        ]

    def _find(self, call: Call) -> _Upload:
        """Return an upload that still takes parts."""
        identity = call.names["id"]
        upload = self._kept.get(identity)
        if upload is None:
            raise ApiError(404, f"No such Upload object: {identity}", param="upload_id")
        if upload.status == "pending" and self._clock.now() >= upload.created_at + _HOUR:
            upload.status = "expired"
        if upload.status != "pending":
            text = f"Upload {identity} cannot be changed: its status is '{upload.status}'."
            raise ApiError(400, text, code="invalid_upload_status")
        return upload

    def _create(self, call: Call) -> Act:
        fields = read_fields(call, form=False)
        fields.refuse_unknown(_KNOWN)
        for name in ("filename", "purpose", "mime_type"):
            fields.text(name)
        if fields.get("bytes") is None:
            raise missing("bytes")
        upload = _Upload(
            "",
            fields.text("filename"),
            fields.choice("purpose", PURPOSES, ""),
            fields.whole("bytes", 1, _MOST_BYTES, 0),
            self._clock.now(),
            read_expiry(fields),
        )

        def run() -> Done:
            upload.id = self._clock.new_id("upload")
            self._kept[upload.id] = upload
            return answer_json(upload.body())

        return Act(run)

    def _add_part(self, call: Call) -> Act:
        upload = self._find(call)
        part = read_fields(call, form=True).file("data").content
        if len(part) > _PART_BYTES:
            raise ApiError(413, "The part is too large: at most 64 MB.", param="data")

        def run() -> Done:
            identity = self._clock.new_id("part")
            upload.parts[identity] = part
            created = int(self._clock.now())
            body = {"id": identity, "object": "upload.part", "created_at": created, "upload_id": upload.id}
            return answer_json(body)

        return Act(run)

    def _complete(self, call: Call) -> Act:
        upload = self._find(call)
        fields = read_fields(call, form=False)
        fields.refuse_unknown(frozenset(["part_ids", "md5"]))
        chosen = fields.many("part_ids")
        if not chosen:
            raise missing("part_ids")
        unknown = [one for one in chosen if one not in upload.parts]
        if unknown:
            raise invalid("part_ids", f"no such part: '{unknown[0]}'.")
        content = b"".join(upload.parts[one] for one in chosen)
        if len(content) != upload.size:
            raise invalid("part_ids", f"the parts have {len(content)} bytes, {upload.size} were announced.")
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if fields.get("md5") not in (None, digest):
            raise invalid("md5", f"the checksum of the parts is {digest}.")

        def run() -> Done:
            upload.file = self._files.add(upload.filename, upload.purpose, content, upload.seconds)
            upload.status = "completed"
            upload.parts.clear()
            return answer_json(upload.body())

        return Act(run)

    def _cancel(self, call: Call) -> Act:
        upload = self._find(call)

        def run() -> Done:
            upload.status = "cancelled"
            upload.parts.clear()
            return answer_json(upload.body())

        return Act(run)
