"""Words that stand for a segment (class-based TF-IDF), in any language and without lists of words.

They are the evidence for a segment's name, and its name where no model gives one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np

from penstock.features.clustering.model import NOWHERE

Array = np.ndarray[Any, Any]

MOST = 10
_FEWEST = 5
"""Customers of a segment who must have a word: what fewer say could name a person."""
_COMMON = 0.05
"""Part of all customers from which on a word is taken for one of the language and not of the segment."""
_OFTENER, _MUCH_OFTENER = 1.5, 3.0
"""How many times as often as elsewhere a segment must have a word, and a common word, for it to say something."""
_WORDS_IN_NAME = 3

_PRIVATE = re.compile(r"\S+@\S+|(?:https?://|www\.)\S+|\S*\d\S*")
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Han: written without blanks between words."""
_TOKEN = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['’\u0300-\u036f\-][^\W_{_UNSPACED}]+)*")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


class Term(NamedTuple):
    """A word of a segment: its weight, the parts of the segment's and of all other customers who have it."""

    word: str
    weight: float
    here: float
    elsewhere: float


def find_terms(texts: Iterable[str], segments: Array, count: int, most: int = MOST) -> list[list[Term]]:
    """Return the words of each segment, the heaviest first; `segments` has the place of each text's customer.

    A word weighs its part of the segment's words, times log(1 + mean words of a segment / its number in all segments).
    Addresses and whatever holds digits are no words. Left out is what fewer than five customers of a segment have, and
    what they do not have 1.5 times as often as the others, or three times where 5 % of all customers have it.
    """
    words = [Counter[str]() for _ in range(count)]
    having = [Counter[str]() for _ in range(count)]
    texts_of = [0] * count
    for text, place in zip(texts, segments.tolist(), strict=True):
        if place == NOWHERE:
            continue
        found = split_words(text)
        texts_of[place] += bool(found)
        words[place].update(found)
        having[place].update(set(found))
    all_words, all_having = Counter[str](), Counter[str]()
    for place in range(count):
        all_words.update(words[place])
        all_having.update(having[place])
    mean = all_words.total() / max(sum(1 for one in words if one), 1)
    everybody = sum(texts_of)
    ranked: list[list[Term]] = []
    for place in range(count):
        terms = []
        for word, number in having[place].items():
            here = number / texts_of[place]
            elsewhere = (all_having[word] - number) / max(everybody - texts_of[place], 1)
            lift = _MUCH_OFTENER if all_having[word] > _COMMON * everybody else _OFTENER
            if number >= _FEWEST and here >= lift * elsewhere:
                share = words[place][word] / words[place].total()
                terms.append(Term(word, share * log(1 + mean / all_words[word]), here, elsewhere))
        ranked.append(sorted(terms, key=lambda term: (-term.weight, term.word))[:most])
    return ranked


def split_words(text: str) -> list[str]:
    """Return the words of a text in small letters; where a script has no blanks, each pair of neighbouring letters."""
    plain = _PRIVATE.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    words: list[str] = []
    for token in _TOKEN.findall(plain):
        if _IS_UNSPACED.match(token):
            words += [token[at : at + 2] for at in range(max(len(token) - 1, 1))]
        elif len(token) > 1:
            words.append(token)
    return words


def name_by_terms(ids: Sequence[str], terms: Sequence[Sequence[Term]]) -> dict[str, str]:
    """Return a name of up to three words for each segment, no two alike; its id where it has no words."""
    names: dict[str, str] = {}
    for one, found in zip(ids, terms, strict=True):
        name = " · ".join(term.word for term in found[:_WORDS_IN_NAME]) or one
        names[one] = f"{name} ({one})" if name in names.values() else name
    return names
