"""Brings planned effects to their target, and finds out what became of those that were in the air."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, UnavailableError
from penstock.base.types import Change, Outcome, Problem, Sink
from penstock.data.consent import PROFILING, Rule, is_allowed
from penstock.flows.consenting import add_own_lists
from penstock.flows.gate import names_of
from penstock.flows.kept import Effect
from penstock.flows.rows import to_text
from penstock.flows.state import FlowState
from penstock.runtime.barred import Barred, fold_identifier

FEW, FEW_TOGETHER = 500, 100
"""Up to this many planned writes go in small batches, which end quickly."""
MANY_TOGETHER = {"attributes": 25_000, "list": 15_000, "event": 1_000, "order": 5_000, "product": 5_000, "row": 10_000}
"""More go in large ones: as many as a sink can bring over as one import, or in some minutes."""
KINDS = ("product", "order", "event", "attributes", "list")
"""What Brevo gets, in this order: who sees the new state of a contact finds the event that explains it."""
MOST_LOST = 10_000
"""Writes without an outcome that are looked up together."""
LEARN_EVERY = 60.0
"""Seconds between looks at who left, while writes go on; longer where a look itself takes long."""
LEARN_SHARE = 0.1
"""Share of the time that these looks may take: they meet again what was written since the last one."""
READ_BEFORE = 600.0
"""Seconds by which a record may have been read before its writes were planned."""
MAX_ATTEMPTS = 8
"""Times that a write may be put off before the run stops; it stays planned."""
MAX_LOOKS = 5
"""Times that writes without an answer are looked up in one run."""

Failed = list[tuple[Effect, Outcome]]


class Delivery:
    """Writes the planned effects of one sink; `told` hears how many more are confirmed."""

    def __init__(
        self,
        state: FlowState,
        sink: Sink,
        name: str,
        kind: str,
        clock: Clock,
        told: Callable[[int], None],
        rule: Rule = PROFILING,
    ) -> None:
        self.state = state
        self.sink = sink
        self.name = name
        self.kinds = KINDS if kind == "brevo" else ("row",)
        self.clock = clock
        self.told = told
        self._barred = Barred(state.store)
        self._rule = rule
        self._has_looked = False
        self._learnt_at = clock.now()
        self._learn_at = self._learnt_at + LEARN_EVERY
        self._refusing: set[str] = set()
        """People who opted out in Brevo since their writes were planned."""

    async def recover(self) -> Failed:
        """Look up writes whose outcome nobody noted; what is certainly not there is planned again.

        Returns those that turned out to be refused.
        """
        failed: Failed = []
        while lost := await self.state.lost_effects(self.name, MOST_LOST):
            outcomes = await self.sink.find(await self._changes(lost))
            failed += await self._note(lost, outcomes)
            if all(outcome.state == "unknown" for outcome in outcomes):
                break
        return failed

    async def deliver(self, stop: asyncio.Event) -> Failed:
        """Write everything that is planned; returns the writes that were refused.

        Raises `UnavailableError` when the target takes no writes, or tells nothing about those
        that were sent; the same run goes on with them.
        """
        await self._learn_objections(await self.state.oldest_planned(self.name))
        failed = await self._drain(stop)
        for _ in range(MAX_LOOKS):
            if not await self.state.lost_effects(self.name, 1):  # otherwise an answer was lost
                return failed
            failed += await self.recover() + await self._drain(stop)
        if await self.state.lost_effects(self.name, 1):
            raise UnavailableError(
                f"{self.sink.describe()} does not tell what became of some writes",
                code="sink.unknown-outcome",
                hint="Nothing is lost. Run the same command again later: it looks them up before it writes them again.",
            )
        return failed

    async def _drain(self, stop: asyncio.Event) -> Failed:
        failed: Failed = []
        is_few = await self.state.open_effects(self.name) <= FEW
        for kind in self.kinds:
            together = FEW_TOGETHER if is_few else MANY_TOGETHER[kind]
            together = min(together, getattr(self.sink, "MOST_TOGETHER", together))
            while not stop.is_set():
                if self.clock.now() > self._learn_at:  # a long delivery must not outrun who leaves
                    await self._learn_objections(self._learnt_at)
                batch = await self.state.send_effects(self.name, kind, together, self.clock.now())
                if not batch:
                    break
                batch = await self._hold_back(batch)
                outcomes = await self._write(batch) if batch else []
                failed += await self._note(batch, outcomes)
                if batch and all(outcome.state == "later" for outcome in outcomes):
                    await self._wait(batch, outcomes)
        return failed

    async def _learn_objections(self, since: float | None) -> None:
        """Read which contacts changed since a moment (None: nothing waits), and what they allow now."""
        read = getattr(self.sink, "changed_since", None)
        if read is None or since is None:
            return
        since, started = self._learnt_at if self._has_looked else since - READ_BEFORE, self.clock.now()
        rule = await add_own_lists(self._rule, self.state.store, [self.name])
        async for contact in read(since):
            names = {fold_identifier(str(contact[name])) for name in ("email", "ext_id", "id") if contact.get(name)}
            if is_allowed(contact, rule):
                self._refusing -= names
            else:
                self._refusing |= names
        now = self.clock.now()
        self._has_looked, self._learnt_at = True, started
        self._learn_at = now + max(LEARN_EVERY, (now - started) / LEARN_SHARE)

    async def _hold_back(self, batch: list[Effect]) -> list[Effect]:
        """Take out what is about people who have objected or were forgotten since it was planned."""
        found = await self._barred.find(name for effect in batch for name in names_of(effect))
        if self._refusing:
            for name in {name for effect in batch for name in names_of(effect)}:
                if fold_identifier(name) in self._refusing:
                    found.setdefault(name, "objected")
        if not found:
            return batch
        reasons = [next((found[name] for name in names_of(effect) if name in found), None) for effect in batch]
        held = {
            id(effect): reason
            for effect, reason in zip(batch, reasons, strict=True)
            if reason == "forgotten" or (reason == "objected" and not effect.is_clearing)
        }
        await self.state.withhold(self.name, [(effect, held[id(effect)]) for effect in batch if id(effect) in held])
        return [effect for effect in batch if id(effect) not in held]

    async def _note(self, effects: Sequence[Effect], outcomes: Sequence[Outcome]) -> Failed:
        pairs = list(zip(effects, outcomes, strict=True))
        await self.state.note_outcomes(self.name, pairs, self.clock.now())
        self.told(sum(outcome.state == "confirmed" for outcome in outcomes))
        return [pair for pair in pairs if pair[1].state in ("rejected", "conflict")]

    async def _wait(self, batch: Sequence[Effect], outcomes: Sequence[Outcome]) -> None:
        attempts = max(effect.attempts for effect in batch)
        if attempts >= MAX_ATTEMPTS:
            reason = next((outcome.problem.message for outcome in outcomes if outcome.problem), "come back later")
            raise UnavailableError(
                f"{self.sink.describe()} takes no writes: {reason}",
                code="sink.unavailable",
                hint="Nothing is lost. Run the same command again later: it goes on with the writes.",
            )
        await self.clock.sleep(min(0.5 * 2.0**attempts, 60.0))

    async def _write(self, batch: list[Effect]) -> list[Outcome]:
        try:
            return await self.sink.write(await self._changes(batch))
        except UnavailableError as error:
            problem = Problem.from_error(error)
            return [Outcome("unknown" if error.sent else "later", problem) for _ in batch]
        except PenstockError:  # some may be written: they are looked up before they are written again
            await self.state.note_outcomes(self.name, [(one, Outcome("unknown")) for one in batch], self.clock.now())
            raise

    async def _changes(self, effects: Sequence[Effect]) -> list[Change]:
        """Return what the sink is told; where it may create contacts also whose were there before."""
        known = set[str]()
        if getattr(self.sink, "creates_contacts", False):
            known = await self.state.known_contacts(self.name, effects)
        return [
            Change(one.wanted.hex(), one.kind, one.match, one.fields, one.is_first, to_text(one.match) in known)
            for one in effects
        ]
