"""The words of `source: segments`: whose customers, by which fields, into how many segments, named by whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator

from penstock.base.errors import InputError, MappingError
from penstock.base.expression import Expression, compile_value, suggest
from penstock.flows.strict import Strict

CARRIED = ("email", "ext_id")
"""Fields that go along unread, so that the flow can find the contact."""
CUSTOMERS = ("files", "sql", "brevo")
_PATH = re.compile(r"record((?:\.\w+|\[['\"][^'\"]+['\"]\])+)")
_PART = re.compile(r"\w[^'\"\].]*")


class SegmentsPart(Strict):
    """The options of `source: segments`."""

    customers: dict[str, dict[str, Any]]
    """Where customers come from: one of files, sql, brevo, with its options."""
    describe: list[str | dict[str, str]] = Field(min_length=1)
    """Fields that the text about a customer is made of; or a name with an expression, as `shelf: ${{ … }}`."""
    behaviour: list[str | dict[str, str]] = Field(default=[])
    """Fields that count beside the text: numbers, dates, categories."""
    share: float = Field(0.3, gt=0, lt=1)
    """Part of behaviour in the distance between customers; the rest is the text."""
    weights: dict[str, float] = Field(default={})
    """How much each field of behaviour counts, 1 where it is not said."""
    k: int | Literal["auto"] = "auto"
    """How many segments; auto takes the number that speaks most for itself."""
    names: Literal["terms", "model"] = "terms"
    """Who names segments: their words, or a model that is shown members."""
    language: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")
    """Language of names that a model gives."""
    dimensions: int | None = Field(256, ge=2, le=4096)
    """Numbers of a vector."""
    keep: list[str] = Field(default=[*CARRIED])
    """Fields that go along unread, so that the sink can find the contact."""
    drifted: Literal["tell", "anew"] = "tell"
    """What happens when the segments no longer fit: it is said, or they are found anew."""

    map: Literal["neighbours", "directions"] | None = None
    """How the map is drawn; without it by neighbours where `penstock[map]` is installed."""

    @field_validator("k")
    @classmethod
    def _check_count(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1000:
            raise ValueError("a number from 1 to 1000, or auto")
        return value

    @property
    def count(self) -> int | None:
        """How many segments, None where that is found out."""
        return None if self.k == "auto" else self.k


class Column(NamedTuple):
    """A field of a customer by its name in descriptions."""

    label: str
    find: Callable[[dict[str, Any]], Any]


def read_options(options: Mapping[str, Any]) -> SegmentsPart:
    """Read the options; raises `InputError` that names the wrong one."""
    try:
        part = SegmentsPart.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        word = ".".join(str(one) for one in first["loc"])
        hint = suggest(word, SegmentsPart.model_fields) if first["type"] == "extra_forbidden" else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"segments: {word}: {message}", code="segments.option", hint=hint) from error
    if len(part.customers) != 1 or next(iter(part.customers)) not in CUSTOMERS:
        raise InputError(f"customers: name exactly one of {', '.join(CUSTOMERS)}", code="segments.option")
    return part


def compile_columns(given: list[str | dict[str, str]]) -> list[Column]:
    """Compile fields; raises `InputError` for those that say who a person is or touch a special category."""
    from penstock.features.clustering.descriptions import check_fields

    columns: list[Column] = []
    for one in given:
        for label, text in (one if isinstance(one, dict) else {one.rpartition(".")[2]: one}).items():
            if "${{" in text:
                for path in _PATH.findall(text):
                    check_fields(_PART.findall(path)[-1:])
                columns.append(Column(label, _by_expression(label, text)))
            else:
                check_fields([text.rpartition(".")[2]])
                columns.append(Column(label, _by_path(tuple(text.split(".")))))
    check_fields([column.label for column in columns])
    return columns


def _by_path(path: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    def find(data: dict[str, Any]) -> Any:
        value: Any = data
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    return find


def _by_expression(label: str, text: str) -> Callable[[dict[str, Any]], Any]:
    try:
        compiled: Expression = compile_value(text)
    except MappingError as error:
        raise InputError(f"{label}: {error.message}", code="segments.option", hint=error.hint) from error
    if compiled.names != {"record"}:
        raise InputError(f"{label}: an expression sees the record of a customer only", code="segments.option")

    def find(data: dict[str, Any]) -> Any:
        try:
            return compiled.evaluate({"record": data})
        except MappingError:
            return None

    return find
