"""What columns of a database take: kinds of values, values that fit, and a new table for new values."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from penstock.base.redact import redact
from penstock.base.types import Change
from penstock.data.sql.database import Database

_KINDS: Mapping[str, type[sa.types.TypeEngine[Any]]] = {
    "text": sa.Text,
    "number": sa.Double,
    "date": sa.DateTime,
    "boolean": sa.Boolean,
}


_FAMILIES: tuple[tuple[tuple[type[Any], ...], str], ...] = (
    ((sa.Boolean,), "boolean"),
    ((sa.Integer, sa.Numeric, sa.Float), "number"),
    ((sa.DateTime, sa.Date), "date"),
    ((sa.String,), "text"),
)

_TAKEN: Mapping[str, Mapping[str, Literal["yes", "some"]]] = {
    "boolean": {"boolean": "yes"},
    "number": {"number": "yes", "text": "some"},
    "date": {"date": "yes", "text": "some"},
    "text": {"text": "yes", "number": "yes", "date": "yes"},
}


def accepts(type: sa.types.TypeEngine[Any], kind: str) -> Literal["yes", "some", "no"]:
    """Tell whether a column takes values of a kind (text, number, date, boolean), only some of them, or none."""
    family = _family(type)
    return _TAKEN[family].get(kind, "no") if family in _TAKEN else "yes"


def fit(value: Any, type: sa.types.TypeEngine[Any]) -> Any:
    """Turn a value into what a column takes; raises `ValueError` when it cannot be.

    Texts become numbers and times (ISO 8601, UTC when they name no zone) and numbers become
    texts where the column wants it; lists and objects become JSON text where it wants no JSON.
    """
    family = _family(type)
    if value is None:
        return None
    if family == "number":
        return _fit_number(value, is_whole=isinstance(type, sa.Integer))
    if family == "date":
        return _fit_time(value, type)
    if family == "text":
        return _fit_text(value)
    if family == "boolean" and not isinstance(value, bool):
        raise _misfit(value, "neither true nor false")
    is_json = isinstance(value, (list, tuple, dict)) and not isinstance(type, (sa.JSON, sa.ARRAY))
    return msgspec.json.encode(value).decode() if is_json else value


def _family(type: sa.types.TypeEngine[Any]) -> str:
    return next((family for types, family in _FAMILIES if isinstance(type, types)), "other")


def _fit_number(value: Any, *, is_whole: bool) -> Any:
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation as error:
            raise _misfit(value, "no number") from error
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _misfit(value, "no number")
    if not is_whole:
        return value
    if not math.isfinite(value) or int(value) != value:
        raise _misfit(value, "no whole number")
    return int(value)


def _fit_time(value: Any, type: sa.types.TypeEngine[Any]) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError as error:
            raise _misfit(value, "no date") from error
    if not isinstance(value, datetime.date):
        raise _misfit(value, "no date")
    if isinstance(type, sa.Date):
        return value.date() if isinstance(value, datetime.datetime) else value
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    in_utc = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    return in_utc if getattr(type, "timezone", False) else in_utc.replace(tzinfo=None)


def _fit_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bool):
        raise _misfit(value, "no text")
    return str(value) if isinstance(value, (int, float, Decimal, uuid.UUID)) else msgspec.json.encode(value).decode()


def _misfit(value: Any, what: str) -> ValueError:
    text = str(value)
    return ValueError(redact(f"{text[:40]!r} is {what}"))


def is_equal(held: Any, wanted: Any) -> bool:
    """Tell whether the database holds a value, allowing for how it keeps numbers and times."""
    if isinstance(held, (int, float, Decimal)) and isinstance(wanted, (int, float, Decimal)):
        return math.isclose(float(held), float(wanted), rel_tol=1e-6)
    if isinstance(held, datetime.datetime) and isinstance(wanted, datetime.datetime):
        return bool(_fit_time(held, sa.DateTime()) == _fit_time(wanted, sa.DateTime()))
    return bool(held == wanted)


def create_table(database: Database, name: str, changes: Sequence[Change], kinds: Mapping[str, str]) -> None:
    """Create the table that `changes` fit into; the columns that they are matched by are its primary key."""
    values: dict[str, Any] = {}
    match = dict.fromkeys(column for change in changes for column in change.match)
    for change in changes:
        for column, value in (*change.match.items(), *change.fields.items()):
            if values.get(column) is None:
                values[column] = value
    schema, _, plain = name.rpartition(".")
    columns = [
        sa.Column(column, _KINDS[kinds.get(column) or _kind_of(value)](), primary_key=column in match)
        for column, value in values.items()
    ]
    table = sa.Table(plain, sa.MetaData(), *columns, schema=schema or None)
    try:
        table.create(database.engine, checkfirst=True)
    except SQLAlchemyError as error:
        if not sa.inspect(database.engine).has_table(plain, schema=schema or None):  # else another worker was faster
            raise database.explain(error) from error


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float, Decimal)):
        return "number"
    return "date" if isinstance(value, datetime.date) else "text"
