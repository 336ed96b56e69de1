"""Files that go into operations, and files that come out.

A file comes as bytes, base64, a data URL, a URL or a path. What it is is told from its content;
whether a path may be read is decided by whoever calls (`FilePolicy`): never by a caller from outside.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import msgspec
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from penstock.base.errors import InputError
from penstock.operations.declare import Fields
from penstock.operations.media import EXTENSIONS, name_file, sniff
from penstock.runtime.ask import Attachment

Fetch = Callable[[str, int], Awaitable[bytes]]
"""Returns what is behind a public URL, of at most so many bytes."""

MOST_PATH = 4096
"""Characters that a path may have."""


@dataclass(frozen=True)
class FilePolicy:
    """Which paths may be read: below these folders; None is any path, an empty list no path at all."""

    folders: tuple[Path, ...] | None = ()


NO_PATHS = FilePolicy(())
ANY_PATH = FilePolicy(None)


class Rule(msgspec.Struct, frozen=True):
    """What a field takes: the word for it, media types, and the most bytes."""

    what: str
    types: tuple[str, ...]
    most_bytes: int


PICTURE = Rule("picture", ("image/png", "image/jpeg", "image/webp"), 50_000_000 - 1)
"""Pictures to edit: each under 50 MB (contract 2.14)."""
MASK = Rule("mask", ("image/png",), 4_000_000 - 1)
SIGHT = Rule("picture", ("image/png", "image/jpeg", "image/webp", "image/gif"), 50_000_000)
"""Pictures that a text model looks at."""
RECORDING = Rule(
    "recording",
    (
        "audio/flac",
        "audio/mpeg",
        "audio/mp4",
        "video/mp4",
        "video/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
    ),
    25_000_000,
)
"""Sound to write down: up to 25 MB (contract 2.15)."""


class File(msgspec.Struct, frozen=True):
    """One file; with a `url` it is still to be fetched, and has no bytes."""

    name: str
    media_type: str
    data: bytes
    url: str = ""
    rule: Rule | None = None

    def __repr__(self) -> str:
        return f"File({self.name!r}, {self.media_type!r}, {len(self.data):,} bytes)"

    def attach(self, field: str) -> Attachment:
        """Return the file as a part of a request."""
        return Attachment(field, self.name, self.media_type, self.data, self.url)

    def data_url(self) -> str:
        """Return the file as a `data:` URL; one that is not fetched by its own address."""
        return self.url or f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


class MadeFile(Fields):
    """A file that was made."""

    media_type: str
    """What kind of file it is."""
    base64: str
    """Its content."""
    name: str
    """A name for it."""


def made_file(data: bytes, media_type: str, name: str) -> MadeFile:
    """Return a file for an output; its name gets the ending of its kind."""
    return MadeFile(
        media_type=media_type, base64=base64.b64encode(data).decode("ascii"), name=f"{name}.{EXTENSIONS[media_type]}"
    )


_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "A data URL, a https URL, base64, or a path on this machine."},
        {
            "type": "object",
            "properties": {
                "base64": {"type": "string"},
                "url": {"type": "string"},
                "path": {"type": "string"},
                "name": {"type": "string"},
                "media_type": {"type": "string"},
            },
            "additionalProperties": False,
        },
    ]
}


def _field(rule: Rule) -> tuple[Any, Any]:
    def read(value: Any, info: ValidationInfo) -> File:
        policy = (info.context or {}).get("files", NO_PATHS)
        return read_file(value, rule, policy)

    return PlainValidator(read), WithJsonSchema(_SCHEMA)


PictureFile = Annotated[File, *_field(PICTURE)]
MaskFile = Annotated[File, *_field(MASK)]
SeenFile = Annotated[File, *_field(SIGHT)]
RecordingFile = Annotated[File, *_field(RECORDING)]


def read_file(value: Any, rule: Rule, policy: FilePolicy = NO_PATHS) -> File:
    """Return the file that a value stands for; raises `ValueError` that says what is wrong with it."""
    if isinstance(value, File):
        return value if value.url else check_file(value.data, value.name, rule)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return check_file(bytes(value), "", rule)
    if isinstance(value, Path):  # JSON has none: whoever gives one runs here
        return _read_path(value, rule)
    if isinstance(value, Mapping):
        return _read_parts(value, rule, policy)
    if not isinstance(value, str):
        given = type(value).__name__
        raise ValueError(f"a {rule.what} is a path, a URL, a data URL, base64 or bytes, not {given}")  # noqa: TRY004
    return _read_text(value.strip(), rule, policy, "")


def check_file(data: bytes, name: str, rule: Rule) -> File:
    """Return the file when kind and size fit the rule; raises `ValueError`."""
    if not data:
        raise ValueError(f"the {rule.what} is empty")
    if len(data) > rule.most_bytes:
        raise ValueError(_too_large(len(data), rule))
    media_type = sniff(data)
    if media_type not in rule.types:
        found = f"is {media_type}" if media_type else "is of no known kind"
        taken = ", ".join(EXTENSIONS[one] for one in rule.types)
        raise ValueError(f"the {rule.what} {found}; taken are {taken} (told from the content, not the name)")
    return File(name_file(name or rule.what, media_type), media_type, data)


def _too_large(size: int, rule: Rule) -> str:
    advice = "cut it into parts, or save it as mp3 with a lower bit rate" if rule is RECORDING else "make it smaller"
    return f"the {rule.what} has {size:,} bytes; the vendor takes up to {rule.most_bytes:,}: {advice}"


def _read_parts(value: Mapping[str, Any], rule: Rule, policy: FilePolicy) -> File:
    sources = [name for name in ("base64", "url", "path") if value.get(name)]
    rest = set(value) - {"base64", "url", "path", "name", "media_type"}
    if len(sources) != 1 or rest or not all(isinstance(part, str) for part in value.values()):
        raise ValueError("a file is an object with one of base64, url and path, and perhaps name and media_type")
    text, name = value[sources[0]], str(value.get("name") or "")
    if sources[0] == "base64":
        data = _decode(text)
        if data is None:
            raise ValueError(f"the {rule.what} is not valid base64")
        return check_file(data, name, rule)
    if sources[0] == "path":
        return _read_path(_allow(text, rule, policy), rule)
    return _read_url(text, rule, name)


def _read_text(text: str, rule: Rule, policy: FilePolicy, name: str) -> File:
    if "://" in text[:16] or text[:5].lower() == "data:":
        return _read_url(text, rule, name)
    data = _decode(text)
    if data is not None and sniff(data):  # a path that decodes to the beginning of a picture does not occur
        return check_file(data, name, rule)
    return _read_path(_allow(text, rule, policy), rule)


def _read_url(text: str, rule: Rule, name: str) -> File:
    scheme = text.partition(":")[0].lower()
    if scheme == "data":
        head, comma, body = text.partition(",")
        data = _decode(unquote(body)) if head.lower().endswith(";base64") else unquote_to_bytes(body)
        if not comma or data is None:
            raise ValueError(f"the data URL of the {rule.what} cannot be read: data:TYPE;base64,…")
        return check_file(data, name, rule)
    if scheme != "https":
        raise ValueError(f"the {rule.what} is behind {scheme}:; only https: and data: URLs are taken")
    try:
        last = unquote(urlsplit(text).path).rpartition("/")[2]
    except ValueError as error:
        raise ValueError(f"the URL of the {rule.what} cannot be read: {error}") from None
    return File(name or last or rule.what, "", b"", text, rule)


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _allow(text: str, rule: Rule, policy: FilePolicy) -> Path:
    """Return the path when it may be read; what a caller may not read is not looked at either."""
    if policy.folders is not None and not policy.folders:
        raise ValueError(f"paths are not read here: send the {rule.what} as base64, as a data URL or by https")
    if not text or len(text) > MOST_PATH or "\0" in text:
        raise ValueError(f"the {rule.what} is neither a path nor a URL nor base64")
    path = Path(text).expanduser()
    if policy.folders is None:
        return path
    folders = [folder.resolve() for folder in policy.folders]
    path = (folders[0] / path).resolve()
    if not any(path.is_relative_to(folder) for folder in folders):
        raise ValueError(f"the {rule.what} is outside of the folders that may be read")
    return path


def _read_path(path: Path, rule: Rule) -> File:
    try:
        if not path.is_file():
            raise ValueError(f"there is no file {path.name!r} at this path")
        size = path.stat().st_size
        if size > rule.most_bytes:
            raise ValueError(_too_large(size, rule))
        return check_file(path.read_bytes(), path.name, rule)
    except OSError as error:
        raise ValueError(f"the {rule.what} {path.name!r} cannot be read: {error.strerror}") from None


I = TypeVar("I", bound=Fields)  # noqa: E741 - input


async def load_files(given: I, fetch: Fetch) -> I:
    """Fetch every file of an input that is behind a URL, and hold it against its rule.

    Raises `InputError` for what is no such file, and what `fetch` raises.
    """
    found: dict[str, Any] = {}
    for name, value in given:
        loaded = await _load(name, value, fetch)
        if loaded is not value:
            found[name] = loaded
    return given.model_copy(update=found) if found else given


async def _load(name: str, value: Any, fetch: Fetch) -> Any:
    if isinstance(value, File) and value.url and value.rule:
        try:
            return check_file(await fetch(value.url, value.rule.most_bytes), value.name, value.rule)
        except ValueError as error:
            raise InputError(f"{name}: {error}", code="operation.bad-input") from None
    if isinstance(value, list):
        parts = [await _load(f"{name}.{at}", part, fetch) for at, part in enumerate(value)]
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value
    return await load_files(value, fetch) if isinstance(value, Fields) else value
