"""The ledger of one-off effects: what must exist once at a vendor, such as a list, a draft, an image or a webhook.

One row per intended effect, in the table that flows keep theirs in: planned, sent, then confirmed, rejected,
conflict or unknown. It outlives the process, so a repeated command finds what was made, and looks up what nobody noted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import FixError, PenstockError, RejectedError, UnavailableError
from penstock.base.redact import redact
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

State = Literal["planned", "sent", "confirmed", "conflict", "unknown", "rejected"]


class OneEffect(msgspec.Struct, frozen=True):
    """One intended effect; `receipt` is what the vendor calls the thing that was made."""

    kind: str
    name: str
    state: State
    fields: dict[str, Any]
    receipt: str
    session: str
    attempts: int
    problem: str
    at: float


class Effects:
    """The one-off effects at one place: an account, named like the identity of its sink (`brevo:<organisation>`)."""

    def __init__(self, store: Store, clock: Clock, place: str) -> None:
        self._store = store
        self._clock = clock
        self._place = place

    async def once(
        self,
        kind: str,
        name: str,
        make: Callable[[], Awaitable[str]],
        find: Callable[[], Awaitable[str | None]],
        fields: Mapping[str, Any] | None = None,
    ) -> str:
        """Do `make` unless that was done before, and return its receipt.

        `name` is what makes two effects the same: put a hash of the content into it where that counts. When a
        former attempt may have reached the vendor, `find` looks for it first and returns its receipt, or None when it
        is certainly not there. Raises what `make` and `find` raise, and `FixError` (`effects.under-way`) while
        another living process is at it.
        """
        known = await self.plan(kind, name, fields)
        if known.state == "confirmed":
            return known.receipt
        await self.send(known)
        try:
            receipt = await find() if known.state in ("sent", "unknown") else None
        except BaseException:  # still nobody knows
            self.doubt(kind, name)
            raise
        if receipt is None:
            receipt = await self._make(kind, name, make)
        await self.settle(kind, name, "confirmed", receipt)
        return receipt

    async def _make(self, kind: str, name: str, make: Callable[[], Awaitable[str]]) -> str:
        try:
            return await make()
        except PenstockError as error:
            await self.settle(kind, name, _state_after(error), problem=str(redact(f"{error.code}: {error.message}")))
            raise
        except BaseException:
            self.doubt(kind, name)
            raise

    async def plan(self, kind: str, name: str, fields: Mapping[str, Any] | None = None) -> OneEffect:
        """Note that an effect is wanted, and return what is known of it; one that is known stays as it is."""
        body = msgspec.json.encode(fields or {}, order="sorted").decode()
        row = {"sink": self._place, "kind": kind, "target": name, "fields": body, "at": self._clock.now()}
        return await self._store.batch(_plan, row)

    async def send(self, effect: OneEffect) -> None:
        """Claim an effect before it is sent; raises `FixError` (`effects.under-way`) when another process has it."""
        other = effect.session
        is_taken = effect.state == "sent" and (
            other == self._store.session or other not in await self._store.find_dead([other])
        )
        row = {"sink": self._place, "kind": effect.kind, "target": effect.name, "at": self._clock.now()}
        row |= {"was": effect.state, "before": other, "session": self._store.session}
        if is_taken or not await self._store.batch(_send, row):
            raise FixError(
                f"the {effect.kind} {redact(effect.name)} is being made already",
                code="effects.under-way",
                hint="Wait for the other command, then run this one again.",
            )

    async def settle(self, kind: str, name: str, state: State, receipt: str = "", *, problem: str = "") -> None:
        """Note what became of an effect; `planned` means that it was certainly not done and may be tried again."""
        await self._store.batch(_settle, self._row(kind, name, state, receipt, problem))

    async def get(self, kind: str, name: str) -> OneEffect | None:
        """Return what is known of an effect."""
        rows = await self._store.read("once_effect", sink=self._place, kind=kind, target=name)
        return _read(rows[0]) if rows else None

    async def known(self, kind: str) -> list[OneEffect]:
        """Return the effects of a kind, by name: what the connector made, and what it tried to."""
        return [_read(row) for row in await self._store.read("once_effects", sink=self._place, kind=kind)]

    async def lost(self, kind: str) -> list[OneEffect]:
        """Return the effects of which nobody knows what became of them: unknown, or sent by a process that is gone."""
        open_ones = [one for one in await self.known(kind) if one.state in ("sent", "unknown")]
        dead = await self._store.find_dead({one.session for one in open_ones if one.state == "sent"})
        return [one for one in open_ones if one.state == "unknown" or one.session in dead]

    def doubt(self, kind: str, name: str) -> None:
        """Note, without waiting, that nobody knows what became of an effect, as when this task is cancelled."""
        self._store.post(_settle, self._row(kind, name, "unknown"))

    async def forget(self, kind: str, name: str) -> None:
        """Forget an effect whose thing is gone, so that it can be made again."""
        await self._store.batch(_forget, {"sink": self._place, "kind": kind, "target": name})

    def _row(self, kind: str, name: str, state: State, receipt: str = "", problem: str = "") -> dict[str, Any]:
        row = {"sink": self._place, "kind": kind, "target": name, "state": state}
        return {**row, "receipt": receipt, "problem": problem, "at": self._clock.now()}


def _state_after(error: PenstockError) -> State:
    if isinstance(error, UnavailableError):
        return "unknown" if error.sent else "planned"
    return "rejected" if isinstance(error, RejectedError) else "planned"


def _read(row: Sequence[Any]) -> OneEffect:
    kind, name, state, fields, *rest = row
    return OneEffect(kind, name, state, msgspec.json.decode(fields), *rest)


def _plan(tx: Tx, items: Sequence[dict[str, Any]]) -> list[OneEffect]:
    found = []
    for item in items:
        tx.run("plan_once", {**item, "wanted": b""})
        found.append(_read(tx.fetch("once_effect", {key: item[key] for key in ("sink", "kind", "target")})[0]))
    return found


def _send(tx: Tx, items: Sequence[dict[str, Any]]) -> list[bool]:
    return [tx.run("send_once", item) == 1 for item in items]


def _settle(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("settle_once", items)
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("forget_once", items)
    return [None] * len(items)
