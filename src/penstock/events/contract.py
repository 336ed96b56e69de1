"""The versioned table of what the Conversions API takes: `contract.toml`, and a file of the same form over it.

Mapping, validation, JSON Schema, the reference page and `penstock events contract` follow it, so
that a new event type or shape is a few lines in a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.base.errors import SettingsError
from penstock.base.expression import suggest
from penstock.events.event import User

BUILT_IN = Path(__file__).with_name("contract.toml")
ANY_KEY = "*"

Certainty = Literal["documented", "observed", "claimed", "uncertain"]


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document that facts come from, and when it was read or dated."""

    title: str
    dated: str


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the forms that the contract has had."""

    number: int
    when: str
    what: str


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of the request, the envelope, a shape or an item; `required` says when in words."""

    kind: Literal[
        "text", "opaque", "integer", "number", "flag", "money", "currency", "contents", "text-map", "any", "moment",
        "choice", "url", "custom-name", "type", "user", "data", "events",
    ]  # fmt: skip
    rule: str = ""
    required: str = ""
    pattern: str = ""
    choices: tuple[str, ...] = ()
    pixel: str | None = None
    generation: int = 1
    certainty: Certainty = "documented"
    source: str = "capi"


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of `user`: its kind decides how it is normalised, and whether it is hashed."""

    kind: Literal[
        "email", "phone", "external-id", "name", "country", "place", "postal-code", "device", "opaque", "ip", "text"
    ]
    input: str
    rule: str
    many: bool = True
    pixel: str = ""
    generation: int = 4
    certainty: Certainty = "documented"
    source: str = "capi"

    @property
    def hashed(self) -> bool:
        """Whether it leaves as SHA-256 only."""
        return self.kind in {"email", "phone", "external-id", "name"}


class EventType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A type of event: the shape of its data, and whether a campaign can be optimised for it."""

    shape: str
    fires: str = ""
    goal: Literal["yes", "no", "unknown"] = "unknown"
    pixel: bool = True
    action_source: str = ""
    named: bool = False
    """Whether `custom_event_name` is required."""
    generation: int = 1
    certainty: Certainty = "documented"
    source: str = "events"


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that requests keep to."""

    value: int
    unit: str
    source: str
    certainty: Certainty = "documented"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refusal of the API: how it is recognised, what it means, what is done then."""

    status: int
    means: str
    then: str
    source: str
    code: str = ""
    says: str = ""
    where: str = ""
    certainty: Certainty = "observed"


class Older(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name of an earlier generation: what it has become, or why it is refused."""

    generation: int
    becomes: str = ""
    refused: str = ""
    hash: str = ""
    """Kind of identifier that a raw value is hashed as."""


class OlderNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Earlier names, by where they stood."""

    envelope: dict[str, Older] = {}
    user: dict[str, Older] = {}


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The whole table."""

    generation: int
    compiled: date
    url: str
    sources: dict[str, Origin]
    generations: tuple[Generation, ...]
    request: dict[str, Field]
    envelope: dict[str, Field]
    types: dict[str, EventType]
    shapes: dict[str, dict[str, Field]]
    item: dict[str, Field]
    user: dict[str, Identifier]
    limits: dict[str, Limit]
    errors: tuple[Answer, ...]
    older: OlderNames
    currencies: dict[str, str]

    @cached_property
    def digits(self) -> Mapping[str, int]:
        """Minor digits of each currency (ISO 4217)."""
        return {code: int(digits) for digits, codes in self.currencies.items() for code in codes.split()}

    @cached_property
    def custom_name(self) -> re.Pattern[str]:
        """What a custom event may be called."""
        return re.compile(self.envelope["custom_event_name"].pattern)

    @cached_property
    def action_sources(self) -> frozenset[str]:
        """Where an event can have happened."""
        return frozenset(self.envelope["action_source"].choices)

    @cached_property
    def data_fields(self) -> Mapping[str, Field]:
        """Named fields of `data`, of all shapes."""
        return {name: field for shape in self.shapes.values() for name, field in shape.items() if name != ANY_KEY}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a request body."""
        from penstock.events.schema import request_schema

        return request_schema(self)


def load_contract(override: Path | None = None) -> Contract:
    """Return the built-in table with that of `override` laid over it.

    Tables are merged key by key, lists are replaced. Raises `SettingsError` when the file cannot be
    read or does not hold together.
    """
    return _built_in() if override is None else _read(_merge(_plain(BUILT_IN), _plain(override)), override)


def find_contract(folder: Path) -> Contract:
    """Return the contract of a workspace: the built-in one, with `conversions.toml` of the folder over it."""
    override = folder / "conversions.toml"
    return load_contract(override if override.is_file() else None)


@cache
def _built_in() -> Contract:
    return _read(_plain(BUILT_IN), BUILT_IN)


def _plain(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read the contract {path}: {error.strerror}", code="contract.unreadable", hint="Give a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}", code="contract.syntax") from error


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _read(table: dict[str, Any], path: Path) -> Contract:
    try:
        contract = msgspec.convert(table, Contract)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{path}: {error}", code="contract.invalid", hint="`penstock events contract --json` shows the form."
        ) from error
    for name, kind in contract.types.items():
        if kind.shape not in contract.shapes:
            _wrong(
                path,
                f"the type {name} has the shape {kind.shape!r}, which is not described",
                contract.shapes,
                kind.shape,
            )
        if kind.action_source and kind.action_source not in contract.action_sources:
            _wrong(path, f"the type {name} has an unknown action source", contract.action_sources, kind.action_source)
    for name in contract.user:
        if name not in User.__struct_fields__:
            _wrong(path, f"user.{name} needs a newer Penstock", User.__struct_fields__, name)
    return contract


def _wrong(path: Path, message: str, known: Any, word: str) -> None:
    raise SettingsError(f"{path}: {message}", code="contract.invalid", hint=suggest(word, known))
