"""Holds written variants against their brief, and against the same brief in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.features.writing.brief import Angle, Brief
from penstock.features.writing.checks import (
    Check,
    check_facts,
    check_forbidden,
    check_language,
    check_length,
    check_markup,
    check_placeholders,
    check_reading,
    check_style,
    check_tags,
    has_errors,
)
from penstock.features.writing.figures import Figures, read_figures


class Judged(NamedTuple):
    """One variant and what every check said about it; `more` is what was made of its texts, such as HTML."""

    language: str
    angle: Angle
    texts: Mapping[str, str]
    checks: tuple[Check, ...]
    more: Mapping[str, str] = {}
    why: str = ""
    """Why it is left out, where no check says so."""

    @property
    def is_good(self) -> bool:
        """Whether no check found an error."""
        return not self.why and not has_errors(self.checks)

    def whole(self) -> str:
        """Return all of its texts, as one."""
        return "\n".join(self.texts.values())

    def problems(self) -> list[str]:
        """Say each error in words."""
        return [f"{check.name}: {check.found}" for check in self.checks if check.verdict == "error"]


def judge(
    input: Brief,
    language: str,
    angle: Angle,
    texts: Mapping[str, str],
    main: str,
    first: Judged | None = None,
) -> Judged:
    """Make every check of one variant; `first` is the same angle in the first language."""
    whole, brief = "\n".join(texts.values()), input.stated()
    checks = [
        check_placeholders(texts.values(), input.placeholders),
        *check_tags(whole, input.attributes),
        check_facts(whole, brief),
        check_language(whole, language, input.languages),
        check_length(texts[main], getattr(input, "max_characters", None)),
        check_markup(texts),
        check_forbidden(whole, input.all_forbidden()),
        *check_style(whole, language, brief),
    ]
    if "body" in texts:
        checks.append(check_reading(texts["body"], language))
    if first is not None:
        checks.append(compare_figures(first.whole(), whole, first.language))
    return Judged(language, angle, texts, tuple(checks))


def compare_figures(before: str, after: str, other: str) -> Check:
    """Check that two texts state the same numbers, dates and codes, however often; `other` is the language compared."""
    one, two = read_figures(before), read_figures(after)
    lost = [f"{part} of the {other} text is missing" for part in _beyond(one, two)]
    added = [f"{part} is not in the {other} text" for part in _beyond(two, one)]
    problems = "; ".join([*lost, *added][:8])
    return Check(name="figures", verdict="error" if problems else "ok", found=problems)


def _beyond(one: Figures, two: Figures) -> list[str]:
    """List what the first states and the second does not."""
    days = frozenset(day for _, meant in two.dates for day in meant)
    return [
        *sorted(set(one.values()) - set(two.values())),
        *sorted(set(one.codes) - set(two.codes)),
        *(name for name, meant in one.dates if not meant & days),
    ]


def list_figures(judged: Judged) -> list[str]:
    """List the figures that a variant states, for the order to state the same in another language."""
    found = read_figures(judged.whole())
    return [f"{number} {unit}".strip() for number, unit in found.numbers] + [
        *(name for name, _ in found.dates),
        *found.codes,
    ]
