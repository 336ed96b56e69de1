"""How much redaction finds: recall by kind and language on a synthetic set, and what it takes that is not personal."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.features.minimise import Rules, minimise
from penstock.features.prompt import clean

KINDS = ("name", "email", "phone", "address", "id", "link", "number", "card", "iban", "ip", "unseen")


class Sample(NamedTuple):
    """A text of one language with one personal value in it; `kind` is `clean` where there is none."""

    language: str
    kind: str
    text: str
    value: str
    known: tuple[str, ...]
    region: str


class Recall(msgspec.Struct, frozen=True):
    """How many values of a kind were there, and how many were taken out whole."""

    language: str
    kind: str
    values: int
    found: int

    @property
    def share(self) -> float:
        """Return the recall, 0 to 1."""
        return self.found / self.values


def list_samples() -> Iterator[Sample]:
    """Yield the set: every value of a kind in every sentence of its language."""
    with Path(__file__).with_name("redaction.toml").open("rb") as file:
        parts = tomllib.load(file)
    everywhere = parts.pop("all")
    for language, part in parts.items():
        known, region = tuple(part["known"]), part["region"]
        for kind in KINDS:
            for value in (part | everywhere)[kind]:
                for sentence in part["sentences"]:
                    yield Sample(language, kind, sentence.format(value), value, known, region)
        for text in part["clean"]:
            yield Sample(language, "clean", text, "", known, region)


def measure() -> list[Recall]:
    """Redact the whole set; a value counts as found when no piece of it that tells something is left."""
    counts: dict[tuple[str, str], list[int]] = {}
    for sample in list_samples():
        count = counts.setdefault((sample.language, sample.kind), [0, 0])
        count[0] += 1
        count[1] += is_gone(sample)
    return [Recall(language, kind, values, found) for (language, kind), (values, found) in counts.items()]


def is_gone(sample: Sample) -> bool:
    """Tell whether the value was taken out; for a clean text, whether it was left alone."""
    text = clean(sample.text)
    result = minimise(text, sample.known, Rules(region=sample.region))
    if sample.kind == "clean":
        return result == text
    before, _, after = text.partition(clean(sample.value))
    middle = result.removeprefix(before).removesuffix(after)
    return not any(piece in middle for piece in _pieces(sample))


def _pieces(sample: Sample) -> list[str]:
    """Return the parts of a value that must not be left: words with a capital or a digit, or all of it."""
    value = clean(sample.value)
    if sample.kind == "link":
        return [value[min(value.find(mark) for mark in "?#" if mark in value) :]]
    if sample.kind == "unseen":
        return [value]
    titles = {"Mrs", "Herr", "Mme", "señor", "signor", "meneer", "pani", "senhor", "customer", "order"}
    words = [word for word in value.replace(",", " ").split() if word not in titles]
    is_text = sample.kind in ("name", "email")
    return [word for word in words if any(map(str.isdigit, word)) or (is_text and len(word) > 3)]
