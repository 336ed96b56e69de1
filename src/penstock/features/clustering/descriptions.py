"""What is said about a customer so that it can be embedded: listed fields and behaviour, never who the person is.

Numbers are told in bands, so that a text changes, and its vector is bought again, only when the customer did.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from penstock.base.errors import InputError
from penstock.features.topics import find_special_category

BANDS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
MOST_FIELDS = 40
_LONGEST_VALUE = 300
_MOST_VALUES = 10
_DAY = 86_400

_IDENTIFYING_WORDS = """
    email mail e_mail sms phone telephone mobile telefon tel firstname first_name vorname lastname last_name surname
    nachname name fullname full_name prenom nom nombre apellido street strasse address adresse birthday birthdate
    date_of_birth geburtstag iban card_number passport ip ip_address id contact_id ext_id user_id
"""
_IDENTIFYING = frozenset(_IDENTIFYING_WORDS.split())
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


def check_fields(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the fields; raises `InputError` for one that says who a person is, or that touches a special category.

    Groups by health, religion, politics, sex life, union membership or ethnicity would be profiles of special
    categories of personal data (GDPR Art. 9).
    """
    listed = tuple(fields)
    if not listed or len(listed) > MOST_FIELDS or len(set(listed)) < len(listed):
        raise InputError(f"list 1 to {MOST_FIELDS} different fields", code="segments.fields")
    for field in listed:
        word = re.sub(r"[\W_]+", "_", field.strip().casefold()).strip("_")
        if not word or word in _IDENTIFYING:
            raise InputError(
                f"{field!r} says who a person is, not what they are like",
                code="segments.identifying-field",
                hint="Leave it out: segments need what customers have in common.",
                where=field,
            )
        category = find_special_category(field.replace("_", " "))
        if category:
            raise InputError(
                f"{field!r} is about {category}, a special category of personal data (GDPR Art. 9)",
                code="segments.special-field",
                hint="Leave it out: customers must not be grouped by it.",
                where=field,
            )
    return listed


def describe_customer(values: Mapping[str, Any], fields: Sequence[str], as_of: float) -> str:
    """Return one line a field that has a value, in the order of the fields; empty where none has.

    `fields` went through `check_fields`; `as_of` is the moment of description in seconds since 1970, against which
    dates become bands of days. Several values of a field are listed in alphabetical order.
    """
    lines = []
    for field in fields:
        told = _tell(values.get(field), as_of)
        if told:
            lines.append(f"{_tidy(field.replace('_', ' '))}: {told}")
    return "\n".join(lines)


def _tell(value: Any, as_of: float) -> str:
    if value is None or isinstance(value, Mapping | bytes):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return band(float(value))
    if isinstance(value, date):
        return _tell_date(value, as_of)
    if isinstance(value, Collection) and not isinstance(value, str):
        told = sorted({text for one in value if (text := _tell(one, as_of))})
        return ", ".join(told[:_MOST_VALUES])
    return _tidy(str(value))


def _tell_date(value: date, as_of: float) -> str:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    days = (as_of - moment.timestamp()) / _DAY
    return f"{band(math.floor(days))} days ago" if days >= 0 else f"in {band(math.ceil(-days))} days"


def band(value: float) -> str:
    """Return the band that a number lies in, such as `20 to under 50`; empty for what is no number."""
    if not math.isfinite(value):
        return ""
    if value < 0:
        return "minus " + band(-value)
    for low, high in pairwise(BANDS):
        if value < high:
            return str(low) if high - low == 1 and value == low else f"{low} to under {high}"
    return f"{BANDS[-1]} or more"


def _tidy(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()[:_LONGEST_VALUE].rstrip()
