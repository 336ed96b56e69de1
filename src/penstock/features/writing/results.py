"""What became of written texts, by the side from which they look at an offer, and in which order to try those next.

Clicks count, not opens: mail programs open by themselves. Campaign results that were read back from Brevo are found by
their subject; results from elsewhere are remembered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any, NamedTuple, get_args

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.features.writing.brief import Angle
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

_Z = 1.96
PRIOR = 1000
"""Recipients of an average angle that every angle starts with: few results move little."""
LEAST_DELIVERED = 1000
"""Mails of an angle below which nothing is said of it: of 2 % clicks the interval is 1.3 to 3.1 % then."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one version of one mailing."""

    source: str
    """The campaign, or whatever names the mailing."""
    version: str
    """A, B, or what else tells versions apart."""
    angle: Angle
    """Side from which its text looks at the offer."""
    delivered: int
    """Contacts that got it."""
    clicked: int
    """Contacts that clicked."""
    opened: int = 0
    """Contacts that opened it, as far as anybody can tell."""
    language: str = ""
    """Language code."""


class AngleResult(msgspec.Struct, frozen=True):
    """All results of one angle: the share that clicked, its 95 % interval, and the share drawn to the average."""

    angle: str
    versions: int
    delivered: int
    opened: int
    clicked: int
    rate: float | None
    low: float
    high: float
    expected: float


async def remember_written(store: Store, clock: Clock, texts: Iterable[tuple[str, str, str]]) -> None:
    """Remember texts as (text, language, angle), so that campaign results find their angle by the subject."""
    now = clock.now()
    for text, language, angle in texts:
        await store.batch(_save_written, {"text": text, "language": language, "angle": angle, "at": now})


async def remember_results(store: Store, clock: Clock, outcomes: Sequence[Outcome]) -> int:
    """Remember outcomes from elsewhere; the same source and version again takes the place of what was known.

    Returns how many; raises `InputError` for counts that cannot be, before anything is written.
    """
    for at, one in enumerate(outcomes, 1):
        if not one.source or not 0 <= one.clicked <= one.delivered or not 0 <= one.opened <= one.delivered:
            raise InputError(
                f"outcome {at} cannot be: {one.clicked} clicked and {one.opened} opened of {one.delivered} delivered",
                code="content.outcome",
                hint="source is not empty; clicked and opened are at most delivered.",
            )
    now = clock.now()
    for one in outcomes:
        await store.batch(_save_result, {**msgspec.structs.asdict(one), "at": now})
    return len(outcomes)


def _save_written(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_written", items)
    return [None] * len(items)


def _save_result(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_angle_result", items)
    return [None] * len(items)


async def read_results(store: Store, language: str = "") -> list[AngleResult]:
    """Return the results of every angle, best first; those of one language where it is given."""
    rows = await store.read("results_by_angle", language=language)
    counts = {str(row[0]): [int(part or 0) for part in row[1:]] for row in rows}
    sent = sum(delivered for _, delivered, _, _ in counts.values())
    average = sum(clicked for *_, clicked in counts.values()) / sent if sent else 0.0
    found = [_describe(angle, counts.get(angle, [0, 0, 0, 0]), average) for angle in get_args(Angle)]
    return sorted(found, key=lambda one: (-one.expected, -one.delivered, one.angle))


def _describe(angle: str, counts: Sequence[int], average: float) -> AngleResult:
    versions, delivered, opened, clicked = counts
    low, high = find_interval(clicked, delivered)
    return AngleResult(
        angle=angle,
        versions=versions,
        delivered=delivered,
        opened=opened,
        clicked=clicked,
        rate=clicked / delivered if delivered else None,
        low=low,
        high=high,
        expected=(clicked + PRIOR * average) / (delivered + PRIOR),
    )


def find_interval(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); 0 to 1 where nothing is known."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, _Z * _Z
    middle = share + square / (2 * of)
    spread = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of))
    scale = 1 + square / of
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)


class Evidence(NamedTuple):
    """What former mailings say: the angles to try, best first, and sentences that claim no more than intervals do."""

    angles: list[Angle]
    says: list[str]


def weigh_evidence(results: Sequence[AngleResult], least: int = LEAST_DELIVERED) -> Evidence:
    """Return what results of at least `least` delivered mails each say; nothing where fewer than two angles have that.

    One angle is called better than another only where their 95 % intervals lie apart.
    """
    told = [one for one in results if one.delivered >= least]
    if len(told) < 2:
        return Evidence([], [])
    says = []
    for one in told:
        beaten = [other.angle for other in told if one.low > other.high]
        claim = f"; more than {', '.join(beaten)}" if beaten else ""
        says.append(
            f"{one.angle}: {one.clicked:,} of {one.delivered:,} clicked, {one.low:.2%} to {one.high:.2%}{claim}"
        )
    if all("more than" not in said for said in says):
        says.append("no angle did better than another by more than chance")
    says.append("mailings differ in readers and offers; only versions of one mailing were tested against each other")
    return Evidence(order_angles(results), says)


def order_angles(results: Sequence[AngleResult]) -> list[Angle]:
    """Return the angles to try, best first: by what is expected of each; nothing where nothing is known."""
    if not any(one.delivered for one in results):
        return []
    return [angle for one in results for angle in get_args(Angle) if angle == one.angle]
