"""Reads single values of an event from what records hold; each raises `MappingError` for what does not fit."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.redact import redact
from penstock.events.identifiers import looks_hashed

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)(?:[^/?#\s@]*@)?([^/?#\s@]+)([^?#\s]*)")
_OPPREF = re.compile(r"[?&]oppref=([^&#\s]+)")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_POSTAL = re.compile(r"[\w \-]{1,32}")
_DEVICE = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DEPTH = 40
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_EMAIL = re.compile(r"[^\s@\"'<>/?&=]+(?:@|%40)[^\s@\"'<>/?&=]+\.[^\s@\"'<>/?&=.]{2,}", re.IGNORECASE)


def refuse(code: str, message: str, hint: str = "") -> MappingError:
    """Return the error for one value of an event."""
    return MappingError(message, code=code, hint=hint)


def read_text(value: Any) -> str:
    """Return non-empty text; whole numbers become text, since ids often are numbers."""
    if type(value) is str:
        text = value.strip()
        if text and text.isascii() and "\x00" not in text:
            return text
    elif isinstance(value, str):
        text = str(value).strip()
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        text = str(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        text = str(int(value))
    else:
        raise refuse("event.wrong-type", "is not text")
    if not text:
        raise refuse("event.empty", "is empty")
    if "\x00" in text or not is_encodable(text):
        raise refuse("event.bad-text", "holds letters that cannot be sent")
    return text


def is_encodable(text: str) -> bool:
    """Tell whether text is valid Unicode, as half of a surrogate pair is not."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def read_opaque(value: Any) -> str:
    """Return a reference of the vendor unchanged."""
    if not isinstance(value, str):
        raise refuse("event.wrong-type", "is not text")
    if not value.strip():
        raise refuse("event.empty", "is empty")
    if not is_encodable(value):
        raise refuse("event.bad-text", "holds letters that cannot be sent")
    return value


def read_flag(value: Any) -> bool:
    """Return a flag from true/false, 1/0 or yes/no."""
    if isinstance(value, bool):
        return value
    value = value if isinstance(value, (str, int)) else ""
    found = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else {1: True, 0: False}.get(value)
    if found is None:
        raise refuse("event.not-a-flag", "is neither true nor false", "Write true or false.")
    return found


def read_integer(value: Any) -> int:
    """Return a whole number that is not below zero."""
    if type(value) is int and 0 <= value < 2**53:
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 15:
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53 and value == int(value):
        return int(value)
    raise refuse("event.not-whole", "is no whole number")


def read_url(value: Any) -> str:
    """Return origin and path of an address: query and fragment stay here (vendor's advice, 2026-06)."""
    return _read_url(value) if type(value) is str else _read_url(read_text(value))


@lru_cache(maxsize=4096)
def _read_url(value: str) -> str:
    text = read_text(value)
    found = _URL.match(text)
    if found is None:
        raise refuse("event.bad-url", "has no scheme and host", "Write https://shop.example/path.")
    scheme, host, path = found.groups()
    return scheme + host + path


def find_oppref(url: Any) -> str:
    """Return the click reference of a landing address as it stands there, never decoded; empty without one."""
    found = _OPPREF.search(url) if isinstance(url, str) and is_encodable(url) else None
    return found.group(1) if found else ""


def read_origin(url: str) -> str:
    """Return scheme and host of an address that `read_url` has returned."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def read_country(value: Any) -> str:
    """Return the two capital letters of a country."""
    text = read_text(value)
    if not _COUNTRY.fullmatch(text):
        if looks_hashed(text):
            raise refuse("event.hashed-place", "is a hash; countries are sent in clear text")
        raise refuse("event.bad-country", "is not a two-letter code", "Write DE, not Germany.")
    return text.upper()


def read_place(value: Any) -> str:
    """Return a city or region as it is written; the vendor lower-cases it."""
    text = read_text(value)
    if looks_hashed(text):
        raise refuse("event.hashed-place", "is a hash; places are sent in clear text")
    if len(text) > 128 or "@" in text:
        raise refuse("event.bad-place", "is no city or region of at most 128 letters")
    return text


def read_postal_code(value: Any) -> str:
    """Return a postal code of letters, digits, blanks and hyphens."""
    text = read_text(value)
    if looks_hashed(text):
        raise refuse("event.hashed-place", "is a hash; postal codes are sent in clear text")
    if not _POSTAL.fullmatch(text) or "_" in text or not any(letter.isalnum() for letter in text):
        raise refuse("event.bad-postal-code", "is not made of letters, digits, blanks and hyphens, at most 32")
    return text


def read_device(value: Any) -> str:
    """Return Google's advertising id; one of all zeroes says that there is none."""
    text = read_text(value)
    if not _DEVICE.fullmatch(text):
        raise refuse("event.bad-device", "is not a UUID")
    if text == _NO_DEVICE:
        raise refuse("event.no-device", "is all zeroes, which the vendor ignores")
    return text.lower()


def read_ip(value: Any) -> str:
    """Return an IPv4 or IPv6 address."""
    text = read_text(value)
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError) as error:
        raise refuse(
            "event.bad-ip", "is not an IPv4 or IPv6 address", "Map one address, not a list of proxies."
        ) from error
    return text


def show_name(name: str) -> str:
    """Return the name of a field that nobody declared, fit to be shown: records may have people as keys."""
    return redact(name)[:60] or "(no name)"


def has_email(text: str) -> bool:
    """Tell whether a text holds an email address, also where `@` is written as %40."""
    return ("@" in text or "%40" in text) and _EMAIL.search(text) is not None


def names_person(value: Any, clear: list[str]) -> bool:
    """Tell whether a value, or anything in it, is one of the identifiers `clear`, holds a long one, or an email."""
    if isinstance(value, str):
        return value.strip() in clear or has_email(value) or any(len(one) > 7 and one in value for one in clear)
    if isinstance(value, dict):
        return any(names_person(one, clear) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(names_person(one, clear) for one in value)


CLEAR: dict[str, Callable[[Any], str]] = {
    "country": read_country,
    "place": read_place,
    "postal-code": read_postal_code,
    "device": read_device,
    "opaque": read_opaque,
    "ip": read_ip,
    "text": read_text,
}
"""What reads each kind of identifier that is sent in clear text."""


def read_map(value: Any) -> dict[str, str]:
    """Return a mapping of text to text; numbers become text."""
    if not isinstance(value, dict):
        raise refuse("event.not-a-mapping", "is no mapping of text to text")
    return {read_text(name): read_text(one) for name, one in value.items() if one not in (None, "")}


def read_number(value: Any) -> float:
    """Return a number that JSON can hold."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    raise refuse("event.not-a-number", "is no number")


def read_json(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that can be sent; raises `MappingError` for numbers and text that cannot."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not is_encodable(value):
            raise refuse("event.bad-text", "holds letters that cannot be sent")
        return value
    if isinstance(value, (int, float)):
        return read_number(value)
    if depth > _DEPTH:
        raise refuse("event.too-deep", f"is nested deeper than {_DEPTH} levels")
    if isinstance(value, list):
        return [read_json(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {read_text(name): read_json(one, depth + 1) for name, one in value.items()}
    raise refuse("event.wrong-type", f"is {type(value).__name__}, which JSON does not have")


READERS: dict[str, Callable[[Any], Any]] = {
    "text": read_text,
    "opaque": read_text,
    "integer": read_integer,
    "number": read_number,
    "flag": read_flag,
    "text-map": read_map,
    "any": read_json,
}
"""What reads each kind of field of `data` and of items, beside money."""
