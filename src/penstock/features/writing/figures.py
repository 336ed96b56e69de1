"""Finds numbers, dates and codes in a text, and says which of them its brief does not know.

Numbers are compared by value (`1.299,00 €` is `1,299.00 €`), with their unit where both name one; numbers in words are
not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from penstock.vendor.brevo_template import read_tags

_MONTHS = """
january janvier januar enero gennaio januari janeiro stycznia styczeń jan
february février februar febrero febbraio februari fevereiro lutego luty feb
march mars märz marzo maart março marca marzec mar
april avril abril aprile kwietnia kwiecień apr
may mai mayo maggio mei maio maja maj
june juin juni junio giugno junho czerwca czerwiec jun
july juillet juli julio luglio julho lipca lipiec jul
august août agosto augustus augusti sierpnia sierpień aug
september septembre septiembre settembre setembro września wrzesień sept
october octobre oktober octubre ottobre outubro października październik oct okt
november novembre noviembre novembro listopada listopad nov
december décembre dezember diciembre dicembre dezembro grudnia grudzień dec dez
"""
_UNITS = {
    "%": "%", "percent": "%", "prozent": "%", "pour cent": "%", "per cento": "%", "por ciento": "%", "por cento": "%",
    "procent": "%", "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "usd": "USD",
    "dollar": "USD", "dollars": "USD", "£": "GBP", "gbp": "GBP", "chf": "CHF", "zł": "PLN", "pln": "PLN", "kr": "KR",
    "¥": "JPY", "jpy": "JPY",
}  # fmt: skip
_WORDS = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_BLANK = "\u00a0\u202f"
_NUMBER = re.compile(
    r"(?P<before>[€$£¥]|\b(?:EUR|USD|GBP|CHF)\b)?\s?(?<![\w.,])"
    rf"(?P<number>\d{{1,3}}(?:[.,'’{_BLANK} ]\d{{3}})+(?:[.,]\d{{1,2}})?(?!\d)|\d+(?:[.,]\d+)?)"
    rf"(?P<after>[\s{_BLANK}-]?(?:{_WORDS})(?!\w))?",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?<![\w/])(?=[A-Z0-9_-]*[A-Z])(?=[A-Z0-9_-]*\d)[A-Z0-9][A-Z0-9_-]{3,}(?!\w)")
_NAMED_CODE = re.compile(
    r"\b(?i:code|coupon|gutschein(?:code)?|código|codice|kod|rabattcode|voucher)[:\s\"'„“«]+([A-Z][A-Z0-9_-]{3,})(?!\w)"
)
_ADDRESS = re.compile(r"(?i)\b(?:https?://|www\.)[^\s<>\"')\]]+")
_EDGE = ".,;:!?"


class Figures(NamedTuple):
    """What a text states: numbers with their unit (empty where there is none), dates, codes and addresses."""

    numbers: Counter[tuple[str, str]]
    dates: tuple[tuple[str, frozenset[tuple[int, int]]], ...]
    """Each date as it stands there, and the months and days that it can mean."""
    codes: Counter[str]
    addresses: Counter[str]

    def values(self) -> Counter[str]:
        """Count the numbers by value alone, those of dates included."""
        return Counter(number for number, _ in self.numbers.elements())


@cache
def _dates() -> tuple[re.Pattern[str], dict[str, int]]:
    months = {name: at for at, line in enumerate(_MONTHS.strip().splitlines(), 1) for name in line.split()}
    names = "|".join(sorted(map(re.escape, months), key=len, reverse=True))
    pattern = (
        r"(?<![\w.])(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
        r"|(?P<one>\d{1,2})[./](?P<two>\d{1,2})(?:[./](?:\d{4}|\d{2})?(?!\d)|(?=[/]))?"
        rf"|(?P<day_first>\d{{1,2}})(?:\.|st|nd|rd|th|er|º|°)?\s(?:of\s|de\s|di\s)?(?P<named>{names})\b\.?(?:,?\s(?:de\s)?\d{{4}})?"
        rf"|\b(?P<named_first>{names})\.?\s(?P<day_last>\d{{1,2}})(?:st|nd|rd|th)?(?!\w)(?:,\s?\d{{4}})?)(?!\w)"
    )
    return re.compile(pattern, re.IGNORECASE), months


def read_figures(text: str) -> Figures:
    """Read what a text states; what stands inside template tags does not count."""
    text = _blank(text, [(tag.start, tag.end) for tag in read_tags(text)])
    addresses = Counter(match[0].rstrip(_EDGE) for match in _ADDRESS.finditer(text))
    text = _blank(text, [match.span() for match in _ADDRESS.finditer(text)])
    codes = Counter(match[0] for match in _CODE.finditer(text))
    codes += Counter(word for word in _NAMED_CODE.findall(text) if word not in codes)
    text = _blank(text, [match.span() for match in _CODE.finditer(text)])
    dates = []
    pattern, months = _dates()
    for match in pattern.finditer(text):
        meant = _mean(match, months)
        if meant:
            dates.append((match[0].strip(), meant))
            text = _blank(text, [match.span()])
    numbers = Counter(found for match in _NUMBER.finditer(text) if (found := _read_number(match)))
    return Figures(numbers, tuple(dates), codes, addresses)


def _blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _mean(match: re.Match[str], months: dict[str, int]) -> frozenset[tuple[int, int]]:
    """Return the months and days that a date can mean; a pair of numbers can be either way round."""
    if match["month"]:
        pairs = [(int(match["month"]), int(match["day"]))]
    elif match["one"]:
        one, two = int(match["one"]), int(match["two"])
        if "." in match[0] and not match[0].endswith(".") and match[0].count(".") == 1:
            return frozenset()  # 2.5 is a number
        pairs = [(two, one)] if "." in match[0] else [(one, two), (two, one)]
    else:
        name = (match["named"] or match["named_first"]).lower()
        pairs = [(months[name], int(match["day_first"] or match["day_last"]))]
    return frozenset((month, day) for month, day in pairs if 1 <= month <= 12 and 1 <= day <= 31)


def _read_number(match: re.Match[str]) -> tuple[str, str]:
    unit = (match["before"] or match["after"] or "").strip(" -\u00a0\u202f").lower()
    return to_value(match["number"]), _UNITS.get(unit, "")


def to_value(text: str) -> str:
    """Return a number in one spelling, whichever marks divide its thousands and its decimals."""
    plain = re.sub(r"[\s'’\u00a0\u202f]", "", text)
    plain = "".join(str(int(letter)) if letter.isdigit() and letter.isdecimal() else letter for letter in plain)
    last = max(plain.rfind("."), plain.rfind(","))
    if last >= 0:
        whole, decimals = plain[:last], plain[last + 1 :]
        is_grouped = len(decimals) == 3 and (plain[last] in whole or not {".", ","} & set(whole)) and whole != "0"
        digits = re.sub(r"[.,]", "", whole)
        plain = digits + decimals if is_grouped else f"{digits}.{decimals}".rstrip("0").rstrip(".")
    head, dot, tail = plain.partition(".")
    return (head.lstrip("0") or "0") + dot + tail


def find_unsupported(text: str, brief: str) -> list[str]:
    """List what a text states and its brief does not: numbers, dates, codes, addresses."""
    told, known = read_figures(text), read_figures(brief)
    units: dict[str, set[str]] = {}
    for number, unit in known.numbers:
        units.setdefault(number, set()).add(unit)
    days = frozenset(day for _, meant in known.dates for day in meant)
    found = [name for name, meant in told.dates if not meant & days]
    for number, unit in told.numbers:
        said = units.get(number)
        if said is None or (unit and unit not in said and "" not in said):
            found.append(f"{number} {unit}".strip())
    words = set(re.findall(r"[\w-]+", brief))
    found += [code for code in told.codes if code not in words]
    found += [address for address in told.addresses if address not in known.addresses]
    return found
