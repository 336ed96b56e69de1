"""Turns identifiers of people into what may leave: normalised by the vendor's exact rules, then hashed.

`Sha256` is the only form in which an email, phone, external id or name fits into an event, and
only the functions of this module make one. Rules: OpenAI Ads Conversions API, read 2026-09.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Self

from penstock.base.errors import MappingError


class Sha256(str):
    """A lower-case hex digest of a normalised identifier; made by `hash_…` and `take_hashed` alone."""

    __slots__ = ()

    def __new__(cls, *_values: object) -> Self:
        """Refuse: a digest never comes from text that was not normalised or checked."""
        raise TypeError("Sha256 is made by penstock.events.identifiers.hash_… and take_hashed alone")

    def __reduce__(self) -> tuple[Callable[[Any], Sha256], tuple[str]]:
        """Copy and pickle through the same check."""
        return take_hashed, (str(self),)


_make: Callable[[type[Sha256], str], Sha256] = str.__new__

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_OTHER_DIGEST = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128}")
_ASCII_EMAIL = re.compile(r"[!-?A-~]++@(?:[!-,/-?A-~\-]++\.)++[!-,/-?A-~\-]++")
_EMAIL = re.compile(r"[^@\s]++@(?:[^@\s.]++\.)++[^@\s.]++")
_PHONE_SEPARATORS = re.compile(r"[\s().-]+")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_NAME_DROPS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")

_EMPTY = sha256(b"").hexdigest()
_PLACEHOLDERS = frozenset(
    ("null", "none", "undefined", "nan", "nil", "unknown", "anonymous", "n/a", "not set", "(not set)", "-")
)
_NO_CUSTOMER = _PLACEHOLDERS | {"0", "-1", "guest"}
_LONGEST_PLACEHOLDER = max(map(len, _NO_CUSTOMER))
_ZERO_KEPT = frozenset({"39", "378", "379"})
"""Calling codes whose national numbers keep their first zero (ITU-T E.164 national plans of Italy and within it)."""


def _refuse(code: str, message: str, hint: str = "") -> MappingError:
    return MappingError(message, code=code, hint=hint)


# email


def normalise_email(value: Any) -> str:
    """Return an email trimmed, in NFC and lower case; raises `MappingError` for what is no address."""
    text = _text(value)
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).strip()
        if any(unicodedata.category(letter) in {"Cc", "Cf", "Zs"} for letter in text):
            raise _refuse(
                "identifier.hidden-letters", "holds invisible characters", "Remove them: they change the hash."
            )
        pattern = _EMAIL
    else:
        text = text.lower()
        pattern = _ASCII_EMAIL
    if not pattern.fullmatch(text):
        raise _not_email(text)
    return text


def _not_email(text: str) -> MappingError:
    if not text or text in _PLACEHOLDERS:
        return _refuse("identifier.empty", "is empty or stands for nothing")
    if _OTHER_DIGEST.fullmatch(text):
        return _refuse("identifier.other-hash", "looks like a hash that is not SHA-256", "OpenAI matches SHA-256 only.")
    return _refuse("identifier.not-an-email", "is not an email address")


def hash_email(value: Any) -> Sha256:
    """Return the digest of an email; a SHA-256 that is given instead is taken as it is, never hashed again."""
    if type(value) is str and value.isascii():
        plain = value.strip().lower()
        if _ASCII_EMAIL.fullmatch(plain):  # as nearly all are; the rest takes the long way, to the same end
            return _make(Sha256, sha256(plain.encode()).hexdigest())
    text = _text(value)
    if len(text) == 64 and _DIGEST.fullmatch(text):
        return take_hashed(text)
    return _digest(normalise_email(text))


# phone


def normalise_phone(value: Any, calling_code: str = "") -> str:
    """Return a phone number as 8 to 15 digits with its country code and without `+`.

    A number without `+` or `00` is national: it is refused unless `calling_code` says which
    country's it is (`49`), or that the code is always in the number (`included`). Blanks,
    parentheses, periods and hyphens are dropped, one `+`, then leading zeroes; whatever else
    stands there refuses the number, since `ext. 12` would make it a stranger's.
    """
    text = _PHONE_SEPARATORS.sub("", _text(value))
    is_international = text[:1] == "+" or text[:2] == "00"
    digits = text.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        raise _not_phone(digits)
    if not is_international:
        digits = _add_code(digits, calling_code)
    digits = digits.lstrip("0")
    if not 8 <= len(digits) <= 15:
        raise _refuse(
            "identifier.phone-length", f"has {len(digits)} digits; a phone number has 8 to 15 with its country code"
        )
    return digits


def _not_phone(text: str) -> MappingError:
    if not text or text.lower() in _PLACEHOLDERS:
        return _refuse("identifier.empty", "is empty or stands for nothing")
    if _OTHER_DIGEST.fullmatch(text):
        return _refuse("identifier.other-hash", "looks like a hash that is not SHA-256", "OpenAI matches SHA-256 only.")
    return _refuse(
        "identifier.phone-letters",
        "holds more than digits, blanks, parentheses, periods, hyphens and a leading +",
        "Take extensions and words away; with their digits another person's number would be hashed.",
    )


def _add_code(digits: str, calling_code: str) -> str:
    if not calling_code:
        raise _refuse(
            "identifier.phone-country",
            "has no country code",
            "Write +49…, or set `phone_country_code:` in the mapping to the code, or to `included`.",
        )
    if calling_code == "included":
        if digits[0] == "0":
            raise _refuse("identifier.phone-country", "begins with 0, so its country code is not in it")
        return digits
    if calling_code == "1":
        return digits if len(digits) == 11 and digits[0] == "1" else "1" + digits
    if digits.startswith("0"):
        return calling_code + (digits if calling_code in _ZERO_KEPT else digits.lstrip("0"))
    if digits.startswith(calling_code) and len(digits) >= len(calling_code) + 8:
        raise _refuse(
            "identifier.phone-ambiguous",
            f"begins with {calling_code}, which may be its country code or not",
            "Write it with + or 00 in front.",
        )
    return calling_code + digits


def hash_phone(value: Any, calling_code: str = "") -> Sha256:
    """Return the digest of a phone number; a SHA-256 that is given instead is taken as it is."""
    if type(value) is str and value[:1] == "+":
        digits = value[1:].replace(" ", "").replace("-", "").replace("(", "").replace(")", "").replace(".", "")
        if 8 <= len(digits) <= 15 and digits[0] != "0" and digits.isascii() and digits.isdigit():
            return _make(Sha256, sha256(digits.encode()).hexdigest())
    text = _text(value)
    if len(text) == 64 and _DIGEST.fullmatch(text):
        return take_hashed(text)
    return _digest(normalise_phone(text, calling_code))


# external id and names


def normalise_external_id(value: Any) -> str:
    """Return an id trimmed, its case kept; refuses what every guest would share."""
    text = _text(value)
    if not text or text.lower() in _NO_CUSTOMER:
        raise _refuse("identifier.empty", "is empty or stands for nobody", "Leave it out where there is no customer.")
    return text


def hash_external_id(value: Any) -> Sha256:
    """Return the digest of an id; a SHA-256 that is given instead is taken as it is."""
    text = _text(value)
    if _LONGEST_PLACEHOLDER < len(text) < 64:
        return _make(Sha256, sha256(text.encode()).hexdigest())
    if len(text) == 64 and _DIGEST.fullmatch(text):
        return take_hashed(text)
    return _digest(normalise_external_id(text))


def normalise_name(value: Any) -> str:
    """Return a name in lower case without blanks and ASCII punctuation, accents kept, in NFC.

    The vendor names no Unicode form; NFC is what keyboards and databases produce.
    """
    text = _text(value)
    if text.isascii():
        folded = _NAME_DROPS.sub("", text.lower())
    else:
        folded = _NAME_DROPS.sub("", unicodedata.normalize("NFC", text).lower())
        folded = unicodedata.normalize("NFC", folded)
    if not folded or text.lower() in _PLACEHOLDERS:
        raise _refuse("identifier.empty", "is empty or stands for nothing")
    if "@" in text:
        raise _refuse("identifier.not-a-name", "is an email address, not a name")
    if _OTHER_DIGEST.fullmatch(folded):
        raise _refuse("identifier.other-hash", "looks like a hash that is not SHA-256", "OpenAI matches SHA-256 only.")
    return folded


def hash_name(value: Any) -> Sha256:
    """Return the digest of a first or last name; a SHA-256 that is given instead is taken as it is."""
    text = _text(value)
    if len(text) == 64 and _DIGEST.fullmatch(text):
        return take_hashed(text)
    return _digest(normalise_name(text))


# digests


def take_hashed(value: Any) -> Sha256:
    """Take a SHA-256 that was made elsewhere: 64 hex digits, not that of an empty text."""
    text = _text(value).lower()
    if len(text) != 64 or not _DIGEST.fullmatch(text):
        raise _refuse(
            "identifier.not-hashed",
            "is not a SHA-256 of 64 hex digits",
            "Map the clear value to the field without `_sha256`.",
        )
    if text == _EMPTY:
        raise _refuse(
            "identifier.hash-of-nothing", "is the hash of an empty text", "Leave empty values out before hashing."
        )
    return _make(Sha256, text)


def looks_hashed(text: str) -> bool:
    """Tell whether a text is a hex digest."""
    return len(text) >= 32 and bool(_DIGEST.fullmatch(text) or _OTHER_DIGEST.fullmatch(text))


def _digest(text: str) -> Sha256:
    return _make(Sha256, sha256(text.encode()).hexdigest())


def _text(value: Any) -> str:
    """Return a value as trimmed text; numbers only where they are whole."""
    if isinstance(value, str):
        text = value.strip()
        if not text.isascii() and _HALF_PAIR.search(text):
            raise _refuse("event.bad-text", "holds letters that cannot be sent")
        return text
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        return str(value)
    raise _refuse("identifier.wrong-type", f"is {_named(value)}, not text")


def _named(value: Any) -> str:
    return {bool: "a flag", float: "a number with decimals", dict: "an object", list: "a list"}.get(
        type(value), type(value).__name__
    )


HASHERS: dict[str, Callable[[Any], Sha256]] = {
    "email": hash_email,
    "phone": hash_phone,
    "external-id": hash_external_id,
    "name": hash_name,
}
"""What hashes each kind of identifier that the contract knows; `hash_phone` takes a calling code as well."""
