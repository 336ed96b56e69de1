"""How many tokens a text will be: exact offline with the `tokens` extra, from its characters without it.

Also the correction that learns from usage what the texts of one operation and model really come to.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any, Literal, NamedTuple

import msgspec

Encoding = Literal["o200k_base", "cl100k_base"]

_OLD = re.compile(r"(ft:)?(gpt-4(?![\d.o])|gpt-3\.?5|text-embedding-|davinci-002|babbage-002)")
_NAMED = re.compile(r"(ft:)?(gpt-4|chatgpt-4o|gpt-5(-|$)|gpt-5\.[1-4](-|$)|o[134](-|$))")


def encoding_of(model: str) -> Encoding:
    """Return the encoding of a model id: cl100k_base for embeddings, gpt-4 and gpt-3.5, else o200k_base.

    For gpt-5.5 and later no source names the encoding; o200k_base is assumed (2026-11).
    """
    return "cl100k_base" if _OLD.match(model) else "o200k_base"


def is_assumed(model: str) -> bool:
    """Tell whether the encoding of a model is a guess, so that its counts are to be marked as estimates."""
    return not (_OLD.match(model) or _NAMED.match(model))


def count_tokens(text: str, model: str) -> int:
    """Return the tokens of `text` for a model: exact where `is_exact`, else estimated.

    Names of special tokens in the text count as the plain text that they are in customer data.
    """
    encoding = encoding_of(model)
    count = _exact_counter(encoding)
    if count is None:
        return estimate_tokens(text, encoding)
    try:
        return count(text)
    except UnicodeEncodeError:  # half of a surrogate pair, as a cut-off emoji leaves it
        return count(text.encode("utf-8", "replace").decode())


def is_exact() -> bool:
    """Return whether the extra is installed with which `count_tokens` is exact."""
    return _exact_counter("o200k_base") is not None


@cache
def _exact_counter(encoding: Encoding) -> Callable[[str], int] | None:
    bindings = _load_bindings()
    return None if bindings is None else bindings.tokenizer_for_encoding(encoding).count


@cache
def _load_bindings() -> Any:
    """Load the extension module alone: importing its package reads every rank into Python (1 s, 70 MB)."""
    package = find_spec("bpe_openai")
    found = PathFinder.find_spec("_bindings", package.submodule_search_locations) if package else None
    if found is None or found.loader is None:
        return None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


class _Weights(NamedTuple):
    """Tokens per character of a kind, by least squares against the exact count."""

    lower: float
    upper: float
    digit: float
    mark: float
    line: float
    turn: float  # lower to upper case inside a word, as in base64 and camelCase
    mixed: float  # digit to lower case, as in hex
    latin1: float
    scripts: tuple[tuple[int, float], ...]


_ACCENTS = re.compile("[\u0300-\u036f]")
_ACCENT = 1.0  # a token of its own, beside what its block costs
_JSON_GLUE = re.compile(r'["{}\[\]:,]{2,3}')
_SPACE = 0.015  # a space goes with the next word; only long runs count


def _by_script(**weights: float) -> tuple[tuple[int, float], ...]:
    return tuple((ord(letter), weight) for letter, weight in weights.items())


# Fitted on 2026-11-20 to short English reviews and messages, interface texts in 28 languages, JSON,
# base64, hex, digits, links, capitals and emoji; rarer scripts, symbols and digits rounded up.
_WEIGHTS: dict[Encoding, _Weights] = {
    "o200k_base": _Weights(
        *(0.23, 0.37, 0.6, 0.7, 1.0, 1.67, 0.45, 0.75),
        _by_script(P=1.0, E=1.05, L=1.2, C=0.32, J=0.66, Z=0.81, K=0.73, G=0.42, A=0.36, H=0.44, I=0.38, T=0.42)
        + _by_script(V=0.27, O=1.5),
    ),
    "cl100k_base": _Weights(
        *(0.28, 0.4, 0.6, 0.5, 1.0, 1.81, 0.4, 1.68),
        _by_script(P=1.0, E=1.4, L=2.1, C=0.58, J=0.98, Z=1.2, K=1.28, G=1.08, A=0.87, H=1.19, I=1.26, T=0.98)
        + _by_script(V=1.17, O=2.0),
    ),
}


def _make_classes() -> bytes:
    table = bytearray(b"." * 256)
    for letters, kind in ((string.ascii_lowercase, "a"), (string.ascii_uppercase, "A"), (string.digits, "0")):
        for letter in letters:
            table[ord(letter)] = ord(kind)
    table[ord(" ")] = ord(" ")
    for letter in "\n\r\t":
        table[ord(letter)] = ord("n")
    return bytes(table)


def _make_scripts() -> bytes:
    table = bytearray(b"O" * 256)  # other symbols and rare scripts
    for first, last, kind in (
        (0x00, 0x00, "1"),  # ASCII and Latin-1
        (0x01, 0x02, "L"),  # Latin extended
        (0x03, 0x03, "G"),  # Greek
        (0x04, 0x04, "C"),  # Cyrillic
        (0x05, 0x05, "H"),  # Hebrew, Armenian
        (0x06, 0x07, "A"),  # Arabic
        (0x09, 0x0D, "I"),  # scripts of India
        (0x0E, 0x0F, "T"),  # Thai, Lao, Tibetan
        (0x11, 0x11, "K"),
        (0x1E, 0x1E, "V"),  # Vietnamese
        (0x20, 0x20, "P"),  # dashes, quotes, euro
        (0x30, 0x30, "J"),  # kana
        (0x34, 0x9F, "Z"),  # Chinese characters
        (0xAC, 0xD7, "K"),  # Hangul
        (0xD8, 0xDF, "E"),  # halves of emoji and other characters above U+FFFF
        (0xFF, 0xFF, "J"),  # full-width forms
    ):
        for high in range(first, last + 1):
            table[high] = ord(kind)
    return bytes(table)


_CLASSES = _make_classes()
_SCRIPTS = _make_scripts()


def estimate_tokens(text: str, encoding: Encoding = "o200k_base") -> int:
    """Return the approximate tokens of `text` from the kinds of its characters.

    Within 10 % for customer texts in western European languages taken together, within 30 % for one
    language in o200k_base, and never under 70 % for emoji, encoded data and numbers.
    """
    weights = _WEIGHTS[encoding]
    if '":' in text:  # the marks between two words of JSON are one token together
        text = _JSON_GLUE.sub(".", text)
    if text.isascii():
        return math.ceil(_estimate_ascii(text.encode(), weights))
    plain = text.encode("ascii", "ignore")
    highs = text.encode("utf-16-le", "surrogatepass")[1::2].translate(_SCRIPTS)
    narrow = highs.count(b"1")
    total = _estimate_ascii(plain, weights) + (narrow - len(plain)) * weights.latin1
    left = len(highs) - narrow
    for script, weight in weights.scripts:
        if not left:
            break
        found = highs.count(script)
        total += found * weight
        left -= found
        if found and script == ord("G"):  # loose accents stand in front of the Greek letters
            total += len(_ACCENTS.findall(text)) * _ACCENT
    return math.ceil(total)


def _estimate_ascii(text: bytes, weights: _Weights) -> float:
    kinds = text.translate(_CLASSES)
    upper, digits, marks = kinds.count(b"A"), kinds.count(b"0"), kinds.count(b".")
    lines, spaces = kinds.count(b"n"), kinds.count(b" ")
    return (
        (len(kinds) - upper - digits - marks - lines - spaces) * weights.lower
        + upper * weights.upper
        + digits * weights.digit
        + marks * weights.mark
        + lines * weights.line
        + spaces * _SPACE
        + kinds.count(b"aA") * weights.turn
        + kinds.count(b"0a") * weights.mixed
    )


class Corrector(msgspec.Struct, frozen=True):
    """Actual over estimated tokens, learnt over `count` answers of one operation and model."""

    ratio: float = 1.0
    count: int = 0

    def learn(self, estimated: float, actual: float) -> Corrector:
        """Return the corrector after one more answer: its weight falls from a half to 2 %.

        A single answer moves the ratio as if it lay between a tenth and ten times the estimate.
        """
        if estimated <= 0 or actual <= 0:
            return self
        seen = min(max(actual / estimated, 0.1), 10.0)
        weight = max(1 / (self.count + 2), 0.02)
        return Corrector(self.ratio + (seen - self.ratio) * weight, self.count + 1)

    def correct(self, estimated: float) -> int:
        """Return the tokens to expect for an estimate, rounded up."""
        return math.ceil(estimated * self.ratio)
