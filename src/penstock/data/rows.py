"""What every table of records shares: checked options, key columns, and rows that are kept aside."""

from __future__ import annotations

import datetime
import decimal
import difflib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.base.errors import InputError
from penstock.base.types import Problem, Reject

RAW_LIMIT = 10_000
"""Characters of a rejected row that are kept; the place that is named beside them has the rest."""


def check_options(what: str, options: Mapping[str, Any], allowed: Sequence[str], required: Sequence[str]) -> None:
    """Raise `InputError` for an option that does not exist or one that is missing."""
    for name in options:
        if name not in allowed:
            raise InputError(
                f"{what} has no option {str(name)!r}",
                code="input.unknown-option",
                hint=suggest(str(name), allowed) or f"It takes: {', '.join(allowed)}.",
            )
    for name in required:
        if options.get(name) in (None, "", []):
            raise InputError(
                f"{what} needs the option {name!r}",
                code="input.missing-option",
                hint=f"Add `{name}: …` to it.",
            )


def text_option(what: str, options: Mapping[str, Any], name: str) -> str | None:
    """Return an option that is text, or None when it is not given; raises `InputError` for another type."""
    value = options.get(name)
    if value is None or isinstance(value, str):
        return value
    raise InputError(
        f"the option {name!r} of {what} is {type(value).__name__}, not text",
        code="input.wrong-option",
        hint=f"Write the value of `{name}` in quotes.",
    )


def flag_option(what: str, options: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return an option that is yes or no; raises `InputError` for anything else."""
    value = options.get(name, default)
    if isinstance(value, bool):
        return value
    raise InputError(
        f"the option {name!r} of {what} is {value!r}",
        code="input.wrong-option",
        hint=f"Write `{name}: true` or `{name}: false`.",
    )


def names_option(what: str, options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return an option that names one column or several; raises `InputError` for anything else."""
    value = options.get(name, ())
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(one, str) and one for one in names):
        raise InputError(
            f"the option {name!r} of {what} does not name columns",
            code="input.wrong-option",
            hint=f"Write `{name}: email` or `{name}: [country, email]`.",
        )
    return tuple(names)


def require_columns(what: str, wanted: Sequence[str], present: Sequence[str], option: str = "key") -> None:
    """Raise `InputError` that lists the columns when a wanted one is not among them."""
    for name in wanted:
        if name not in present:
            listed = ", ".join(present[:40]) + (", …" if len(present) > 40 else "")
            raise InputError(
                f"{what} has no column {name!r}; it has: {listed}",
                code="input.missing-column",
                hint=suggest(name, present) or f"Name one of these columns for `{option}`.",
            )


def require_unique(what: str, names: Sequence[str]) -> None:
    """Raise `InputError` when two columns have one name: a record could keep only one of them."""
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            raise InputError(
                f"{what} has two columns named {name!r} (columns {seen[name]} and {number})",
                code="input.duplicate-column",
                hint="Rename one of them.",
            )
        seen[name] = number


def suggest(name: str, names: Iterable[str]) -> str:
    """Return `Did you mean …?` with the nearest of `names`, or nothing."""
    by_fold = {one.casefold().strip(): one for one in names}
    close = difflib.get_close_matches(name.casefold().strip(), by_fold, n=1)
    return f"Did you mean {by_fold[close[0]]!r}?" if close else ""


def make_key(values: Sequence[Any]) -> str:
    """Join the values of the key columns into the record's key; raises `ValueError` when one cannot serve.

    One value stands for itself, without surrounding blanks. Several are joined by a bar, and
    bars and backslashes inside them are escaped, so that different values never give one key.
    """
    if len(values) == 1:
        value = values[0]
        return (type(value) is str and value.strip()) or _key_part(value)
    parts = [_key_part(value) for value in values]
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def _key_part(value: Any) -> str:
    if isinstance(value, str):
        text = value.strip()
    elif value is None:
        text = ""
    elif isinstance(value, float) and value.is_integer():
        text = str(int(value))
    elif isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
    elif isinstance(value, (int, float, decimal.Decimal, uuid.UUID)) and not isinstance(value, bool):
        text = str(value)
    else:
        raise ValueError(f"the key is {type(value).__name__}, neither text nor number")
    if not text:
        raise ValueError("the key is empty")
    return text


def reject(where: str, raw: str, code: str, message: str, hint: str = "") -> Reject:
    """Keep a row aside with what is wrong with it."""
    shown = raw if len(raw) <= RAW_LIMIT else f"{raw[:RAW_LIMIT]}…"
    return Reject(where, shown, Problem(code, message, hint, where))


def reject_key(where: str, raw: str, error: ValueError, columns: Sequence[str]) -> Reject:
    """Keep a row aside that cannot be told from others."""
    return reject(where, raw, "input.bad-key", f"{error} ({', '.join(columns)})", "Fill in the key and run again.")
