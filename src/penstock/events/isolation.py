"""Finds the events that a request is refused for, in few requests: one invalid event fails a whole request.

Events that the refusal names are set aside, and the rest is sent at once: one more request. Where
it names none, halves are tried: about two requests per halving for each bad event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from penstock.base.types import Problem
from penstock.events.entries import Item, Settled, State
from penstock.vendor.conversions import Pointer, Verdict

EXPIRED_CODES = frozenset({"event_timestamp_too_old"})
"""Vendor codes that say that an event came too late (seen in public fixtures, 2026-09)."""

Send = Callable[[Sequence[Item]], Awaitable[Verdict]]
Accept = Callable[[Sequence[Item], Verdict], Sequence[Settled]]
Keep = Callable[[Verdict, Sequence[Item], Sequence[Settled], bool], Awaitable[None]]


class Left(NamedTuple):
    """What ended the work on a batch before every event had its outcome, and the events without one."""

    verdict: Verdict
    items: list[Item]


class _Half:
    """Two halves of a refused part: when the first is accepted, the second is known to hold the bad event."""

    __slots__ = ("is_first_good",)

    def __init__(self) -> None:
        self.is_first_good = False


class _Part(NamedTuple):
    items: Sequence[Item]
    half: _Half | None = None
    is_first: bool = False


async def isolate(items: Sequence[Item], send: Send, accept: Accept, keep: Keep) -> Left | None:
    """Send `items` until each has its outcome; returns what is left when an answer is about all of them.

    `accept` says which states accepted events are in; `keep` writes each request with what it settled, and
    is told with its last argument that the batch is done.
    """
    parts = [_Part(items)]
    while parts:
        part = parts.pop()
        if len(part.items) > 1 and part.half is not None and part.half.is_first_good and not part.is_first:
            parts += _halve(part.items)  # it is known to be refused: asking would tell nothing
            continue
        verdict = await send(part.items)
        settled: Sequence[Settled] = ()
        if verdict.kind == "accepted":
            settled = accept(part.items, verdict)
            if part.half is not None and part.is_first:
                part.half.is_first_good = True
        elif verdict.kind == "rejected":
            settled, rest = _set_aside(part.items, verdict)
            parts += rest
        else:
            await keep(verdict, part.items, (), False)
            return Left(verdict, [item for one in [part, *reversed(parts)] for item in one.items])
        await keep(verdict, part.items, settled, not parts)
    return None


def _halve(items: Sequence[Item]) -> list[_Part]:
    """Return the second half and the first, which is taken next."""
    middle, half = len(items) // 2, _Half()
    return [_Part(items[middle:], half), _Part(items[:middle], half, is_first=True)]


def _set_aside(items: Sequence[Item], verdict: Verdict) -> tuple[list[Settled], list[_Part]]:
    """Return the events that a refusal settles, and what is sent next."""
    named: dict[int, list[Pointer]] = {}
    for pointer in verdict.pointers:
        named.setdefault(pointer.index, []).append(pointer)
    if not named and len(items) == 1:
        named = {0: [Pointer(0, "", verdict.code, verdict.message)]}
    if not named:
        return [], _halve(items)
    settled = [_refuse(items[index].number, pointers) for index, pointers in named.items()]
    rest = [item for index, item in enumerate(items) if index not in named]
    return settled, [_Part(rest)] if rest else []


def _refuse(number: int, pointers: Sequence[Pointer]) -> Settled:
    """Return the end of one event; the vendor's own code is the reason that is counted."""
    state: State = "expired" if any(one.code in EXPIRED_CODES for one in pointers) else "rejected"
    first = pointers[0]
    said = "; ".join(dict.fromkeys(f"{one.field}: {one.message}" if one.field else one.message for one in pointers))
    problem = Problem(
        first.code or "conversions.rejected",
        f"OpenAI refused the event: {said or 'without a reason'}",
        "Correct the record or the mapping and hand it in again with the same id, or replay it when OpenAI was wrong.",
        first.field,
    )
    return Settled([number], state, problem)
