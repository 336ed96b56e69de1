"""The sandbox's stand-in for a model's judgement: a sentiment lexicon and lists of topic words.

English is scored by VADER; six other languages by short word lists. The texts that
ask the question never count, only the customer's words do.
"""

from __future__ import annotations

import math
import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

REFUSE = "[sandbox:refuse]"
"""A customer text that contains this is refused, as a model refuses what it must not judge."""

_WORD = re.compile(r"\w+")
_LONGEST = 20_000


class _Words(msgspec.Struct, frozen=True):
    fallbacks: frozenset[str]
    negations: frozenset[str]
    glue: frozenset[str]
    stops: dict[str, frozenset[str]]
    moods: dict[str, tuple[frozenset[str], frozenset[str]]]
    topics: dict[str, tuple[frozenset[str], tuple[str, ...]]]


@cache
def _words() -> _Words:
    raw = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))

    def split(text: str) -> frozenset[str]:
        return frozenset(text.split())

    return _Words(
        fallbacks=split(raw["fallbacks"]),
        negations=split(raw["negations"]),
        glue=split(raw["glue"]),
        stops={name: split(one["stops"]) for name, one in raw["languages"].items()},
        moods={
            name: (split(one["good"]), split(one["bad"])) for name, one in raw["languages"].items() if "good" in one
        },
        topics={
            name: (split(one["names"]) | {name}, tuple(stem.replace("~", " ") for stem in one["stems"].split()))
            for name, one in raw["topics"].items()
        },
    )


class Judgement(msgspec.Struct, frozen=True):
    """What the lexicon makes of one text: mood from -1 to 1, the shares of good and bad words, and the language."""

    text: str
    score: float
    good: float
    bad: float
    language: str

    @property
    def confidence(self) -> float:
        """Return how sure the lexicon is: clear words make it sure, no words at all do not."""
        return round(0.5 + 0.45 * min(1.0, abs(self.score) + 0.3 * (self.good + self.bad > 0)), 4)

    @property
    def label(self) -> str:
        """Return the plain word for the mood."""
        if self.good > 0.12 and self.bad > 0.12 and abs(self.score) < 0.5:
            return "mixed"
        return "positive" if self.score >= 0.2 else "negative" if self.score <= -0.2 else "neutral"

    @property
    def refused(self) -> bool:
        return REFUSE in self.text


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@lru_cache(maxsize=4096)
def judge(text: str) -> Judgement:
    """Judge a customer's text; only its first 20,000 characters are read."""
    text = text[:_LONGEST]
    words = _WORD.findall(text.lower())
    language = _language(words)
    if language == "en" or not words:
        found = _analyzer().polarity_scores(text) if words else {"compound": 0.0, "pos": 0.0, "neg": 0.0}
        return Judgement(text, found["compound"], found["pos"], found["neg"], language)
    good, bad = _count_moods(words, *_words().moods[language])
    balance = 1.9 * (good - bad)
    return Judgement(text, round(balance / math.sqrt(balance**2 + 8), 4), good / len(words), bad / len(words), language)


def _language(words: list[str]) -> str:
    counts = {name: sum(word in stops for word in words) for name, stops in _words().stops.items()}
    for name, (good, bad) in _words().moods.items():
        counts[name] += sum(word in good or word in bad for word in words)
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] > max(1, counts["en"]) else "en"


def _count_moods(words: list[str], good: frozenset[str], bad: frozenset[str]) -> tuple[float, float]:
    totals = [0.0, 0.0]
    for index, word in enumerate(words):
        if word in good or word in bad:
            negated = not _words().negations.isdisjoint(words[max(0, index - 2) : index])
            totals[(word in bad) != negated] += 1.0
    return totals[0], totals[1]


@lru_cache(maxsize=4096)
def valence(words: str) -> float:
    """Return the mood of a label or an instruction, from -1 to 1."""
    return float(_analyzer().polarity_scores(words.replace("_", " ").replace("-", " "))["compound"])


def _topics_of(question: str) -> list[str]:
    asked = set(_WORD.findall(question.lower().replace("_", " ")))
    return [name for name, (names, _) in _words().topics.items() if not asked.isdisjoint(names)]


@lru_cache(maxsize=4096)
def _pattern(question: str) -> re.Pattern[str] | None:
    """Return what to look for in a text for a question: the stems of its topics, else the question's own words.

    What stands in brackets explains; it counts only where the words before it name no topic.
    """
    words = _words()
    stems = [stem for name in _topics_of(question.partition("(")[0]) for stem in words.topics[name][1]]
    if not stems:
        asked = set(_WORD.findall(question.lower().replace("_", " ")))
        stems = [word for word in asked - words.glue - words.fallbacks if len(word) > 2]
    if not stems:
        return None
    return re.compile(r"\b(?:" + "|".join(map(_as_pattern, sorted(stems))) + ")")


