"""Personal data taken out of a text before it is sent: known values of the person, and what looks personal.

Fails closed: a text that still holds something after the replacement, or that a rule breaks down on, is not sent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from itertools import pairwise

import msgspec

from penstock.base.errors import InputError, PenstockError
from penstock.features.inflections import inflected

_PLACEHOLDERS = {"email", "name", "phone", "card", "iban", "ip", "number", "link", "id", "address"}
_STREET_WORDS = """
street road avenue lane drive square strasse straße platz allee gasse rue boulevard place chemin calle avenida
plaza paseo piazza viale corso straat plein laan gracht ulica aleja osiedle travessa largo praça north south
east west saint sankt
"""
_PARTICLES = (
    "van von der den dem de del della di da do dos das du des la le el los las zu zum zur ter ten och and und y e"
)
_TELL_NOTHING = frozenset((_STREET_WORDS + _PARTICLES).split())
"""Parts of a name or address that are also words of any text: alone they tell nothing."""

_URL = re.compile(r"(?i)\b((?:https?://|www\.)[^\s?#<>]{1,300})[?#][^\s<>]*")
_USERINFO = re.compile(r"(?i)(https?://)[^\s/@]{1,300}@")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"']{1,64}@[^\s@<>()\[\],;:\"']{1,190}")
_SPELT_EMAIL = re.compile(
    r"(?i)[\w.+\-]{1,64}\s{0,2}[\[(]\s?(?:at|ät|arroba|chiocciola|arobase|małpa)\s?[\])]\s{0,2}"
    r"[\w\-]{1,63}(?:(?:\s{0,2}[\[(]\s?(?:dot|punkt|punto|ponto|point|kropka)\s?[\])]\s{0,2}|\.)[\w\-]{1,63}){1,4}"
)
_IBAN = re.compile(r"(?i)\b[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]){11,30}\b")
_CARD = re.compile(r"(?<!\d)\d(?:[ \-]?\d){12,18}(?!\d)")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:])")
_SHORT_PHONE = re.compile(
    r"(?<![\w.,\-/])\+?\d{2,4}[ \-/]\d{1,3}(?:[ \-/]\d{1,3})?(?![\w\-/]|[.,]\d)"
    r"|(?<![\w.,\-/])\+?(?:\d[ \-]?){3,5}[A-Z]{4,8}(?!\w)"
)
"""Numbers of five or six digits, and numbers with a word in them; most are something else."""
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
        bare = _BARE.get(bare, bare)
        folded = self[code] = bare if len(bare) == 1 else chr(code)
        return folded


_FOLDS = _Folds()
_BARE = {"ł": "l", "đ": "d", "ð": "d", "ı": "i"}
"""Letters whose stroke is no accent to Unicode, and is left out by writers all the same."""
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


class Rules(msgspec.Struct, frozen=True):
    """What one flow knows beside the values of a person."""

    region: str = ""
    """Country code, such as `DE`: how numbers without a country code are read."""
    patterns: tuple[tuple[str, re.Pattern[str]], ...] = ()
    """Further things to take out, each with the name that stands in its place."""
    find_people: Callable[[str], list[tuple[int, int]]] | None = None
    """Finds names that nobody gave, by their places in a text."""


PLAIN = Rules()


def minimise(text: str, known: Iterable[str] = (), rules: Rules = PLAIN) -> str:
    """Return the text with personal data replaced by what kind it was, such as `[email]`.

    `known` are values of the person who wrote: email, names, phone numbers, ids, address.
    Emails, IBANs (checksum), card numbers (Luhn), IP addresses, phones and numbers of seven
    digits and more, and the query parts of links go as well; dates stay. The same value gets
    the same placeholder. Raises `InputError` when something is still found after three rounds.
    """
    try:
        values = _list_values(known)
        for _ in range(4):
            replaced = _replace(text, values, rules)
            if replaced == text:
                return text
            text = replaced
    except PenstockError:
        raise
    except Exception as error:
        raise _refuse() from error
    raise _refuse()


def _refuse() -> InputError:
    return InputError(
        "personal data could not be taken out of the text",
        code="minimise.failed",
        hint="The text was not sent. Look at it, or send only the fields that are needed.",
    )


def _replace(text: str, values: list[tuple[str, str, str]], rules: Rules) -> str:
    if "@" in text:  # before the names, which are often part of an address
        text = _EMAIL.sub("[email]", _USERINFO.sub(r"\1", text))
    if "(" in text or "[" in text:
        text = _SPELT_EMAIL.sub("[email]", text)
    if values:
        text = _replace_known(text, values)
    for name, pattern in rules.patterns:
        text = pattern.sub(f"[{name}]", text)
    if "?" in text or "#" in text:
        text = _URL.sub(r"\1 [link]", text)
    digits = len(_DIGIT.findall(text))
    if (digits >= 4 and text.count(".") >= 3) or text.count(":") >= 2:
        text = _IP.sub(lambda match: "[ip]" if _is_ip(match[0]) else match[0], text)
    if digits >= 2:
        text = _IBAN.sub(_name_iban, text)
    if digits >= 7:
        text = _CARD.sub(lambda match: "[card]" if _is_card(match[0]) else match[0], text)
        text = _NUMBER.sub(lambda match: _name_number(match[0], rules.region), text)
    if digits >= 3 and (rules.region or "+" in text):
        text = _SHORT_PHONE.sub(lambda match: "[phone]" if _is_phone(match[0], rules.region) else match[0], text)
    if rules.find_people is not None:
        for start, end in sorted(rules.find_people(text), reverse=True):
            text = f"{text[:start]}[name]{text[end:]}"
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


def _name_number(found: str, region: str) -> str:
    if sum(map(str.isdigit, _DATE.sub("", found))) < 7:
        return found
    return "[phone]" if found[0] in "+(0" or _is_phone(found, region) else "[number]"


@lru_cache(maxsize=1024)
def _is_phone(candidate: str, region: str) -> bool:
    """Tell whether a number can be called in its country, or with its country code from anywhere."""
    if not region and not candidate.startswith("+"):
        return False
    from phonenumbers import NumberParseException, is_valid_number, parse

    try:
        return is_valid_number(parse(candidate, region.upper() or None))
    except NumberParseException:
        return False


def _list_values(known: Iterable[str]) -> list[tuple[str, str, str]]:
    """List each value and its parts, folded, with their placeholders and what they begin with; longest first."""
    found: dict[str, str] = {}
    for value in known:
        for spelling, kind in _spell(value):
            found.setdefault(spelling, kind)
    ordered = sorted(found.items(), key=lambda item: (-len(item[0]), item[0]))
    return [(spelling, kind, _begin(spelling, kind)) for spelling, kind in ordered]


@lru_cache(maxsize=4096)
def _spell(value: str) -> tuple[tuple[str, str], ...]:
    """Give all spellings of one value and its parts; first names and towns come again and again."""
    return tuple(
        (spelling, kind)
        for form, kind in _list_forms(unicodedata.normalize("NFKC", value).strip())
        for spelling in (_list_spellings(form) if kind in ("[name]", "[address]") else (form.translate(_FOLDS),))
        if len(spelling) >= 2 and spelling not in _PLACEHOLDERS
    )


def _list_forms(value: str) -> Iterator[tuple[str, str]]:
    digits = "".join(filter(str.isdigit, value))
    has_letters = any(map(str.isalpha, value))
    if "@" in value:
        yield value, "[email]"
        local = value.partition("@")[0]
        if len(local) >= 5:
            yield local, "[email]"
    elif has_letters and digits and " " in value and value[0] not in "+(0":
        yield from _list_address_forms(value)
    elif has_letters and digits:
        yield value, "[id]"
        if len(digits) >= 5:
            yield digits, "[id]"
    elif len(digits) >= 5:
        kind = "[phone]" if len(digits) >= 7 else "[number]"
        yield from ((form, kind) for form in (value, digits, digits[-9:], digits[-6:]))
    else:
        yield value, "[name]"
        for words in (re.split(r"[\s,.]+", value), (word for word in re.split(r"[\s,.\-]+", value) if len(word) >= 4)):
            yield from ((word, "[name]") for word in words if word.lower() not in _TELL_NOTHING)


def _list_address_forms(value: str) -> Iterator[tuple[str, str]]:
    """Give an address, its lines, and its words and numbers that tell something by themselves."""
    yield value, "[address]"
    for line in value.split(","):
        words = line.replace(".", ". ").split()
        yield " ".join(words), "[address]"
        yield from ((f"{one} {other}", "[address]") for one, other in pairwise(words) if (one + other).isalnum())
        for word in words:
            if len(word) >= (4 if word.isdigit() else 3) and word.strip(".").lower() not in _TELL_NOTHING:
                yield word, "[address]"


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


def _replace_known(text: str, values: list[tuple[str, str, str]]) -> str:
    folded = text.translate(_FOLDS)
    digits = "".join(_DIGIT.findall(folded))
    for value, kind, begin in values:
        haystack = text if len(value) == 2 else folded
        if begin not in (digits if begin.isdigit() else haystack):
            continue
        spans = [match.span() for match in _pattern(value).finditer(haystack)]
        if kind == "[name]" and (other := _inflected_pattern(value)) is not None:  # names are written with a capital
            spans += [match.span() for match in other.finditer(haystack) if text[match.start()].isupper()]
        left = len(text)
        for start, end in sorted(spans, reverse=True):
            if end <= left:  # a declined form may be the name itself
                text, folded, left = text[:start] + kind + text[end:], folded[:start] + kind + folded[end:], start
    return text


def _begin(value: str, kind: str) -> str:
    """Return what every spelling and case of a value begins with; its digits where it has some."""
    digits = "".join(_DIGIT.findall(value))
    if digits:
        return digits
    first = value.split(maxsplit=1)[0].partition("ss")[0]
    return first[:-2] if len(first) >= 4 and kind == "[name]" else first


@lru_cache(maxsize=4096)
def _inflected_pattern(value: str) -> re.Pattern[str] | None:
    endings = inflected(value)
    return re.compile(rf"(?<!\w){endings}(?!\w)") if endings else None


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    if value.isdigit():
        gap = r"[\s().\-/]{0,3}"
        if len(value) < 6:
            return re.compile(rf"(?<!\d){value}(?!\d)")
        # the rest of a longer number goes with it: what stands around six known digits is the same phone
        return re.compile(rf"(?:\(?\+?\d(?:{gap}\d){{0,8}}{gap})?" + gap.join(value) + rf"(?:{gap}\d){{0,8}}")
    body = r"\s+".join(re.escape(part).replace("ss", "(?:ss|ß)") for part in value.split())
    if any(letter >= "\u0e00" for letter in value):  # scripts without blanks between words
        return re.compile(body)
    genitive = "s?" if len(value) >= 4 and value[-1].isalpha() else ""
    return re.compile(rf"(?<!\w){body}{genitive}(?!\w)")
