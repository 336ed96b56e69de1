"""What usage taught about token estimates: actual prompt tokens over estimated ones, per operation and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.runtime.ask import Ask
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from penstock.vendor.tokens import Corrector

SAFETY = 1.25
"""How far above its corrected estimate a prompt may turn out, for what a budget puts aside."""


class Corrections:
    """The ratios of one store; learnt in memory, kept on `save`."""

    def __init__(self, store: Store, known: dict[tuple[str, str], Corrector]) -> None:
        self.store = store
        self._known = known

    @classmethod
    async def load(cls, store: Store) -> Corrections:
        """Read what earlier runs learnt."""
        rows = await store.read("corrections")
        return cls(store, {(row[0], row[1]): Corrector(float(row[2]), int(row[3])) for row in rows})

    def expect(self, ask: Ask) -> float:
        """Return the prompt tokens that the vendor will probably count."""
        return ask.prompt_tokens * self.ratio(ask)

    def upper(self, ask: Ask) -> int:
        """Return prompt tokens that the vendor's count will hardly pass."""
        return int(ask.prompt_tokens * max(self.ratio(ask), 1.0) * SAFETY) + 16

    def ratio(self, ask: Ask) -> float:
        """Return actual over estimated tokens."""
        found = self._known.get((ask.operation, ask.model))
        return found.ratio if found else 1.0

    def learn(self, ask: Ask, actual: int) -> None:
        """Take in what one call really used."""
        if actual > 0 and ask.prompt_tokens > 0:
            key = (ask.operation, ask.model)
            self._known[key] = self._known.get(key, Corrector()).learn(ask.prompt_tokens, actual)

    async def save(self) -> None:
        """Keep the ratios for the next process."""
        for (operation, model), corrector in self._known.items():
            row = {"operation": operation, "model": model, "ratio": corrector.ratio, "samples": corrector.count}
            await self.store.batch(_save, row)


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_correction", items)
    return [None] * len(items)
