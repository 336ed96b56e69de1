"""Brings planned effects to their target, and finds out what became of those that were in the air."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, UnavailableError
from penstock.base.types import Change, Outcome, Problem, Sink
from penstock.flows.state import Effect, FlowState

FEW, FEW_TOGETHER, MANY_TOGETHER = 500, 100, 10_000
"""Up to this many planned writes go in small batches, which end quickly; more go in large ones, which a sink can
bring over as one import."""
MAX_ATTEMPTS = 8
"""Times that a write may be put off before the run stops; it stays planned."""


class Delivery:
    """Writes the planned effects of one sink, and finds out what became of those that were in the air."""

    def __init__(self, state: FlowState, sink: Sink, name: str, kind: str, clock: Clock) -> None:
        self.state = state
        self.sink = sink
        self.name = name
        self.kinds = ("event", "attributes") if kind == "brevo" else ("row",)
        self.clock = clock

    async def recover(self) -> int:
        """Look up writes whose outcome nobody noted; what is certainly not there is planned again."""
        found = 0
        while lost := await self.state.lost_effects(self.name, FEW):
            outcomes = await self.sink.find([_change(effect) for effect in lost])
            settled = [(effect, outcome) for effect, outcome in zip(lost, outcomes, strict=True)]
            await self.state.note_outcomes(self.name, settled, self.clock.now())
            found += len(lost)
            if all(outcome.state == "unknown" for outcome in outcomes):
                break
        return found

    async def deliver(self, stop: asyncio.Event, told: Callable[[int], None]) -> list[tuple[Effect, Outcome]]:
        """Write everything that is planned; returns the writes that were refused, and those nobody knows about."""
        failed = await self._drain(stop, told)
        if any(
            outcome.state == "unknown" for _, outcome in failed
        ):  # an answer was lost: look, and write what is not there
            await self.recover()
            failed = [pair for pair in failed if pair[1].state != "unknown"] + await self._drain(stop, told)
        return failed

    async def _drain(self, stop: asyncio.Event, told: Callable[[int], None]) -> list[tuple[Effect, Outcome]]:
        failed: list[tuple[Effect, Outcome]] = []
        together = FEW_TOGETHER if await self.state.open_effects(self.name) <= FEW else MANY_TOGETHER
        for kind in self.kinds:
            while not stop.is_set():
                batch = await self.state.send_effects(self.name, kind, together, self.clock.now())
                if not batch:
                    break
                outcomes = await self._write(batch)
                pairs = list(zip(batch, outcomes, strict=True))
                await self.state.note_outcomes(self.name, pairs, self.clock.now())
                failed += [pair for pair in pairs if pair[1].state in ("rejected", "conflict", "unknown")]
                told(sum(outcome.state == "confirmed" for outcome in outcomes))
                if all(outcome.state == "later" for outcome in outcomes):
                    attempts = max(effect.attempts for effect in batch)
                    if attempts >= MAX_ATTEMPTS:
                        raise UnavailableError(
                            f"{self.sink.describe()} takes no writes: {_reason(outcomes)}",
                            code="sink.unavailable",
                            hint="Nothing is lost. Run the same command again later: it goes on with the writes.",
                        )
                    await self.clock.sleep(min(0.5 * 2.0**attempts, 60.0))
        return failed

    async def _write(self, batch: list[Effect]) -> list[Outcome]:
        try:
            return await self.sink.write([_change(effect) for effect in batch])
        except UnavailableError as error:
            state = "unknown" if error.sent else "later"
            return [Outcome(state, Problem.from_error(error)) for _ in batch]  # type: ignore[arg-type]
        except PenstockError:
            later = [(effect, Outcome("later")) for effect in batch]
            await self.state.note_outcomes(self.name, later, self.clock.now())
            raise


def _reason(outcomes: Sequence[Outcome]) -> str:
    return next((outcome.problem.message for outcome in outcomes if outcome.problem), "it asks to come back later")


def _change(effect: Effect) -> Change:
    return Change(effect.wanted.hex(), effect.kind, effect.match, effect.fields)
