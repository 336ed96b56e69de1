"""What became of one request of a batch: an answer at the batch price, a refusal that is final, or another try."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from penstock.base.errors import RejectedError
from penstock.base.types import Money, Usage
from penstock.runtime.answers import Bought
from penstock.runtime.ask import Answer
from penstock.runtime.batch_lines import BatchRow, End, Sent, State, reservation_of
from penstock.runtime.call import Caller
from penstock.runtime.ledger import Settlement
from penstock.runtime.vectors import is_sound
from penstock.vendor.embeddings import unpack_vectors
from penstock.vendor.openai import Exchange
from penstock.vendor.openai_batches import Fault, Row

TIER = "batch"
MOST_ATTEMPTS = 2
"""Batches that may fail a request before it is bought live, where an error is sorted more finely."""
_FOR_ALL = ("openai.model-not-found", "openai.deployment-missing", "openai.endpoint-missing")
_LIMIT = re.compile(r"(?i)limit:?\s*([\d,_]+)")


def read_end(
    caller: Caller, batch: BatchRow, sent: Sent, row: Row | None, at: float, attempt: int, *, is_unknown: bool = False
) -> End:
    """Return how a request ended; without a `row` nothing was said of it. `attempt` counts against `MOST_ATTEMPTS`.

    `is_unknown` says that it may have been billed all the same.
    """
    if row is None or row.unserved:
        code = row.unserved if row is not None else "batch.no-line"
        is_held = row is None and is_unknown
        settlement = Settlement(reservation_of(sent, batch), "unknown" if is_held else "failed", at, problem=code)
        failed = 0 if row is not None and row.unserved == "batch_cancelled" else attempt
        return End(sent.number, _next(sent, failed), settlement=settlement, failed=failed)
    exchange = row.exchange
    if exchange.error is None:
        return _read_answer(caller, batch, sent, exchange, at)
    cost = _price(caller, sent, exchange, exchange.usage) if exchange.usage != Usage() else 0
    settlement = Settlement(
        reservation_of(sent, batch), "failed", at, cost, exchange.usage, exchange.model, TIER, exchange.request_id,
        exchange.error.code,
    )  # fmt: skip
    if isinstance(exchange.error, RejectedError):
        if exchange.error.code in _FOR_ALL:  # it stops a run, which may go on when that was mended
            return End(sent.number, "live", settlement=settlement)
        if exchange.error.status != 422:
            return End(sent.number, "refused", settlement=settlement, problem=exchange.error)
    failed = 0 if exchange.error.recovery == "stop" else attempt
    return End(sent.number, _next(sent, failed), settlement=settlement, failed=failed)


def _next(sent: Sent, failed: int) -> State:
    return "waiting" if sent.attempts + failed < MOST_ATTEMPTS else "live"


def _read_answer(caller: Caller, batch: BatchRow, sent: Sent, exchange: Exchange, at: float) -> End:
    ask = sent.ask
    usage = ask.most if exchange.usage == Usage() and ask.most is not None else exchange.usage
    cost = _price(caller, sent, exchange, usage)
    model = exchange.model or ask.model
    caller.corrections.learn(ask, usage.input)
    settlement = Settlement(reservation_of(sent, batch), "done", at, cost, usage, model, TIER, exchange.request_id)
    content: Any = unpack_vectors(exchange.content) if ask.reply == "vectors" else exchange.content
    answer = Answer(content, usage, cost, model, TIER, exchange.request_id, at)
    if ask.reply == "vectors":
        if not is_sound(ask, content):  # bought live, what is wrong with it is said
            return End(sent.number, "live", settlement=settlement)
        vectors = caller.split(ask, settlement, answer)
        return End(sent.number, "done", vectors=vectors, used=usage.input)
    return End(sent.number, "done", Bought(settlement, sent.key, answer), used=usage.input + usage.output)


def _price(caller: Caller, sent: Sent, exchange: Exchange, usage: Usage) -> Money | None:
    for model in dict.fromkeys((exchange.model or sent.ask.model, sent.ask.model)):
        cost = caller.price(sent.ask, usage, model=model, tier=TIER)
        if cost is not None:
            return cost
    return None


def read_faults(faults: Sequence[Fault]) -> float | None:
    """Return the limit of queued tokens that a refusal states, None where it states none."""
    for fault in faults:
        found = _LIMIT.search(fault.message)
        if found is not None:
            return float(found[1].replace(",", "").replace("_", ""))
    return None
