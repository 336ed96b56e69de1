"""Personal data taken out of a text before it is sent: known values of the person, and what looks personal.

Fails closed: a text that still holds something after the replacement is not sent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address

from penstock.base.errors import InputError

_PLACEHOLDERS = {"email", "name", "phone", "card", "iban", "ip", "number", "link"}

_URL = re.compile(r"(?i)\b((?:https?://|www\.)[^\s?#<>]{1,300})[?#][^\s<>]*")
_USERINFO = re.compile(r"(?i)(https?://)[^\s/@]{1,300}@")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"']{1,64}@[^\s@<>()\[\],;:\"']{1,190}")
_SPELT_EMAIL = re.compile(
    r"(?i)[\w.+\-]{1,64}\s{0,2}[\[(]\s?(?:at|ät|arroba|chiocciola|arobase)\s?[\])]\s{0,2}"
    r"[\w\-]{1,63}(?:(?:\s{0,2}[\[(]\s?(?:dot|punkt|punto|point)\s?[\])]\s{0,2}|\.)[\w\-]{1,63}){1,4}"
)
_IBAN = re.compile(r"(?i)\b[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]){11,30}\b")
_CARD = re.compile(r"(?<!\d)\d(?:[ \-]?\d){12,18}(?!\d)")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:])")
_NUMBER = re.compile(r"(?<!\d)(?:\+|\(\+?)?\d(?:[ ().\-/\u2010-\u2015]{0,3}\d){6,}")
_YEAR, _MONTH, _DAY = r"(?:19|20)\d{2}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"(?<!\d)(?<!\d[\-./])(?:{_YEAR}[\-./]{_MONTH}[\-./]{_DAY}|{_DAY}[\-./]{_MONTH}[\-./]{_YEAR}"
    rf"|{_MONTH}/{_DAY}/{_YEAR})(?![\-./]?\d)"
)
_DIGIT = re.compile(r"\d")


class _Folds(dict[int, str]):
    """Maps a letter to its lower-case form without accents, one for one, so that positions stay."""

    def __missing__(self, code: int) -> str:
        bare = unicodedata.normalize("NFD", chr(code))[0].lower()
        folded = self[code] = bare if len(bare) == 1 else chr(code)
        return folded


_FOLDS = _Folds()
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def minimise(text: str, known: Iterable[str] = ()) -> str:
    """Return the text with personal data replaced by what kind it was, such as `[email]`.

    `known` are values of the person who wrote: email, names, phone numbers. Emails,
    IBANs (checksum), card numbers (Luhn), IP addresses, numbers of seven digits and
    more, and the query parts of links go as well; dates stay. Raises `InputError`
    when something is still found after three rounds.
    """
    values = _list_values(known)
    for _ in range(4):
        replaced = _replace(text, values)
        if replaced == text:
            return text
        text = replaced
    raise InputError(
        "personal data could not be taken out of the text",
        code="minimise.failed",
        hint="The text was not sent. Look at it, or send only the fields that are needed.",
    )


def _replace(text: str, values: list[tuple[str, str]]) -> str:
    if "@" in text:  # before the names, which are often part of an address
        text = _EMAIL.sub("[email]", _USERINFO.sub(r"\1", text))
    if "(" in text or "[" in text:
        text = _SPELT_EMAIL.sub("[email]", text)
    if values:
        text = _replace_known(text, values)
    if "?" in text or "#" in text:
        text = _URL.sub(r"\1 [link]", text)
    digits = len(_DIGIT.findall(text))
    if (digits >= 4 and text.count(".") >= 3) or text.count(":") >= 2:
        text = _IP.sub(lambda match: "[ip]" if _is_ip(match[0]) else match[0], text)
    if digits >= 2:
        text = _IBAN.sub(_name_iban, text)
    if digits >= 7:
        text = _CARD.sub(lambda match: "[card]" if _is_card(match[0]) else match[0], text)
        text = _NUMBER.sub(_name_number, text)
    return text


def _name_iban(match: re.Match[str]) -> str:
    """Find the account number at the start of what may run on into the next words."""
    ends = [i for i, letter in enumerate(match[0], 1) if letter.isalnum()]
    for end in ends[14:34]:
        if _is_iban(match[0][:end]):
            return "[iban]" + match[0][end:]
    return match[0]


def _is_iban(candidate: str) -> bool:
    letters = re.sub(r"[ \-]", "", candidate)
    if not letters.isascii():
        return False
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


def _is_card(candidate: str) -> bool:
    digits = [int(digit) for digit in candidate if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_ip(candidate: str) -> bool:
    try:
        ip_address(candidate)
    except ValueError:
        return False
    return any(letter.isalnum() for letter in candidate)


def _name_number(match: re.Match[str]) -> str:
    if sum(map(str.isdigit, _DATE.sub("", match[0]))) < 7:
        return match[0]
    return "[phone]" if match[0][0] in "+(0" else "[number]"


def _list_values(known: Iterable[str]) -> list[tuple[str, str]]:
    """List each value and its parts, folded, with their placeholders; longest first."""
    found: dict[str, str] = {}
    for value in known:
        for form, kind in _list_forms(unicodedata.normalize("NFKC", value).strip()):
            for spelling in _list_spellings(form) if kind == "[name]" else (form.translate(_FOLDS),):
                if len(spelling) >= 2 and spelling not in _PLACEHOLDERS:
                    found.setdefault(spelling, kind)
    return sorted(found.items(), key=lambda item: (-len(item[0]), item[0]))


def _list_forms(value: str) -> Iterator[tuple[str, str]]:
    if "@" in value:
        yield value, "[email]"
        local = value.partition("@")[0]
        if len(local) >= 5:
            yield local, "[email]"
    elif sum(map(str.isdigit, value)) >= 5:
        digits = "".join(filter(str.isdigit, value))
        yield from ((form, "[phone]") for form in (value, digits, digits[-9:], digits[-6:]))
    else:
        yield value, "[name]"
        yield from ((word, "[name]") for word in re.split(r"[\s,.]+", value))


def _list_spellings(name: str) -> Iterator[str]:
    """Give a name folded, and as it is written where the other way of writing umlauts is in use."""
    if len(name) == 2 and name.isascii():
        yield name  # only as written: `Al` is a name, `al` is Italian
        return
    lower = name.lower().replace("ß", "ss")
    yield lower.translate(_FOLDS)
    yield lower.translate(_SPELT_OUT).translate(_FOLDS)
    for spelt, letter in (("ae", "a"), ("oe", "o"), ("ue", "u")):
        lower = lower.replace(spelt, letter)
    yield lower.translate(_FOLDS)


def _replace_known(text: str, values: list[tuple[str, str]]) -> str:
    folded = text.translate(_FOLDS)
    for value, kind in values:
        haystack = text if len(value) == 2 else folded
        if kind != "[phone]" and value.split()[0].partition("ss")[0] not in haystack:
            continue
        spans = [match.span() for match in _pattern(value).finditer(haystack)]
        for start, end in reversed(spans):
            text = text[:start] + kind + text[end:]
            folded = folded[:start] + kind + folded[end:]
    return text


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    if value.isdigit():
        return re.compile(r"\+?" + r"[\s().\-/]{0,3}".join(value))
    body = r"\s+".join(re.escape(part).replace("ss", "(?:ss|ß)") for part in value.split())
    if any(letter >= "\u0e00" for letter in value):  # scripts without blanks between words
        return re.compile(body)
    return re.compile(rf"(?<!\w){body}(?!\w)")
