"""Parameters that a model refused, learnt from the vendor's 400s and remembered per connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, RejectedError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

_TEACHING = ("openai.unsupported-parameter", "openai.unsupported-value")


class Refusals:
    """What one store knows about refused parameters, by account and model."""

    def __init__(self, store: Store, clock: Clock, known: dict[tuple[str, str], set[str]]) -> None:
        self.store = store
        self.clock = clock
        self._known = known

    @classmethod
    async def load(cls, store: Store, clock: Clock) -> Refusals:
        """Read what earlier runs learnt."""
        known: dict[tuple[str, str], set[str]] = {}
        for account, model, parameter in await store.read("refusals"):
            known.setdefault((account, model), set()).add(parameter)
        return cls(store, clock, known)

    def of(self, account: str, model: str) -> frozenset[str]:
        """Return the parameters that are known to be refused."""
        return frozenset(self._known.get((account, model), ()))

    async def learn(self, account: str, model: str, parameter: str) -> None:
        """Remember a refused parameter."""
        self._known.setdefault((account, model), set()).add(parameter)
        row = {"account": account, "model": model, "parameter": parameter, "at": self.clock.now()}
        await self.store.batch(_save, row)


def refused_parameter(error: PenstockError) -> str:
    """Return the name of the parameter that an error teaches to leave out; empty when it teaches nothing."""
    if not isinstance(error, RejectedError) or error.code not in _TEACHING:
        return ""
    return error.param


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_refusal", items)
    return [None] * len(items)
