"""How the requests of one run are bought: at once, at the flex tier, or kept for batches while they are collected."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.base.clock import Clock
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.batches import Batches
from penstock.runtime.call import Caller
from penstock.runtime.dialects import Tx
from penstock.runtime.modes import Mode, Ways
from penstock.runtime.store import Store


class Later(Exception):  # noqa: N818 - not a failure
    """The answer will be there after a batch; what needs it waits for the next round."""


class Road:
    """The way that one run takes, and what of it is left for batches."""

    def __init__(self, mode: Mode, ways: Ways, batches: Batches, caller: Caller, clock: Clock) -> None:
        self.mode = mode
        self.batches = batches
        self.is_collecting = False
        """Whether what a batch takes is kept for one instead of being bought."""
        self.has_lines = False
        """Whether something of this run is known that went, or was to go, through a batch."""
        self._ways = ways
        self._caller = caller
        self._clock = clock
        self._later: dict[bytes, Ask] = {}

    @property
    def is_late(self) -> bool:
        """Whether the deadline is so near that everything is bought live."""
        return self._clock.now() >= self.mode.switch_at

    async def buy(self, ask: Ask, *, flow: str, run: str, is_missing: bool) -> Answer:
        """Return the answer of a request; `is_missing` says that it was looked for already.

        Raises `Later` when it was kept for a batch, and whatever the batch or the live call refused it with.
        """
        way = self._ways.choose(ask, self.mode.way)
        if way == "batch":
            key = self._caller.address(ask)
            held = None if is_missing else (await self._caller.answers.get_many([key])).get(key)
            if held is not None:
                return held
            known = (await self.batches.known([key])).get(key) if self.has_lines else None
            if known is not None and known.run == run and known.problem is not None:
                raise known.problem
            is_let_go = known is not None and known.run == run and known.state == "live"
            if self.is_collecting and not is_let_go:
                self._later[key] = ask
                raise Later
            way = self._ways.choose(ask, "flex")
        flex_until = self.mode.switch_at if way == "flex" else 0.0
        buy = self._caller.buy if is_missing else self._caller.ask
        return await buy(ask, flow=flow, run=run, flex_until=flex_until)

    async def keep(self, *, flow: str, run: str) -> int:
        """Put what is for later on disk; returns how many requests that were."""
        asks = list(self._later.values())
        self._later.clear()
        if asks:
            await self.batches.put(asks, run=run, flow=flow)
            self.has_lines = True
        return len(asks)


async def load_mode(store: Store, run: str) -> Mode | None:
    """Return how a run was begun, None for one that simply buys."""
    rows = await store.read("mode_of", run=run)
    return msgspec.json.decode(rows[0][0], type=Mode) if rows else None


async def save_mode(store: Store, run: str, mode: Mode) -> None:
    """Write how a run buys, for whoever goes on with it or works on its pages."""
    await store.batch(_save_mode, {"run": run, "mode": msgspec.json.encode(mode).decode()})


def _save_mode(tx: Tx, items: Sequence[dict[str, str]]) -> list[None]:
    tx.run_many("save_mode", items)
    return [None] * len(items)
