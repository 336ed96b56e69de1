"""Our prices against `genai-prices`, a price list that nobody here wrote."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as PeerUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from penstock.base.types import DOLLAR, Usage
from penstock.vendor.models import load_catalogue

CATALOGUE = load_catalogue()
WHEN = datetime(2026, 11, 20, tzinfo=UTC)
PEER = next(provider for provider in get_snapshot().providers if provider.id == "openai")
CHAT = [model.id for model in CATALOGUE.all() if model.kind == "chat" and model.prices]

CONTEXTS = {
    "default": {"service_tier": "default"},
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "fast": {"service_tier": "fast"},
    "priority": {"service_tier": "priority"},
}
USAGES = {
    "plain": Usage(1000),
    "output": Usage(1000, 0, 0, 400, 300),
    "cached": Usage(10_000, 4096),
    "written": Usage(10_000, 2048, 1024, 50),
    "short": Usage(272_000, 0, 0, 1000),
    "long": Usage(272_001, 1024, 0, 1000),
}


NO_CACHED_BATCH = "batch lists no cached price: we bill plain input, the peer the cached price of standard"
NO_LONG_FAST = "no fast price above 272,000 tokens is published: we say unknown, the peer stays at the short price"

# Every known difference: (model, tier, usage) and why. A new difference fails, and so does one that is gone.
DISAGREEMENTS = {
    **{
        (model, "batch", usage): NO_CACHED_BATCH
        for model in ("o4-mini", "o3", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano")
        for usage in ("cached", "written", "long")
    },
    **{(model, tier, "long"): NO_LONG_FAST for model in ("gpt-5.5", "gpt-5.4") for tier in ("fast", "priority")},
    ("gpt-5.5-pro", "batch", "long"): "another price map doubles it, the peer leaves long batch requests out",
    ("gpt-5.5-pro", "flex", "long"): "no such price is published: we say unknown, the peer stays at the short price",
}


def find_peer(model: str):
    return next(info for info in PEER.models if info.id == model)


def peer_knows(model: str, tier: str) -> bool:
    """Whether the peer has prices of its own for the tier; without them it falls back to standard prices."""
    variants = find_peer(model).price_variants or ()
    return tier == "default" or any(variant.when == CONTEXTS[tier] for variant in variants)


def ours(model: str, tier: str, usage: Usage, when: datetime = WHEN) -> Decimal | None:
    cost = CATALOGUE.price(model, when.timestamp(), tier, usage)
    return None if cost is None else Decimal(cost) / DOLLAR


def theirs(model: str, tier: str, usage: Usage, when: datetime = WHEN) -> Decimal:
    peer = PeerUsage(
        input_tokens=usage.input,
        cache_read_tokens=usage.cached or None,
        cache_write_tokens=usage.cache_write or None,
        output_tokens=usage.output,
    )
    return calc_price(
        peer, model, provider_id="openai", genai_request_timestamp=when, price_context=CONTEXTS[tier]
    ).total_price


@pytest.mark.parametrize("tier", CONTEXTS)
@pytest.mark.parametrize("model", CHAT)
def test_a_chat_price_equals_the_peers(model, tier):
    for name, usage in USAGES.items():
        mine, peers = ours(model, tier, usage), theirs(model, tier, usage)
        if not peer_knows(model, tier):
            assert mine is None, name
        elif (model, tier, name) in DISAGREEMENTS:
            assert mine != peers, name
        else:
            assert mine == peers, name


def test_every_listed_disagreement_belongs_to_a_priced_model():
    assert {model for model, _, _ in DISAGREEMENTS} <= set(CHAT)


@pytest.mark.parametrize("day", ["2026-07-29", "2026-07-30", "2026-08-20", "2026-08-21"])
@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"])
def test_prices_change_on_the_same_day_as_the_peers(model, day):
    when = datetime.fromisoformat(day).replace(tzinfo=UTC)
    for usage in USAGES.values():
        assert ours(model, "default", usage, when) == theirs(model, "default", usage, when)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"])
def test_an_embedding_price_equals_the_peers(model):
    assert ours(model, "default", Usage(123_457)) == theirs(model, "default", Usage(123_457))
