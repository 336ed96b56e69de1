"""The one path of a paid call.

Answer store, sharing of equal requests under way, governor, budget reservation, vendor,
classification, retry, settlement, storage, result. The permit of the governor comes
before the reservation, so that money is put aside only for calls that leave at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import PenstockError, RejectedError, SettingsError, ThrottledError, UnavailableError
from penstock.base.types import Money, Usage
from penstock.runtime.answers import Answers, Bought
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.corrections import Corrections
from penstock.runtime.governor import Charge, Governor, Permit, Pool
from penstock.runtime.ledger import Ledger, Reservation, Settlement
from penstock.runtime.radar import check_alive
from penstock.runtime.refusals import Refusals, refused_parameter
from penstock.runtime.stream import HALF_HEARD, Listen, Speech, can_stream, send_streamed
from penstock.runtime.vectors import BoughtVectors, Held, addresses_of, is_sound, split_answer
from penstock.vendor.embeddings import read_vectors
from penstock.vendor.models import Catalogue
from penstock.vendor.openai import Exchange, OpenAI, read_media

MAX_ATTEMPTS = 5
"""Sendings of one request that may fail before it is given up; refusals for speed do not count."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
_REMEMBERED = 8192
FLEX_SECONDS = 900.0
"""How long one call at the flex tier may take (contract 2.10)."""
FLEX_PATHS = frozenset(["/responses", "/chat/completions"])
"""Endpoints that know service tiers."""
_READERS = {"media": read_media, "vectors": read_vectors}
_NO_CAPACITY, _NO_TIER = "openai.no-capacity", "openai.tier-not-allowed"


class Estimate(NamedTuple):
    """What a request probably costs, and the most that it can; None where the price is unknown."""

    likely: Money | None
    most: Money | None


