"""The one path of a paid call.

Answer store, sharing of equal requests under way, governor, budget reservation, vendor,
classification, retry, settlement, storage, result. The permit of the governor comes
before the reservation, so that money is put aside only for calls that leave at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from penstock.base.clock import Clock
from penstock.base.errors import (
    OutputError,
    PenstockError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from penstock.base.types import Usage
from penstock.runtime.answers import Answers, Bought
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.corrections import Corrections
from penstock.runtime.governor import Charge, Governor, Permit, Pool
from penstock.runtime.ledger import Ledger, Reservation, Settlement
from penstock.vendor.models import Catalogue
from penstock.vendor.openai import Exchange, OpenAI

MAX_ATTEMPTS = 5
"""Sendings of one request that may fail before it is given up; refusals for speed do not count."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


class Caller:
    """Sends paid requests over named connections, each answer bought once."""

    def __init__(
        self,
        *,
        connections: Mapping[str, OpenAI],
        answers: Answers,
        ledger: Ledger,
        governor: Governor,
        catalogue: Catalogue,
        corrections: Corrections,
        clock: Clock,
    ) -> None:
        self.connections = connections
        self.answers = answers
        self.ledger = ledger
        self.governor = governor
        self.catalogue = catalogue
        self.corrections = corrections
        self.clock = clock
        self._under_way: dict[bytes, tuple[asyncio.Task[Answer], list[int]]] = {}

    def connection(self, name: str) -> OpenAI:
        """Return a connection by its name; raises `SettingsError` for one that does not exist."""
        try:
            return self.connections[name]
        except KeyError:
            known = ", ".join(sorted(self.connections)) or "none"
            raise SettingsError(
                f"there is no connection {name!r} (known: {known})", code="connection.unknown"
            ) from None

    def address(self, ask: Ask) -> bytes:
        """Return where the answer to `ask` is held."""
        return ask.address(self.connection(ask.connection).account)

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        """Return the held answer, or buy it; equal requests under way share one purchase.

        Raises the typed errors of `penstock.base.errors`; whatever is raised, the ledger is true.
        """
        held = await self.answers.get(self.address(ask))
        return held or await self.buy(ask, flow=flow, run=run, interactive=interactive)

    async def buy(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        """Buy an answer that is known not to be held, as after `Answers.get_many`."""
        key = self.address(ask)
        entry = self._under_way.get(key)
        first = entry is None
        if entry is None:
            task = asyncio.create_task(self._buy(ask, key, flow, run, interactive))
            entry = self._under_way[key] = (task, [0])
        task, waiting = entry
        waiting[0] += 1
        try:
            answer = await asyncio.shield(task)
        finally:
            waiting[0] -= 1
            if waiting[0] == 0:
                self._under_way.pop(key, None)
                if not task.done():  # everybody who wanted it is gone
                    task.cancel()
                    await asyncio.wait([task])
        return answer if first else _as_shared(answer)

    async def _buy(self, ask: Ask, key: bytes, flow: str, run: str, interactive: bool) -> Answer:
        client = self.connection(ask.connection)
        pool = Pool(client.quota_account, ask.model)
        charge = Charge(1, ask.prompt_tokens + ask.max_output_tokens)
        failures, again = 0, False
        while True:
            permit = await self.governor.acquire(pool, charge, flow=flow, interactive=interactive, front=again)
            again = True
            try:
                reservation = await self._reserve(ask, flow, run)
            except BaseException:
                self.governor.release(permit)
                raise
            try:
                return await self._send(client, ask, key, permit, reservation)
            except ThrottledError:
                continue
            except UnavailableError as error:
                failures += 1
                if failures >= MAX_ATTEMPTS:
                    raise
                await self.clock.sleep(self._backoff(failures, error.retry_after))

    async def _reserve(self, ask: Ask, flow: str, run: str) -> Reservation:
        worst = self.catalogue.worst_case(
            ask.model,
            ask.tier,
            self.corrections.upper(ask),
            ask.max_output_tokens,
            operation=ask.price_list,
            at=self.clock.now(),
        )
        return await self.ledger.reserve(
            operation=ask.operation,
            connection=ask.connection,
            model=ask.model,
            tier=ask.tier,
            worst_case=worst,
            run=run,
            flow=flow,
        )

    async def _send(self, client: OpenAI, ask: Ask, key: bytes, permit: Permit, reservation: Reservation) -> Answer:
        try:
            exchange = await client.post(ask.path, ask.content, reservation.call_id)
        except UnavailableError as error:
            self.governor.release(permit)
            await self._settle_failure(reservation, error, "unknown" if error.sent else "failed")
            raise
        except BaseException as error:
            self.governor.release(permit)
            await asyncio.shield(self._settle_failure(reservation, error, "unknown"))
            raise
        if exchange.error is None:
            return await self._keep(ask, key, permit, reservation, exchange)
        if isinstance(exchange.error, ThrottledError):
            self.governor.refuse(permit, exchange.error, exchange.headers)
        else:
            self.governor.observe(permit, exchange.headers, None)
        await self._settle_failure(reservation, exchange.error, _billing_of(exchange), exchange.request_id)
        raise exchange.error

    async def _keep(self, ask: Ask, key: bytes, permit: Permit, reservation: Reservation, exchange: Exchange) -> Answer:
        now = self.clock.now()
        usage, model = exchange.usage, exchange.model or ask.model
        self.governor.observe(permit, exchange.headers, usage.input or None)
        self.corrections.learn(ask, usage.input)
        cost = self.catalogue.price(model, now, exchange.tier, usage, operation=ask.price_list)
        if cost is None and model != ask.model:
            cost = self.catalogue.price(ask.model, now, exchange.tier, usage, operation=ask.price_list)
        answer = Answer(exchange.content, usage, cost, model, exchange.tier, exchange.request_id, now)
        settlement = Settlement(reservation, "done", now, cost, usage, model, exchange.tier, exchange.request_id)
        await asyncio.shield(self.answers.save(Bought(settlement, key, answer)))
        await self.ledger.settled()
        return answer

    async def _settle_failure(
        self,
        reservation: Reservation,
        error: BaseException,
        state: Literal["failed", "unknown"],
        request_id: str = "",
    ) -> None:
        code = error.code if isinstance(error, PenstockError) else "call.cancelled"
        await self.ledger.settle(
            Settlement(reservation, state, self.clock.now(), usage=Usage(), request_id=request_id, problem=code)
        )

    def _backoff(self, failures: int, retry_after: float | None) -> float:
        wait = min(FIRST_WAIT * 2.0 ** (failures - 1), LONGEST_WAIT)
        return max(wait * (0.75 + self.clock.random() / 2), retry_after or 0.0)


def _billing_of(exchange: Exchange) -> Literal["failed", "unknown"]:
    """A refusal in the vendor's own words is not billed; a cut answer or a gateway's page may hide a billed one."""
    if isinstance(exchange.content, dict):
        return "failed"
    return "unknown"


def _as_shared(answer: Answer) -> Answer:
    """Mark an answer that another caller paid for."""
    import msgspec

    return msgspec.structs.replace(answer, cached=True)


__all__ = ["Caller", "OutputError"]
