"""Compiles the values of a mapping into functions of a record; plain paths become plain look-ups."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.expression import Expression, compile_value

Get = Callable[[Mapping[str, Any]], Any]
GetItem = Callable[[Any, Mapping[str, Any]], Any]

_OR = re.compile(r"\s+or\s+")


def is_blank(value: Any) -> bool:
    """Tell whether a record holds nothing there: no value, or empty text."""
    return value is None or (type(value) is str and not value)


def compile_record(expression: Expression) -> Get:
    """Return what evaluates an expression over `record`; what is missing is None.

    `record.a or record.b` is the first of them that is not blank.
    """
    if not expression.names:
        value = expression.evaluate({})
        return lambda _record: value
    if expression.path is None:
        choices = split_choices(expression)
        if choices:
            return _first([compile_record(one) for one in choices])
        return lambda record: _evaluate(expression, {"record": record})
    path = expression.path[1:]
    if len(path) == 1:
        key = path[0]
        return lambda record: record.get(key)  # type: ignore[arg-type]
    if len(path) == 2 and type(path[0]) is str and type(path[1]) is str:
        return _below(path[0], path[1])
    return lambda record: follow(path, record)


def compile_item(expression: Expression) -> GetItem:
    """Return what evaluates an expression over `item` and `record`."""
    if not expression.names:
        value = expression.evaluate({})
        return lambda _item, _record: value
    if expression.path is None:
        choices = split_choices(expression)
        if choices:
            return _first_of_item([compile_item(one) for one in choices])
        return lambda item, record: _evaluate(expression, {"item": item, "record": record})
    root, *rest = expression.path
    path = tuple(rest)
    if root == "record":
        return lambda _item, record: follow(path, record)
    if len(path) == 1:
        key = path[0]
        return lambda item, _record: item.get(key) if type(item) is dict else None
    return lambda item, _record: follow(path, item)


def _below(first: str, second: str) -> Get:
    def find(record: Mapping[str, Any]) -> Any:
        value = record.get(first)
        return value.get(second) if isinstance(value, dict) else None

    return find


def split_choices(expression: Expression) -> list[Expression]:
    """Return the paths of `a or b or c`, empty where an expression is anything else."""
    parts = (
        [compile_value("${{ " + part + " }}") for part in _OR.split(expression.text)]
        if " or " in expression.text
        else []
    )
    return parts if parts and all(part.path is not None for part in parts) else []


def _first(gets: list[Get]) -> Get:
    def find(record: Mapping[str, Any]) -> Any:
        for get in gets:
            value = get(record)
            if value is not None and value != "":
                return value
        return None

    return find


def _first_of_item(gets: list[GetItem]) -> GetItem:
    def find(item: Any, record: Mapping[str, Any]) -> Any:
        for get in gets:
            value = get(item, record)
            if value is not None and value != "":
                return value
        return None

    return find


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
