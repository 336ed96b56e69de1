"""Reads an Embeddings reply into the bytes of its vectors, without a Python number on the way.

Shape: OpenAPI description of 2026-08-21; base64 holds little-endian 32-bit floats.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from penstock.vendor.http import Reply
from penstock.vendor.openai import Exchange, read_content, read_reply


class _Vector(msgspec.Struct):
    embedding: bytes | list[float]
    index: int


class _Reply(msgspec.Struct):
    data: list[_Vector]
    model: str = ""
    usage: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Reply)


def read_vectors(reply: Reply) -> Exchange:
    """Turn a good reply into an exchange whose content is a list of vectors as bytes, in the order of the inputs.

    A reply of another shape keeps its JSON as content. Servers that ignore the wish for base64 are understood.
    """
    try:
        found = _decoder.decode(reply.body)
        rows = _in_order(found.data)
    except (msgspec.DecodeError, struct.error, OverflowError):
        return read_reply(reply)
    if rows is None:
        return read_reply(reply)
    exchange = read_content({"model": found.model, "usage": found.usage}, reply.headers, reply.host)
    return msgspec.structs.replace(exchange, content=rows)


def unpack_vectors(content: Any) -> list[bytes] | None:
    """Return the vectors as bytes of a reply that was decoded already; None for one of another shape."""
    try:
        return _in_order(msgspec.convert(content, _Reply).data)
    except (msgspec.ValidationError, struct.error, OverflowError):
        return None


def _in_order(data: list[_Vector]) -> list[bytes] | None:
    """Return the vectors by index; None when one is missing, doubled, or of another size than the others."""
    if any(one.index != at for at, one in enumerate(data)):
        data = sorted(data, key=lambda one: one.index)
        if any(one.index != at for at, one in enumerate(data)):
            return None
    rows = [one.embedding if isinstance(one.embedding, bytes) else _pack(one.embedding) for one in data]
    sizes = {len(row) for row in rows}
    return rows if len(sizes) == 1 and not (size := sizes.pop()) % 4 and size else None


def _pack(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)