class _Purchase:
    """An answer that is being bought, what of it was said so far, and how many wait for it."""

    __slots__ = ("is_taken", "speech", "task", "waiting")

    def __init__(self, task: asyncio.Task[Answer], speech: Speech | None) -> None:
        task.add_done_callback(_note_exception)
        self.task = task
        self.speech = speech
        self.waiting = 0
        self.is_taken = False


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
        refusals: Refusals,
        clock: Clock,
    ) -> None:
        self.connections = connections
        self.answers = answers
        self.ledger = ledger
        self.governor = governor
        self.catalogue = catalogue
        self.corrections = corrections
        self.refusals = refusals
        self.clock = clock
        self._under_way: dict[bytes, _Purchase] = {}
        self._bought: OrderedDict[bytes, None] = OrderedDict()

    def connection(self, name: str) -> OpenAI:
        """Return a connection by its name; raises `SettingsError` for one that does not exist."""
        try:
            return self.connections[name]
        except KeyError:
            known = ", ".join(sorted(self.connections)) or "none"
            raise SettingsError(
                f"there is no connection {name!r} (known: {known})", code="connection.unknown"
            ) from None

    def refused(self, ask: Ask) -> frozenset[str]:
        """Return the parameters that this model is known to refuse over this connection."""
        return self.refusals.of(self.connection(ask.connection).account, ask.model)

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        """Remember the parameter that an error refuses, for this model and connection; returns its name, or nothing."""
        parameter = refused_parameter(error)
        if parameter:
            await self.refusals.learn(self.connection(ask.connection).account, ask.model, parameter)
        return parameter

    def address(self, ask: Ask) -> bytes:
        """Return where the answer to `ask` is held."""
        return ask.address(self.connection(ask.connection).account)

    def addresses(self, ask: Ask) -> list[bytes]:
        """Return every address under which something is held of the answer to `ask`: one for each vector."""
        account = self.connection(ask.connection).account
        return addresses_of(ask, account) if ask.reply == "vectors" else [ask.address(account)]

    def split(self, ask: Ask, settlement: Settlement, answer: Answer) -> BoughtVectors:
        """Take an answer with vectors apart into what is held of each text."""
        account = self.connection(ask.connection).account
        return split_answer(ask, account, settlement, answer, self.ledger.store.next_number)

    async def recall(self, ask: Ask) -> list[Held | None]:
        """Return the held vector, or None, of each text in a request for vectors, however many they are."""
        keys = self.addresses(ask)
        found = await self.answers.get_vectors(keys)
        return [found.get(key) for key in keys]

    async def ask(
        self,
        ask: Ask,
        *,
        flow: str = "",
        run: str = "",
        interactive: bool = False,
        listen: Listen | None = None,
        flex_until: float = 0.0,
    ) -> Answer:
        """Return the held answer, or buy it; equal requests under way share one purchase.

        Before `flex_until` (seconds since 1970) it is bought at the flex tier, which changes neither the
        answer's address nor what is asked.
        `listen` hears an answer that is bought as it comes, where it is text; a held one is only returned.
        Once something was heard a broken answer is not asked for again.
        Vectors are always bought here: those that are held are found by `recall`.
        Raises the typed errors of `penstock.base.errors`; whatever is raised, the ledger is true.
        """
        held = await self.answers.get(self.address(ask)) if ask.is_kept and ask.reply != "vectors" else None
        if held is not None:
            return held
        return await self.buy(ask, flow=flow, run=run, interactive=interactive, listen=listen, flex_until=flex_until)

    async def buy(
        self,
        ask: Ask,
        *,
        flow: str = "",
        run: str = "",
        interactive: bool = False,
        listen: Listen | None = None,
        flex_until: float = 0.0,
    ) -> Answer:
        """Buy an answer that was not held a while ago, as after `Answers.get_many`; what was bought since is found."""
        key = self.address(ask)
        speech = Speech() if listen is not None and can_stream(ask) else None
        if not ask.is_kept:  # asked again on purpose: each is a purchase of its own
            if speech is not None and listen is not None:
                speech.join(listen)
            return await self._buy(ask, key, flow, run, interactive, speech, flex_until)
        if key in self._bought and key not in self._under_way:
            held = await self.answers.get(key)
            if held is not None:
                return held
        purchase = self._under_way.get(key)
        if purchase is None:
            buying = self._buy(ask, key, flow, run, interactive, speech, flex_until)
            purchase = self._under_way[key] = _Purchase(asyncio.create_task(buying), speech)
        if purchase.speech is not None and listen is not None:
            purchase.speech.join(listen)
        try:
            answer = await self._wait(key, purchase)
        except UnavailableError:
            if listen is not None or purchase.speech is None or not purchase.speech.has_begun:
                raise
            if self._under_way.get(key) is purchase:
                del self._under_way[key]
            # Only who heard the beginning of an answer cannot be given another.
            return await self.buy(ask, flow=flow, run=run, interactive=interactive, flex_until=flex_until)
        if purchase.is_taken:
            return msgspec.structs.replace(answer, cached=True)
        purchase.is_taken = True
        return answer

    async def _wait(self, key: bytes, purchase: _Purchase) -> Answer:
        """Wait for an answer that is being bought; whoever leaves last ends the purchase."""
        purchase.waiting += 1
        try:
            await _wait_for(purchase.task)
        finally:
            purchase.waiting -= 1
            if purchase.waiting == 0 and self._under_way.get(key) is purchase:
                del self._under_way[key]
                if not purchase.task.done():  # everybody who wanted it is gone
                    purchase.task.cancel()
                    await _wait_for(purchase.task)
        return purchase.task.result()

    async def _buy(
        self,
        ask: Ask,
        key: bytes,
        flow: str,
        run: str,
        interactive: bool,
        speech: Speech | None,
        flex_until: float,
    ) -> Answer:
        client = self.connection(ask.connection)
        check_alive(self.catalogue.find(ask.model), client, self.clock.now())
        pool = Pool(client.quota_account, ask.model)
        charge = Charge(1, ask.prompt_tokens + ask.max_output_tokens, ask.images)
        failures, crowds, again = 0, 0, False
        while True:
            sent = at_flex(ask) if self.clock.now() < flex_until else ask
            permit = await self.governor.acquire(pool, charge, flow=flow, interactive=interactive, front=again)
            again = True
            try:
                reservation = await self._reserve(sent, flow, run)
            except BaseException:
                self.governor.release(permit)
                raise
            try:
                return await self._send(client, sent, key, permit, reservation, speech)
            except (ThrottledError, RejectedError, UnavailableError) as error:
                if sent is not ask and error.code == _NO_TIER:
                    flex_until = 0.0  # the project has no such tier: at the usual one, rather than not at all
                    continue
                if speech is not None and speech.has_begun:
                    error.hint = HALF_HEARD
                    raise
                if not _is_worth_repeating(ask, error, failures):
                    raise
                if error.code == _NO_CAPACITY:  # the tier is full, not the quota
                    crowds += 1
                    wait = self._backoff(crowds, error.retry_after)
                    await self.clock.sleep(min(wait, flex_until - self.clock.now()) if sent is not ask else wait)
                elif not isinstance(error, ThrottledError):
                    failures += 1
                    await self.clock.sleep(self._backoff(failures, error.retry_after))

    async def _reserve(self, ask: Ask, flow: str, run: str) -> Reservation:
        worst = self._most(ask)
        return await self.ledger.reserve(
            operation=ask.operation,
            connection=ask.connection,
            model=ask.model,
            tier=ask.tier,
            worst_case=worst,
            run=run,
            flow=flow,
        )

    def estimate(self, ask: Ask) -> Estimate:
        """Return what a request probably costs and the most that it can."""
        used = ask.likely or ask.most or Usage(input=int(self.corrections.expect(ask)), output=ask.likely_output_tokens)
        if ask.is_free:
            return Estimate(0, 0)
        likely = self.price(ask, used)
        return Estimate(likely, self._most(ask))

    def price(self, ask: Ask, used: Usage, *, model: str = "", tier: str = "") -> Money | None:
        """Return what `used` costs over the connection of `ask`; `model` and `tier` are those that really served."""
        is_regional = self.connection(ask.connection).is_regional
        return self.catalogue.price(
            model or ask.model,
            self.clock.now(),
            tier or ask.tier,
            used,
            operation=ask.price_list,
            regional=is_regional,
        )

    def _most(self, ask: Ask) -> Money | None:
        """Return the most that a request can cost; None where its model has no known price."""
        if ask.is_free:
            return 0
        if ask.most is not None:
            return self.price(ask, ask.most)
        return self.catalogue.worst_case(
            ask.model,
            ask.tier,
            self.corrections.upper(ask),
            ask.max_output_tokens,
            operation=ask.price_list,
            at=self.clock.now(),
            regional=self.connection(ask.connection).is_regional,
        )

    async def _send(
        self, client: OpenAI, ask: Ask, key: bytes, permit: Permit, reservation: Reservation, speech: Speech | None
    ) -> Answer:
        try:
            exchange = await self._exchange(client, ask, reservation.call_id, speech)
        except BaseException as error:
            self.governor.release(permit)
            settlement = self._failure(reservation, error, "unknown" if _is_perhaps_sent(error) else "failed")
            await self.ledger.settle(settlement)
            raise
        if exchange.error is None:
            return await self._keep(ask, key, permit, reservation, exchange)
        if isinstance(exchange.error, ThrottledError) and exchange.error.code != _NO_CAPACITY:
            self.governor.refuse(permit, exchange.error, exchange.headers)
        else:
            self.governor.observe(permit, exchange.headers, None)
        failure = self._failure(reservation, exchange.error, _billing_of(exchange, speech))
        if exchange.usage != Usage():  # an answer that failed half-way is billed for what it used
            failure = msgspec.structs.replace(failure, cost=self._price(ask, exchange), usage=exchange.usage)
        await self.ledger.settle(msgspec.structs.replace(failure, request_id=exchange.request_id))
        raise exchange.error

    async def _exchange(self, client: OpenAI, ask: Ask, call_id: str, speech: Speech | None) -> Exchange:
        """Send a request, streamed for those who listen, unless this model is known not to stream."""
        refused = self.refused(ask) if speech is not None else frozenset[str]()
        timeout = FLEX_SECONDS if ask.tier == "flex" else ask.timeout
        if speech is not None and "stream" not in refused:
            return await send_streamed(client, ask, call_id, speech, refused, timeout)
        return await client.post(
            ask.path,
            ask.content,
            call_id,
            timeout,
            method=ask.method,
            media_type=ask.media_type,
            read=_READERS.get(ask.reply),
        )

    async def _keep(self, ask: Ask, key: bytes, permit: Permit, reservation: Reservation, exchange: Exchange) -> Answer:
        now = self.clock.now()
        if exchange.usage == Usage() and ask.most is not None:  # the reply does not tell, the request does
            exchange = msgspec.structs.replace(exchange, usage=ask.most)
        usage, model = exchange.usage, exchange.model or ask.model
        self.governor.observe(permit, exchange.headers, usage.input or None)
        self.corrections.learn(ask, usage.input)
        cost = self._price(ask, exchange)
        body = msgspec.Raw(exchange.raw) if exchange.raw else exchange.content
        answer = Answer(body, usage, cost, model, exchange.tier, exchange.request_id, now)
        settlement = Settlement(reservation, "done", now, cost, usage, model, exchange.tier, exchange.request_id)
        try:
            await self._save(ask, key, settlement, answer)
        finally:
            self.ledger.wake()
        return answer

    async def _save(self, ask: Ask, key: bytes, settlement: Settlement, answer: Answer) -> None:
        """Settle a call, and in the same transaction keep what of its answer is to be held."""
        if not ask.is_kept or (ask.reply == "vectors" and not is_sound(ask, answer.content)):
            await self.ledger.settle(settlement)
        elif ask.reply == "vectors":
            await self.answers.save_vectors(self.split(ask, settlement, answer))
        else:
            await self.answers.save(Bought(settlement, key, answer))
            self._remember(key)

    def _remember(self, key: bytes) -> None:
        """Keep in mind what was bought last: who looked before that must look again before buying."""
        self._bought[key] = None
        if len(self._bought) > _REMEMBERED:
            self._bought.popitem(last=False)

    def _price(self, ask: Ask, exchange: Exchange) -> Money | None:
        """Price what was used by the model that served it, or by the one that was asked."""
        if ask.is_free:
            return 0
        if exchange.usage == Usage() and ask.max_output_tokens:
            return None  # whoever wrote used something, and does not tell: streams of some gateways
        for model in dict.fromkeys((exchange.model or ask.model, ask.model)):
            cost = self.price(ask, exchange.usage, model=model, tier=exchange.tier)
            if cost is not None:
                return cost
        return None

    def _failure(
        self, reservation: Reservation, error: BaseException, state: Literal["failed", "unknown"]
    ) -> Settlement:
        code = error.code if isinstance(error, PenstockError) else "call.cancelled"
        return Settlement(reservation, state, self.clock.now(), problem=code)

    def _backoff(self, failures: int, retry_after: float | None) -> float:
        wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 16), LONGEST_WAIT)
        return max(wait * (0.75 + self.clock.random() / 2), retry_after or 0.0)