def _as_pattern(stem: str) -> str:
    return re.escape(stem) + (r"(?:s|es|d|ed|ing)?\b" if len(stem) <= 4 else "")


def mentions(question: str, judgement: Judgement) -> int:
    """Return how often the text touches what the question is about."""
    pattern = _pattern(question)
    return len(pattern.findall(judgement.text.lower())) if pattern else 0


def is_true(question: str, judgement: Judgement) -> float:
    """Return the probability that a statement about the text holds."""
    mood = valence(question)
    hits = mentions(question, judgement)
    if abs(mood) > 0.2 and not _topics_of(question.partition("(")[0]):
        steepness = 5.0 if mood > 0 else -5.0
        return round(0.01 + 0.98 / (1.0 + math.exp(-steepness * judgement.score)), 4)
    return round(0.98 - 0.1 / hits, 4) if hits else 0.03


_NUMBERED = re.compile(r"\[(#\d+)\]([^\n]*)")
_PART = re.compile(r"(?<=[.!?])\s+|\n+|,\s+(?=(?:but|aber|mais|pero|ma|maar|mas)\b)|;\s+", re.IGNORECASE)


def part_about(question: str, judgement: Judgement) -> Judgement:
    """Return the judgement of the parts that mention the topic which a question names; else of the whole text."""
    pattern = _pattern(question) if _topics_of(question.partition("(")[0]) else None
    parts = [part for part in _PART.split(judgement.text) if pattern and pattern.search(part.lower())]
    return judge(" ".join(parts)) if parts else judgement


def point(values: list[str], question: str, judgement: Judgement) -> list[float] | None:
    """Return a probability for each numbered part of the text to be the one asked for; None where none is numbered."""
    parts = dict(_NUMBERED.findall(judgement.text))
    if not set(values) <= parts.keys():
        return None
    return normalise([0.02 + mentions(question, judge(parts[value])) for value in values])


def choose(options: list[tuple[str, str]], judgement: Judgement) -> list[float]:
    """Return a probability for each (value, description), by mood when the options are moods, else by topic."""
    values = [value.lower() for value, _ in options]
    moods = [valence(value) for value in values]
    if max(moods) > 0.2 and min(moods) < -0.2:
        return normalise(_weigh_moods(values, moods, judgement))
    weights = [0.02 + mentions(f"{value} ({description})", judgement) for value, description in options]
    if max(weights) < 0.5:
        fallbacks = _words().fallbacks
        weights = [0.5 if value in fallbacks else weight for value, weight in zip(values, weights, strict=True)]
    return normalise(weights)


def _weigh_moods(values: list[str], moods: list[float], judgement: Judgement) -> list[float]:
    scale = max(abs(mood) for mood in moods)
    says_nothing = not _WORD.search(judgement.text)
    weights = []
    for value, mood in zip(values, moods, strict=True):
        if value in _words().fallbacks:
            weights.append(2.0 if says_nothing else 0.01)
        elif "mixed" in value:
            weights.append(0.01 + 3.0 * min(judgement.good, judgement.bad))
        else:
            weights.append(math.exp(-(((judgement.score - 0.75 * mood / scale) / 0.32) ** 2)) + 0.005)
    return weights


def rate(labels: list[str], judgement: Judgement, *, inverted: bool = False) -> list[float]:
    """Return a probability for each of some ordered levels; low to high mood unless the labels run the other way."""
    top = len(labels) - 1
    direction = valence(labels[-1]) - valence(labels[0])
    falling = inverted if abs(direction) < 0.2 else direction < 0
    place = ((-judgement.score if falling else judgement.score) + 1.0) / 2.0 * top
    spread = max(0.4, 0.1 * top)
    return normalise([math.exp(-(((index - place) / spread) ** 2) / 2) + 1e-4 for index in range(top + 1)])


def normalise(weights: list[float]) -> list[float]:
    """Scale weights to probabilities with six digits that sum to exactly one million millionths."""
    total = sum(weights)
    millionths = [round(weight / total * 1_000_000) for weight in weights]
    best = max(range(len(millionths)), key=millionths.__getitem__)
    millionths[best] += 1_000_000 - sum(millionths)
    return [share / 1_000_000 for share in millionths]
