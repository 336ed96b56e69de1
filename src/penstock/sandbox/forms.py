"""Bodies of type multipart/form-data, taken apart in memory (RFC 7578)."""

from __future__ import annotations

from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import Any, NamedTuple

_HEADERS = HeaderParser()


class FormFile(NamedTuple):
    """One uploaded file of a form."""

    name: str
    content_type: str
    content: bytes


FormValue = str | FormFile


class FormError(ValueError):
    """The body is not the form that its header announces."""


def read_form(content_type: str, body: bytes) -> dict[str, list[FormValue]]:
    """Return every field with its values in order; fields named `x[]` are found under `x`."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise FormError("expected a body of type multipart/form-data with a boundary")
    fields: dict[str, list[FormValue]] = {}
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise FormError("the form has no end; was it cut off?")
    for piece in pieces[1:-1]:
        name, value = _read_part(piece)
        fields.setdefault(name, []).append(value)
    return fields


def _read_part(piece: bytes) -> tuple[str, FormValue]:
    # What may follow a boundary on its line is white space only.
    _, _, rest = piece.partition(b"\r\n")
    head, found, content = rest.partition(b"\r\n\r\n")
    if not found:
        raise FormError("a part of the form has no headers")
    headers = _HEADERS.parsestr(head.decode("utf-8", "replace"))
    name = _parameter(headers, "name")
    if not name:
        raise FormError("a part of the form has no name")
    name = name.removesuffix("[]")
    file_name = _parameter(headers, "filename")
    if file_name is None:
        return name, content.decode("utf-8", "replace")
    return name, FormFile(file_name, headers.get_content_type(), content)


def _parameter(headers: Message, name: str) -> str | None:
    value: Any = headers.get_param(name, header="content-disposition")
    return None if value is None else collapse_rfc2231_value(value)
