"""Our prices against what `litellm` charges, and the rates of pictures and sound against both price lists.

The figures of `litellm` are data (see `scripts/litellm_costs.py`): it cannot be installed beside the SDK.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data_snapshot import get_snapshot

from penstock.base.types import DOLLAR, Usage
from penstock.vendor.models import load_catalogue

CATALOGUE = load_catalogue()
NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
PEER = json.loads((Path(__file__).parent / "data" / "litellm_costs.json").read_text(encoding="utf-8"))
OPENAI = next(provider for provider in get_snapshot().providers if provider.id == "openai")
OTHER = {model.id: model.prices for model in OPENAI.models}
TEXT = [model.id for model in CATALOGUE.all() if model.kind in ("chat", "embedding") and model.prices]
TIERS = ("default", "batch", "flex", "fast", "regional")
MILLION = 1_000_000
ROUNDING = Decimal("1e-11")
"""The peer adds binary fractions: its sums are right to about this many dollars."""

HALF = "the batch endpoint takes it at half price (vendor pricing rule, 2026-10); the peer's map has no row for it"
NO_LONG_FAST = "no fast price above 272,000 tokens is published (2026-10): we say unknown, the peer doubles"
NO_LONG_FLEX = "no flex price above 272,000 tokens is published (2026-10): we say unknown, the peer doubles"

# Every known difference and why; a new one fails, and so does one that is gone.
ONLY_OURS = {(model, "batch"): HALF for model in ("gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "text-embedding-ada-002")}
ONLY_THEIRS = {
    ("gpt-5.4", "fast", "long"): NO_LONG_FAST,
    ("gpt-5.5", "fast", "long"): NO_LONG_FAST,
    ("gpt-5.5-pro", "flex", "long"): NO_LONG_FLEX,
}


def ours(model: str, tier: str, usage: Usage, operation: str = "") -> Decimal | None:
    served = "default" if tier == "regional" else tier
    cost = CATALOGUE.price(model, NOW, served, usage, operation=operation, regional=tier == "regional")
    return None if cost is None else Decimal(cost) / DOLLAR


def list_usages(model: str) -> dict[str, Usage]:
    usages = {name: Usage(*amounts) for name, amounts in PEER["usages"].items()}
    is_vector = CATALOGUE.find(model).kind == "embedding"  # has no output, which we refuse to price
    return {name: usage for name, usage in usages.items() if not (is_vector and usage.output)}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("model", TEXT)
def test_a_price_equals_the_peers(model, tier):
    theirs = PEER["models"][model]["costs"].get(tier)
    for name, usage in list_usages(model).items():
        mine = ours(model, tier, usage)
        if theirs is None:
            assert tier == "regional" or (mine is not None) == ((model, tier) in ONLY_OURS), name
        elif (model, tier, name) in ONLY_THEIRS:
            assert mine is None, name
        else:
            assert mine is not None, name
            assert abs(mine - Decimal(theirs[name])) < ROUNDING, name


def test_every_priced_model_is_known_to_the_peer():
    priced = {model.id for model in CATALOGUE.all() if model.prices}
    assert priced <= set(PEER["models"])


def test_half_a_price_is_half_of_what_the_peer_takes():
    for model, tier in ONLY_OURS:
        usage = Usage(1000)
        assert ours(model, tier, usage) == Decimal(PEER["models"][model]["costs"]["default"]["plain"]) / 2


@pytest.mark.parametrize("tokens", [1000, 272_001])
def test_decisions_cost_the_peers_input_and_nothing_for_output(tokens):
    rates = PEER["models"]["gpt-6-luna"]["rates"]
    above = "_above_272k_tokens" if tokens > 272_000 else ""
    read = Decimal(rates[f"input_cost_per_token{above}_decisions"])
    write = Decimal(rates[f"cache_creation_input_token_cost{above}_decisions"])
    assert Decimal(rates[f"output_cost_per_token{above}_decisions"]) == 0
    assert ours("gpt-6-luna", "default", Usage(tokens, output=500), "decide") == tokens * read
    assert ours("gpt-6-luna", "default", Usage(tokens, cache_write=tokens), "decide") == tokens * write
    # Whether reads are cheaper is contradicted (price map 2026-10: a tenth; guide: nothing): we take the dearer one.
    assert ours("gpt-6-luna", "default", Usage(tokens, cached=tokens), "decide") == tokens * read


# --- pictures and sound: one million of one kind, against the rates of both lists ---

PROBES = {
    "text in": (Usage(MILLION, output=1, images=1, image_output=1), "input_cost_per_token", "input_mtok"),
    "text cached": (
        Usage(MILLION, cached=MILLION, output=1, images=1, image_output=1),
        "cache_read_input_token_cost",
        "cache_read_mtok",
    ),
    "image in": (
        Usage(MILLION, image_input=MILLION, output=1, images=1, image_output=1),
        "input_cost_per_image_token",
        "input_image_mtok",
    ),
    "image cached": (
        Usage(MILLION, cached=MILLION, image_input=MILLION, output=1, images=1, image_output=1),
        "cache_read_input_image_token_cost",
        "cache_image_read_mtok",
    ),
}
IMAGES = [model.id for model in CATALOGUE.all() if model.kind == "image" and model.prices]


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("model", IMAGES)
def test_a_picture_costs_what_both_lists_say(model, name):
    usage, litellm, genai = PROBES[name]
    one_out = ours(model, "default", Usage(1, output=1, images=1, image_output=1))
    text_in = ours(model, "default", Usage(2, output=1, images=1, image_output=1)) - one_out
    mine = (ours(model, "default", usage) - one_out + text_in) / MILLION
    assert mine == Decimal(PEER["models"][model]["rates"][litellm])
    assert mine * MILLION == getattr(OTHER[model], genai)


@pytest.mark.parametrize("model", IMAGES)
def test_a_drawn_token_costs_what_both_lists_say(model):
    mine = ours(model, "default", Usage(output=MILLION, images=1, image_output=MILLION))
    other = OTHER[model]
    assert mine == Decimal(PEER["models"][model]["rates"]["output_cost_per_image_token"]) * MILLION
    assert mine == (getattr(other, "output_image_mtok", None) or other.output_mtok)


@pytest.mark.parametrize("model", IMAGES)
def test_batch_pictures_cost_half_where_the_model_page_offers_batch(model):
    rates = PEER["models"][model]["rates"]
    usage = Usage(MILLION, image_input=MILLION // 2, output=1000, images=1, image_output=1000)
    if model.startswith("gpt-image-2.5"):  # the model page denies Batch (2026-10), though both maps list half prices
        assert ours(model, "batch", usage) is None
        return
    assert ours(model, "batch", usage) == ours(model, "default", usage) / 2
    text = Usage(MILLION, output=1, images=1, image_output=1)
    drawn = ours(model, "default", Usage(output=1, images=1, image_output=1)) / 2
    assert ours(model, "batch", text) - drawn == Decimal(rates["input_cost_per_token_batches"]) * MILLION


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd"])
def test_a_spoken_character_costs_what_both_lists_say(model):
    mine = ours(model, "default", Usage(characters=MILLION))
    assert mine == Decimal(PEER["models"][model]["rates"]["input_cost_per_character"]) * MILLION
    assert mine == OTHER[model].input_mchars


def test_a_spoken_token_costs_what_both_lists_say():
    rates, other = PEER["models"]["gpt-4o-mini-tts"]["rates"], OTHER["gpt-4o-mini-tts"]
    assert ours("gpt-4o-mini-tts", "default", Usage(MILLION)) == other.input_mtok
    assert other.input_mtok == Decimal(rates["input_cost_per_token"]) * MILLION
    spoken = ours("gpt-4o-mini-tts", "default", Usage(output=MILLION, audio_output=MILLION))
    assert spoken == other.output_mtok == Decimal(rates["output_cost_per_audio_token"]) * MILLION


@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe"])
def test_an_hour_of_listening_costs_what_both_lists_say(model):
    mine = ours(model, "default", Usage(seconds=3600))
    assert mine == Decimal(PEER["models"][model]["rates"]["input_cost_per_second"]) * 3600
    assert mine == OTHER[model].input_audio_hours


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_a_token_listened_to_costs_what_the_lists_say(model):
    rates, other = PEER["models"][model]["rates"], OTHER[model]
    written = ours(model, "default", Usage(1, output=MILLION, audio_input=1)) - ours(model, "default", Usage(1))
    assert written == other.output_mtok == Decimal(rates["output_cost_per_token"]) * MILLION
    heard = ours(model, "default", Usage(MILLION, audio_input=MILLION))
    assert heard == other.input_audio_mtok
    # litellm bills audio like text; genai-prices and the vendor's page (2026-10) name a dearer rate of its own.
    assert heard > Decimal(rates["input_cost_per_audio_token"]) * MILLION


def test_moderation_is_free_in_both_lists():
    assert ours("omni-moderation-latest", "default", Usage(MILLION)) == 0
    assert ours("omni-moderation-latest", "batch", Usage(MILLION)) == 0
    assert set(PEER["models"]["omni-moderation-latest"]["rates"].values()) == {"0.0"}
