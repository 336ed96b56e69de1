"""A paid request before it is sent, and the answer to it: the values that pass through `runtime.call`."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, Literal

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Money, Usage

_encoder = msgspec.json.Encoder(order="sorted")


class Attachment(msgspec.Struct, frozen=True, dict=True):
    """One file that travels with a request, in a part of its own."""

    field: str
    name: str
    media_type: str
    data: bytes
    source: str = ""
    """Where a file that was not fetched yet comes from; it can be shown, not sent."""

    @cached_property
    def digest(self) -> str:
        """The hash that stands for the file in an answer's address."""
        return hashlib.blake2b(self.source.encode() or self.data, digest_size=16).hexdigest()


class Ask(msgspec.Struct, frozen=True, dict=True):
    """One paid request: what is asked, of which model, and the worst that it can use."""

    operation: str
    version: int
    path: str
    model: str
    body: dict[str, Any]
    prompt_tokens: int
    max_output_tokens: int = 0
    likely_output_tokens: int = 0
    """What an answer usually takes, for estimates."""
    connection: str = "openai"
    tier: str = "default"
    method: Literal["POST", "GET", "DELETE"] = "POST"
    files: tuple[Attachment, ...] = ()
    """Sent beside the fields of `body`, as multipart form data."""
    reply: Literal["json", "media", "vectors"] = "json"
    """`media`: a good reply is a file or plain text, held as `{"media_type", "base64"}` or `{"media_type", "text"}`.
    `vectors`: one vector as bytes for each of the texts in `input`, each held by itself."""
    images: int = 0
    """Pictures that count against a limit of images."""
    most: Usage | None = None
    """The most that is used where tokens do not say it all (pictures, audio), and what counts as used when a reply
    does not tell."""
    likely: Usage | None = None
    """What is probably used, where that is less than the most."""
    is_kept: bool = True
    """Whether the answer is held and never bought again; False for what changes by itself, such as a list."""
    is_once: bool = False
    """Whether it must never be sent a second time while the fate of the first sending is unknown."""
    is_free: bool = False
    """Whether the vendor charges nothing for it."""
    timeout: float = 0.0
    """Seconds that an answer may take at least, whatever the setting says."""
    warnings: tuple[str, ...] = ()
    """What of the input could not be honoured; no part of the address."""

    @cached_property
    def content(self) -> bytes:
        """The request body in one canonical form: what is sent is what is addressed."""
        if self.method != "POST":
            return b""
        return _encode_form(self) if self.files else _encoder.encode(self.body)

    @property
    def media_type(self) -> str:
        """The content type that goes with `content`."""
        return f"multipart/form-data; boundary={_boundary(self)}" if self.files else "application/json"

    @property
    def price_list(self) -> str:
        """Which prices hold: those of the Decisions API, or those of the model."""
        return "decide" if self.path == "/decisions" else ""

    def address(self, account: str) -> bytes:
        """Return the 16-byte address of the answer: operation, version, request and account."""
        known: tuple[str, bytes] | None = self.__dict__.get("_address")
        if known is None or known[0] != account:
            known = self.__dict__["_address"] = (account, self._digest(account))
        return known[1]

    def _digest(self, account: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{account}\n{self.operation}\n{self.version}\n{self.path}\n{self.tier}\n".encode())
        digest.update(_encoder.encode(self.body) if self.files or self.method != "POST" else self.content)
        for file in self.files:
            digest.update(f"\n{file.field}\n{file.digest}".encode())
        return digest.digest()


class Answer(msgspec.Struct, frozen=True, dict=True):
    """What came back: the body, its usage and cost, who really served it, and whether it was held already."""

    body: msgspec.Raw = msgspec.field(name="content")
    """JSON as it came, so that it is neither written anew nor read before somebody needs it; or any decoded value."""
    usage: Usage
    cost: Money | None
    model: str
    tier: str
    request_id: str
    at: float
    cached: bool = False

    @cached_property
    def content(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body) if isinstance(self.body, msgspec.Raw) else self.body


def _boundary(ask: Ask) -> str:
    seal = hashlib.blake2b(_encoder.encode(ask.body), digest_size=12)
    for file in ask.files:
        seal.update(file.data)
    return f"part-{seal.hexdigest()}"


def _encode_form(ask: Ask) -> bytes:
    """Write fields and files as multipart form data (RFC 7578); a list becomes one part per entry, named `name[]`."""
    for file in ask.files:
        if file.source:
            raise InputError(
                f"{file.field}: the file behind a URL is not fetched here",
                code="file.not-fetched",
                hint="Give its bytes as a data URL; a single call fetches it.",
            )
    parts: list[bytes] = []
    line = f"--{_boundary(ask)}\r\n"
    for name, value in sorted(ask.body.items()):
        many = isinstance(value, list)
        for each in value if many else [value]:
            head = f'{line}Content-Disposition: form-data; name="{name}{"[]" if many else ""}"\r\n\r\n'
            parts.append(f"{head}{_form_text(each)}\r\n".encode())
    for file in ask.files:
        shown = file.name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
        head = f'{line}Content-Disposition: form-data; name="{file.field}"; filename="{shown}"\r\n'
        parts.append(f"{head}Content-Type: {file.media_type}\r\n\r\n".encode() + file.data + b"\r\n")
    parts.append(f"--{_boundary(ask)}--\r\n".encode())
    return b"".join(parts)


def _form_text(value: Any) -> str:
    return value if isinstance(value, str) else _encoder.encode(value).decode()
