"""Files that come as parts of a form: each becomes a data URL in the input field of the same name."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from penstock.base.errors import InputError
from penstock.server.doors import UPLOAD_LIMIT, Call, decode

MOST_FILES = 32
MOST_FIELDS = 32
ENVELOPE = "request"
"""The part that holds what is the whole body of a request without files."""


async def read_form(call: Call) -> dict[str, Any]:
    """Return the request of a form with its files put in; raises `InputError` for what is no such form."""
    try:
        form = await MultiPartParser(
            call.request.headers,
            _once(call.body),
            max_files=MOST_FILES,
            max_fields=MOST_FIELDS,
            max_part_size=UPLOAD_LIMIT,
        ).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InputError(
            f"the form cannot be read: {error}",
            code="request.form",
            hint="Send multipart/form-data with its boundary, at most 32 files, the JSON in the part `request`.",
        ) from error
    text = form.get(ENVELOPE, "{}")
    values: dict[str, Any] = decode(text.encode() if isinstance(text, str) else await text.read(), dict[str, Any])
    inputs = values.setdefault("input", {})
    if not isinstance(inputs, dict):  # the caller names the fault
        return values
    for name in dict.fromkeys(name for name, part in form.multi_items() if isinstance(part, UploadFile)):
        parts = [await _data_url(part) for part in form.getlist(name) if isinstance(part, UploadFile)]
        if name != ENVELOPE:
            inputs[name.removesuffix("[]")] = parts if name.endswith("[]") or len(parts) > 1 else parts[0]
    await form.close()
    return values


async def _data_url(part: UploadFile) -> str:
    content = base64.b64encode(await part.read()).decode()
    return f"data:{part.content_type or 'application/octet-stream'};base64,{content}"


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
