"""Compiles the values of a mapping into functions of a record; plain paths become plain look-ups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.expression import Expression

Get = Callable[[Mapping[str, Any]], Any]
GetItem = Callable[[Any, Mapping[str, Any]], Any]


def is_blank(value: Any) -> bool:
    """Tell whether a record holds nothing there: no value, or empty text."""
    return value is None or (type(value) is str and not value)


def compile_record(expression: Expression) -> Get:
    """Return what evaluates an expression over `record`; what is missing is None."""
    if not expression.names:
        value = expression.evaluate({})
        return lambda _record: value
    if expression.path is None:
        return lambda record: _evaluate(expression, {"record": record})
    path = expression.path[1:]
    if len(path) == 1:
        key = path[0]
        return lambda record: record.get(key)  # type: ignore[arg-type]
    return lambda record: follow(path, record)


def compile_item(expression: Expression) -> GetItem:
    """Return what evaluates an expression over `item` and `record`."""
    if not expression.names:
        value = expression.evaluate({})
        return lambda _item, _record: value
    if expression.path is None:
        return lambda item, record: _evaluate(expression, {"item": item, "record": record})
    root, *rest = expression.path
    path = tuple(rest)
    if root == "record":
        return lambda _item, record: follow(path, record)
    return lambda item, _record: follow(path, item)


def follow(path: tuple[str | int, ...], value: Any) -> Any:
    """Return what stands at the end of a path, None where it breaks off."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and type(part) is int and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _evaluate(expression: Expression, scope: Mapping[str, Any]) -> Any:
    try:
        return expression.evaluate(scope)
    except MappingError as error:
        if error.code == "mapping.missing-field":
            return None
        # The engine's own words may quote the record, so only the kind of the mistake is passed on.
        kind = type(error.__cause__).__name__ if error.__cause__ else "error"
        raise MappingError(
            f"${{{{ {expression.text} }}}} cannot be computed for this record: {kind}", code="mapping.failed"
        ) from None
