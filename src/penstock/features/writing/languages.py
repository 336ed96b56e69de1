"""Which language a text is in, among those that an account writes in, and how hard it is to read. Nothing is sent.

Language by py3langid, syllables by pyphen's hyphenation (both in the extra `content`); without them the answer is None.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from functools import cache, lru_cache
from typing import Any, NamedTuple

USUAL = ("en", "de", "fr", "es", "it", "nl", "pt", "pl", "sv", "da", "no", "fi", "cs", "ro", "hu", "tr")
"""Languages that a text is told apart from where an account names only one."""
LEAST_LETTERS = 20
"""Shorter texts can be in any language."""
SURE = 0.9
"""A text is said to be in another language from this probability on."""

_SENTENCE = re.compile(r"[^.!?…:]+[.!?…:]*")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

_FLESCH: dict[str, tuple[float, float, float]] = {
    "en": (206.835, 1.015, 84.6),  # Flesch 1948
    "de": (180.0, 1.0, 58.5),  # Amstad 1978
    "fr": (207.0, 1.015, 73.6),  # Kandel and Moles 1958
    "es": (206.84, 1.02, 60.0),  # Fernández Huerta 1959
    "it": (217.0, 1.3, 60.0),  # Franchina and Vacca 1986
    "nl": (206.835, 0.93, 77.0),  # Douma 1960
    "ru": (206.835, 1.3, 60.1),  # Oborneva 2006
}


class Guess(NamedTuple):
    """The likeliest language of a text and how likely it is, and how likely the wished one."""

    language: str
    probability: float
    wished: float


def base_of(language: str) -> str:
    """Return the language of a code such as `pt-BR`."""
    return language.partition("-")[0].lower()


def guess_language(text: str, wished: str, others: Collection[str] = ()) -> Guess | None:
    """Guess among the wished language, `others` and the usual ones; None for short texts, unknown ones, no extra."""
    full = _identifier()
    wanted = base_of(wished)
    if full is None or sum(letter.isalpha() for letter in text) < LEAST_LETTERS or wanted not in full.labels:
        return None
    candidates = {wanted, *map(base_of, others), *USUAL} & set(full.labels)
    ranked = [(str(name), float(share)) for name, share in _restricted(tuple(sorted(candidates))).rank(text)]
    return Guess(*ranked[0], dict(ranked)[wanted])


@cache
def _identifier() -> Any:
    """Return the model for all languages, None where the extra is missing."""
    try:
        from py3langid import langid
    except ImportError:
        return None
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=64)
def _restricted(languages: tuple[str, ...]) -> Any:
    restricted = copy.copy(_identifier())  # the tables are shared, the choice is its own
    restricted.set_languages(list(languages))
    return restricted


@cache
def _hyphenator(language: str) -> Any:
    try:
        import pyphen
    except ImportError:
        return None
    found = pyphen.language_fallback(language.replace("-", "_")) or pyphen.language_fallback(base_of(language))
    return pyphen.Pyphen(lang=found) if found else None


def score_reading(text: str, language: str) -> float | None:
    """Return Flesch's reading ease in the formula of a language, about 0 (hard) to 100 (easy); None where unknown."""
    numbers, hyphenator = _FLESCH.get(base_of(language)), _hyphenator(language)
    words = _WORD.findall(text)
    if numbers is None or hyphenator is None or len(words) < 20:
        return None
    sentences = sum(bool(_WORD.search(part)) for part in _SENTENCE.findall(text)) or 1
    syllables = sum(len(hyphenator.positions(word.lower())) + 1 for word in words)
    start, by_sentence, by_word = numbers
    return round(start - by_sentence * len(words) / sentences - by_word * syllables / len(words), 1)