def at_flex(ask: Ask) -> Ask:
    """Return the same request as it is sent to the flex tier."""
    return msgspec.structs.replace(ask, tier="flex", body={**ask.body, "service_tier": "flex"})


async def _wait_for(task: asyncio.Task[Answer]) -> None:
    """Wait until a task has ended, however it ends; cancelling the caller leaves it alone."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
    await ended


def _note_exception(task: asyncio.Task[Answer]) -> None:
    """Keep the event loop from reporting what nobody is left to hear."""
    if not task.cancelled():
        task.exception()


def _is_perhaps_sent(error: BaseException) -> bool:
    """Only a request that could not be built, or found no connection, has certainly not left."""
    return error.sent if isinstance(error, UnavailableError) else not isinstance(error, PenstockError)


def _is_worth_repeating(ask: Ask, error: ThrottledError | RejectedError | UnavailableError, failures: int) -> bool:
    """Tell whether a request that failed may be sent again, after so many failures before."""
    if isinstance(error, ThrottledError):
        return True
    if isinstance(error, RejectedError):  # the vendor advises one repetition (error page, November 2026)
        return error.code == "openai.not-processable" and not failures
    return failures + 1 < MAX_ATTEMPTS and not (ask.is_once and error.sent)


def _billing_of(exchange: Exchange, speech: Speech | None) -> Literal["failed", "unknown"]:
    """A refusal is not billed; behind a cut answer or a gateway's page there may be a billed one."""
    if speech is not None and speech.has_begun and exchange.usage == Usage():
        return "unknown"
    is_refusal = isinstance(exchange.content, dict) or not isinstance(exchange.error, UnavailableError)
    return "failed" if is_refusal else "unknown"
