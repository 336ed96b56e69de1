"""What a flow takes out of the texts of its records before any step sees them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from penstock.base.errors import FlowError
from penstock.base.expression import Expression
from penstock.features.minimise import PLAIN, Rules, minimise
from penstock.flows.strict import Strict

_NAME = re.compile(r"[a-z][a-z\-]{0,31}")
TEXT_INPUTS = frozenset(("text", "texts", "messages", "prompt", "input", "history"))
"""Inputs of operations that hold what people wrote; the others are settings, addresses and files."""


class RedactPart(Strict):
    """What is taken out of the texts of records before a step sees them, beside what looks personal by itself."""

    known: list[str] = Field(default=[])
    """Personal values of the customer, such as `${{ record.attributes.FIRSTNAME | default(none) }}`."""
    region: str | None = None
    """Country of the customer, such as DE: how phone numbers without a country code are read."""
    patterns: dict[str, str] = Field(default={})
    """More to take out: a name, and a regular expression for what it stands for."""
    presidio: str | None = None
    """Folder of a spaCy model with which Presidio looks for names of people."""
    language: str = "en"
    """Language of that model."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """The compiled rules of `redact`; both expressions see the record."""

    known: tuple[Expression, ...] = ()
    region: Expression | None = None
    rules: Rules = PLAIN

    def apply(self, inputs: dict[str, Any], own: AbstractSet[str], scope: dict[str, Any]) -> None:
        """Replace personal data in the text inputs of a step; raises `InputError` when it cannot be taken out.

        `own` are the inputs that the step takes: one that is given known values minimises its text itself.
        """
        is_plain = not self.known and self.region is None and self.rules is PLAIN
        if is_plain and "known" in own:
            return
        names = TEXT_INPUTS & inputs.keys()
        if not names:
            return
        known = tuple(text for part in self.known for text in _list_texts(part.evaluate(scope)))
        rules = self.rules
        region = self.region.evaluate(scope) if self.region is not None else None
        if isinstance(region, str) and len(region) == 2:
            rules = Rules(region, rules.patterns, rules.find_people)
        for name in names:
            inputs[name] = _redact(inputs[name], known, rules)


class Express(Protocol):
    """Compiles an expression that stands at a path of `redact`."""

    def __call__(self, text: str, *path: Any) -> Expression: ...


def build_redaction(part: RedactPart, folder: Path, express: Express, refuse: Callable[..., FlowError]) -> Redaction:
    """Compile `redact`; `folder` is where a relative path starts. Raises `FlowError` for what cannot be compiled."""
    patterns = []
    for name, text in part.patterns.items():
        if not _NAME.fullmatch(name):
            raise refuse(f"{name!r} is no name: a lower-case letter, then letters and hyphens", "patterns", name)
        try:
            patterns.append((name, re.compile(text)))
        except re.error as error:
            raise refuse(f"{text!r} is no regular expression: {error}", "patterns", name) from error
    find_people = None
    if part.presidio:
        from penstock.features.presidio import load_people_finder

        find_people = load_people_finder(folder / part.presidio, part.language)
    return Redaction(
        tuple(express(text, "known", index) for index, text in enumerate(part.known)),
        express(part.region, "region") if part.region else None,
        Rules("", tuple(patterns), find_people) if patterns or find_people else PLAIN,
    )


def _redact(value: Any, known: tuple[str, ...], rules: Rules) -> Any:
    if isinstance(value, str):
        return minimise(value, known, rules)
    if isinstance(value, dict):
        return {name: _redact(part, known, rules) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(part, known, rules) for part in value]
    return value


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _list_texts(part)
    elif isinstance(value, dict):
        yield from _list_texts(list(value.values()))
    elif value not in (None, "") and not isinstance(value, bool):
        yield str(value)
