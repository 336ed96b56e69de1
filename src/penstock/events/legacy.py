"""Translates events that are written in the names of older generations of the contract, or says why it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.base.errors import MappingError
from penstock.events.contract import Contract, Older
from penstock.events.draft import Draft
from penstock.events.identifiers import HASHERS
from penstock.events.mapped import Refusal
from penstock.events.values import read_flag, refuse


def modernise(record: Mapping[str, Any], contract: Contract, draft: Draft) -> dict[str, Any]:
    """Return the event in today's names; what is left out becomes a warning, what cannot be read a refusal."""
    event: dict[str, Any] = {}
    for name, value in record.items():
        older = contract.older.envelope.get(name) if name not in contract.envelope else None
        if older is None:
            event[name] = value
        elif older.refused:
            draft.refusals.append(Refusal("event.old-name", name, f"{name}: {older.refused}"))
        else:
            event.setdefault(older.becomes, value)
            draft.warnings.append(f"{name} is the old name of {older.becomes} [event.old-name]")
    if isinstance(event.get("user"), dict):
        event["user"] = _modernise_user(event["user"], contract, draft)
    if event.get("opt_out") is not None:
        event["opt_out"] = _read_opt_out(event["opt_out"], draft)
    return {name: value for name, value in event.items() if value is not None}


def _modernise_user(user: Mapping[str, Any], contract: Contract, draft: Draft) -> dict[str, Any]:
    today: dict[str, Any] = {}
    for name, value in user.items():
        if value is None or value in ("", []):
            continue
        older = contract.older.user.get(name) if name not in contract.user else None
        if older is not None and older.refused:
            draft.warnings.append(f"user.{name}: {older.refused}; it is left out [event.old-name]")
        elif older is not None:
            _add(today, older, name, value, draft)
        elif isinstance(value, list) and name in contract.user:
            today[name] = [*value, *today.get(name, [])]
        else:
            today[name] = value
    return today


def _add(today: dict[str, Any], older: Older, name: str, value: Any, draft: Draft) -> None:
    values = value if isinstance(value, list) else [value]
    draft.warnings.append(f"user.{name} is the old name of {older.becomes} [event.old-name]")
    if older.hash:
        values = [digest for one in values if (digest := _hash(older.hash, one, name, draft))]
    kept = today.get(older.becomes, [])
    if isinstance(kept, list):
        today[older.becomes] = [*kept, *values]


def _hash(kind: str, value: Any, name: str, draft: Draft) -> str:
    try:
        digest = HASHERS[kind](value)
    except MappingError as error:
        draft.warn(f"user.{name}", error)
        return ""
    if digest != value and len(str(value)) > 5:
        draft.clear.append(str(value))
    return str(digest)


def _read_opt_out(value: Any, draft: Draft) -> Any:
    try:
        return read_flag(value)
    except MappingError as error:
        draft.refuse("opt_out", refuse("event.not-a-flag", "is neither true nor false", error.hint))
        return None
