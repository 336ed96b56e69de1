"""The catalogue: look-ups, exact prices, worst cases, shutdown dates, and files laid over it."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.base.errors import SettingsError
from penstock.base.types import Usage, to_money
from penstock.vendor.models import Limits, load_catalogue
from penstock.vendor.tokens import encoding_of

CATALOGUE = load_catalogue()
NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
MILLION = 1_000_000


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def shared_catalogue() -> list[dict]:
    shared = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[4] / "shared"))
    path = shared / "contracts" / "models.json"
    if not path.is_file():
        pytest.skip(f"the compiled vendor facts are not at {path}")
    return json.loads(path.read_text(encoding="utf-8"))["models"]


def override(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- look-up ---


def test_every_entry_of_the_file_is_a_valid_model():
    models = CATALOGUE.all()
    assert len(models) >= 59
    assert all(model.known for model in models)
    assert CATALOGUE.compiled == date(2026, 11, 20)


def test_an_unknown_model_is_returned_as_unknown():
    model = CATALOGUE.find("mistral-large")
    assert (model.id, model.known, model.limits) == ("mistral-large", False, {})


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-5.5-2026-04-23", "gpt-5.5"),
        ("gpt-6-luna-2026-09-22", "gpt-6-luna"),
        ("gpt-4-0613", "gpt-4"),
        ("omni-moderation-2024-09-26", "omni-moderation-latest"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("unheard-of-2026-01-01", "unheard-of-2026-01-01"),
    ],
)
def test_a_snapshot_is_found_under_its_model(asked, found):
    assert CATALOGUE.find(asked).id == found


def test_a_fine_tuned_model_has_no_known_price():
    assert CATALOGUE.price("ft:gpt-4o-mini-2024-07-18:acme::x", NOW, "default", Usage(10, output=10)) is None


def test_the_default_model_takes_decisions_and_reasons():
    luna = CATALOGUE.find("gpt-6-luna")
    assert luna.decisions
    assert luna.reasons
    assert luna.strict_json
    assert (luna.sampling, luna.default_effort, luna.max_input_tokens) == ("effort-none", "medium", 922_000)
    assert "max" in luna.efforts
    assert "max" not in luna.chat_efforts


def test_only_one_model_takes_decisions():
    assert [model.id for model in CATALOGUE.all() if model.decisions] == ["gpt-6-luna"]


def test_every_named_replacement_is_alive_unless_it_is_outside_the_catalogue():
    for model in CATALOGUE.all():
        replacement = CATALOGUE.find(model.replacement) if model.replacement else None
        if replacement and replacement.known:
            assert replacement.state(NOW) == "live", model.id


# --- shutdown ---


def test_a_model_dies_at_midnight_of_its_shutdown_date():
    model = CATALOGUE.find("gpt-4o")
    assert model.state(at("2027-01-13T23:59:59")) == "dying"
    assert model.state(at("2027-01-14")) == "dead"
    assert model.days_left(at("2027-01-12")) == 2
    assert model.days_left(at("2027-02-01")) == 0


def test_advice_names_the_date_and_the_replacement():
    assert CATALOGUE.find("gpt-4o").advice(NOW) == "gpt-4o ends in 55 days, on 2027-01-14; use gpt-6-luna"
    assert "is shut down since 2026-10-23; use gpt-5.6-sol with reasoning mode pro" in CATALOGUE.find("o1-pro").advice(
        NOW
    )
    assert CATALOGUE.find("gpt-5.1").advice(NOW).endswith("no replacement is named")


def test_a_live_model_needs_no_advice():
    luna = CATALOGUE.find("gpt-6-luna")
    assert (luna.state(NOW), luna.days_left(NOW), luna.advice(NOW)) == ("live", None, "")


# --- limits ---


def test_the_listed_tier_gives_the_start_limits():
    assert CATALOGUE.start_limits("gpt-6-sol", "Launch") == Limits(rpm=10_000, tpm=4_000_000)
    assert CATALOGUE.start_limits("gpt-6-sol", "launch") == Limits(rpm=10_000, tpm=4_000_000)


@pytest.mark.parametrize(
    ("model", "tier", "same_as"),
    [
        ("gpt-5.4", "Build", "Tier 1"),
        ("gpt-5.4", "Launch", "Tier 3"),
        ("gpt-5.4", "Grow", "Tier 4"),
        ("text-embedding-3-small", "Grow", "Tier 1"),
        ("gpt-6-sol", "Tier 4", "Launch"),
        ("gpt-6-sol", "Tier 5", "Grow"),
    ],
)
def test_an_unlisted_tier_takes_the_best_listed_one_that_costs_no_more(model, tier, same_as):
    assert CATALOGUE.start_limits(model, tier) == CATALOGUE.find(model).limits[same_as]


def test_limits_that_nobody_publishes_are_unknown():
    assert CATALOGUE.start_limits("gpt-6-luna", "Build") == Limits()
    assert CATALOGUE.start_limits("gpt-6-sol", "Gold") == Limits()
    assert CATALOGUE.start_limits("gpt-6-sol", "Free") == Limits()


# --- prices ---


@pytest.mark.parametrize(
    ("model", "tier", "usage", "dollars"),
    [
        ("gpt-6-luna", "default", Usage(10, output=20), "0.000011"),
        ("gpt-6-luna", "default", Usage(1000, 200, 300, 50, 40), "0.0001145"),
        ("gpt-6-luna", "batch", Usage(1000, output=1), "0.00005025"),
        ("gpt-6-luna", "flex", Usage(1000, output=1), "0.00005025"),
        ("gpt-6-luna", "priority", Usage(1000, output=1), "0.000201"),
        ("gpt-6-luna", "fast", Usage(1000, output=1), "0.000201"),
        ("gpt-6-astra", "ultrafast", Usage(1000, output=10), "0.063"),
        ("gpt-6.1-sol", "default", Usage(MILLION // 4, MILLION // 4), "0.025"),
        ("gpt-4o-mini", "default", Usage(MILLION, 0, 0, MILLION), "0.75"),
        ("text-embedding-3-small", "default", Usage(1), "0.00000002"),
        ("omni-moderation-latest", "default", Usage(500), "0"),
        ("whisper-1", "default", Usage(seconds=90), "0.009"),
        ("gpt-4o-mini-tts", "default", Usage(100, output=1000), "0.01206"),
        ("gpt-4o-mini-tts", "default", Usage(100, output=1000, audio_output=1000, characters=400), "0.01206"),
        ("tts-1", "default", Usage(characters=1000), "0.015"),
        ("tts-1-hd", "default", Usage(characters=1), "0.00003"),
        ("gpt-transcribe", "default", Usage(seconds=60), "0.0045"),
        ("gpt-4o-transcribe", "default", Usage(1000, output=100, audio_input=900), "0.00665"),
        ("gpt-4o-transcribe", "default", Usage(1000, output=100), "0.007"),
        ("gpt-image-2", "default", Usage(50, output=1000, images=1, image_output=1000), "0.03025"),
        ("gpt-image-2", "default", Usage(50, output=1000, images=1), "0.03025"),
        ("gpt-image-2", "batch", Usage(100, output=1000, images=1), "0.01525"),
        ("gpt-image-2", "default", Usage(1050, output=10, images=1, image_input=1000, image_output=10), "0.00855"),
        ("gpt-image-2", "default", Usage(1100, cached=600, output=10, images=1, image_input=1000), "0.005425"),
        ("gpt-image-1.5", "default", Usage(0, output=100, images=1, image_output=90), "0.00298"),
        ("gpt-6-luna", "default", Usage(1000, output=10, image_input=900), "0.000105"),
        ("omni-moderation-latest", "default", Usage(), "0"),
    ],
)
def test_a_call_costs_what_the_price_list_says(model, tier, usage, dollars):
    assert CATALOGUE.price(model, NOW, tier, usage) == to_money(dollars)


def test_above_the_threshold_the_whole_request_is_dearer():
    short = CATALOGUE.price("gpt-6-sol", NOW, "default", Usage(272_000, output=1000))
    long = CATALOGUE.price("gpt-6-sol", NOW, "default", Usage(272_001, output=1000))
    assert short == to_money("0.554")
    assert long == to_money("1.103004")


def test_a_long_request_in_a_tier_without_a_long_price_is_unknown():
    assert CATALOGUE.price("gpt-5.5", NOW, "fast", Usage(300_000, output=1)) is None
    assert CATALOGUE.price("gpt-5.5", NOW, "fast", Usage(200_000, output=1)) is not None


def test_the_price_is_the_one_of_the_day():
    usage = Usage(MILLION // 10, output=MILLION // 10)
    assert CATALOGUE.price("gpt-5.6-sol", at("2026-08-20T23:59:59"), "default", usage) == to_money("3.5")
    assert CATALOGUE.price("gpt-5.6-sol", at("2026-08-21"), "default", usage) == to_money("2.4")
    assert CATALOGUE.price("gpt-5.6-sol", None, "default", usage) == to_money("2.4")
    assert CATALOGUE.price("o3", at("2025-06-09"), "default", usage) is None


def test_regional_processing_costs_a_tenth_more():
    usage = Usage(1001, output=7)
    plain = CATALOGUE.price("gpt-6-luna", NOW, "default", usage)
    assert CATALOGUE.price("gpt-6-luna", NOW, "default", usage, regional=True) == plain * 11 // 10


@pytest.mark.parametrize(
    ("model", "tier", "operation"),
    [
        ("unheard-of", "default", ""),
        ("gpt-6-luna", "scale", ""),
        ("gpt-6-luna", "batch", "decide"),
        ("gpt-6-sol", "default", "decide"),
        ("gpt-5.4-nano", "priority", ""),
        ("gpt-image-2.5-flare", "batch", ""),
        ("dall-e-3", "default", ""),
        ("tts-1", "default", ""),
        ("whisper-1", "default", ""),
    ],
)
def test_an_unknown_price_is_never_zero(model, tier, operation):
    assert CATALOGUE.price(model, NOW, tier, Usage(1000, output=10), operation=operation) is None
    assert CATALOGUE.worst_case(model, tier, 1000, 10, operation) is None


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("gpt-6-luna", Usage()),
        ("gpt-6-luna", Usage(10, output=5, images=1, image_output=5)),
        ("gpt-6-luna", Usage(10, output=5, audio_output=5)),
        ("gpt-6-luna", Usage(10, audio_input=5)),
        ("gpt-4o-transcribe", Usage(seconds=1.5)),
        ("gpt-image-2", Usage(10, output=5)),
        ("gpt-image-2", Usage(10, images=1)),
        ("gpt-image-2", Usage()),
        ("whisper-1", Usage(100, output=5)),
        ("tts-1", Usage(100, output=5)),
        ("gpt-4o-mini-tts", Usage(characters=10)),
    ],
)
def test_a_usage_that_no_rate_covers_has_an_unknown_cost(model, usage):
    assert CATALOGUE.price(model, NOW, "default", usage) is None


def test_cached_tokens_of_a_request_with_pictures_count_as_text_first():
    usage = Usage(300, cached=200, output=10, images=1, image_input=200, image_output=10)
    text_cached, image_cached, image_plain = 100 * 1.25, 100 * 2, 100 * 8
    dollars = (text_cached + image_cached + image_plain + 10 * 30) / MILLION
    assert CATALOGUE.price("gpt-image-2", NOW, "default", usage) == to_money(f"{dollars:.7f}")


def test_the_worst_case_of_sound_is_told_by_its_length():
    assert CATALOGUE.worst_case("gpt-transcribe", "default", 0, 0, seconds=120) == to_money("0.009")
    assert CATALOGUE.worst_case("tts-1", "default", 0, 0, characters=1000) == to_money("0.015")
    assert CATALOGUE.worst_case("gpt-image-2", "default", 1000, 1000) == to_money("0.038")


def test_an_embedding_has_no_output_price():
    assert CATALOGUE.price("text-embedding-3-small", NOW, "default", Usage(10, output=1)) is None


def test_decisions_charge_the_dearer_reading_of_the_cache():
    def price(usage):
        return CATALOGUE.price("gpt-6-luna", NOW, "default", usage, operation="decide")

    assert price(Usage(MILLION // 4, output=500)) == to_money("0.025")
    assert price(Usage(MILLION // 4, cached=MILLION // 4)) == to_money("0.025")
    assert price(Usage(MILLION // 4, cache_write=MILLION // 4)) == to_money("0.03125")


def test_missing_cache_prices_are_billed_as_plain_input():
    assert CATALOGUE.price("gpt-5.5-pro", NOW, "default", Usage(1000, 1000)) == to_money("0.03")
    assert CATALOGUE.price("gpt-5.4", NOW, "default", Usage(1000, 0, 1000)) == to_money("0.0025")


def test_the_worst_case_writes_the_whole_prompt_and_uses_all_output():
    assert CATALOGUE.worst_case("gpt-6-luna", "default", 1000, 100) == to_money("0.000175")
    assert CATALOGUE.worst_case("gpt-6-luna", "default", 1000, 0, "decide") == to_money("0.000125")
    assert CATALOGUE.worst_case("gpt-5.4", "default", 1000, 100) == to_money("0.004")


def test_the_worst_case_of_tier_auto_is_the_fast_price():
    fast = CATALOGUE.worst_case("gpt-6-luna", "fast", 1000, 100)
    assert CATALOGUE.worst_case("gpt-6-luna", "auto", 1000, 100) == fast
    assert CATALOGUE.worst_case("gpt-5.4-nano", "auto", 1000, 100) == CATALOGUE.worst_case(
        "gpt-5.4-nano", "default", 1000, 100
    )


PRICED = [model.id for model in CATALOGUE.all() if model.kind in ("chat", "embedding") and model.prices]


@given(
    model=st.sampled_from(PRICED),
    tier=st.sampled_from(["default", "flex", "batch", "fast"]),
    prompt=st.integers(0, 1_000_000),
    limit=st.integers(0, 128_000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    regional=st.booleans(),
)
def test_no_answer_costs_more_than_its_worst_case(model, tier, prompt, limit, shares, regional):
    cached = int(prompt * shares[0])
    usage = Usage(prompt, cached, int((prompt - cached) * shares[1]), int(limit * shares[2]))
    if not CATALOGUE.find(model).max_output_tokens:
        usage, limit = Usage(prompt, cached, 0, 0), 0
    assume(usage.input or usage.output)
    cost = CATALOGUE.price(model, NOW, tier, usage, regional=regional)
    worst = CATALOGUE.worst_case(model, tier, prompt, limit, at=NOW, regional=regional)
    assert (cost is None) == (worst is None)
    if cost is not None and worst is not None:
        assert 0 <= cost <= worst


@given(
    model=st.sampled_from([model.id for model in CATALOGUE.all() if model.prices]),
    tier=st.sampled_from(["default", "batch"]),
    split=st.tuples(*[st.integers(0, 5000)] * 5),
    sound=st.tuples(st.floats(0, 5000), st.integers(0, 4096)),
    images=st.integers(0, 10),
)
def test_no_picture_or_sound_costs_more_than_its_worst_case(model, tier, split, sound, images):
    text, image, audio, image_out, audio_out = split
    usage = Usage(
        text + image + audio, min(text, image), 0, image_out + audio_out, images=images, seconds=sound[0],
        image_input=image, image_output=image_out, audio_input=audio, audio_output=audio_out, characters=sound[1],
    )  # fmt: skip
    cost = CATALOGUE.price(model, NOW, tier, usage)
    worst = CATALOGUE.worst_case(model, tier, usage.input, usage.output, seconds=sound[0], characters=sound[1])
    if cost is not None:
        assert 0 <= cost <= worst


# --- files laid over the catalogue ---


def test_a_file_replaces_keys_of_one_model_only(tmp_path):
    path = override(
        tmp_path,
        """
        [models."gpt-6.1-sol"]
        shutdown = 2027-03-01
        replacement = "gpt-6-astra"
        """,
    )
    catalogue = load_catalogue(path)
    assert catalogue.find("gpt-6.1-sol").shutdown == date(2027, 3, 1)
    assert catalogue.find("gpt-6.1-sol").prices == CATALOGUE.find("gpt-6.1-sol").prices
    assert catalogue.find("gpt-6-sol") == CATALOGUE.find("gpt-6-sol")
    assert CATALOGUE.find("gpt-6.1-sol").shutdown is None


def test_a_file_adds_a_model_with_its_own_price_and_limits(tmp_path):
    path = override(
        tmp_path,
        """
        [models.local]
        kind = "chat"
        apis = ["chat"]
        limits = { Build = { rpm = 60 } }
        [[models.local.prices]]
        standard = { input = 0, output = 0.000001 }
        """,
    )
    catalogue = load_catalogue(path)
    assert catalogue.find("local").known
    assert catalogue.start_limits("local", "Build") == Limits(rpm=60)
    assert catalogue.price("local", NOW, "default", Usage(10, output=3)) == 3


def test_a_deployment_name_can_stand_for_a_model(tmp_path):
    path = override(tmp_path, '[models.our-luna]\nlike = "gpt-6-luna"\n')
    catalogue = load_catalogue(path)
    usage = Usage(1000, output=10)
    assert catalogue.find("our-luna").decisions
    assert catalogue.price("our-luna", NOW, "default", usage) == CATALOGUE.price("gpt-6-luna", NOW, "default", usage)


def test_prices_may_stand_in_any_order(tmp_path):
    path = override(
        tmp_path,
        """
        [[models.gpt-6-luna.prices]]
        from = 2027-01-01
        standard = { input = 3, output = 3 }
        [[models.gpt-6-luna.prices]]
        standard = { input = 2, output = 2 }
        """,
    )
    catalogue = load_catalogue(path)
    assert catalogue.price("gpt-6-luna", NOW, "default", Usage(MILLION // 10)) == to_money("0.2")
    assert catalogue.price("gpt-6-luna", at("2027-01-01"), "default", Usage(MILLION // 10)) == to_money("0.3")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[models.gpt-6-luna]\ncontext = 5\n", "context"),
        ("[models.gpt-6-luna]\ncontext_window = 'big'\n", "context_window"),
        ("[models.gpt-6.1-sol]\nstop = true\n", "1-sol"),
        ("[models.x]\nlimits = 'gpt9'\n", "gpt9"),
        ("[models.x]\nlike = 'gpt-9'\n", "gpt-9"),
        ("[models.x]\nlike = 'y'\n[models.y]\nlike = 'x'\n", "leads back"),
        ("[models]\nx = 3\n", "object"),
        ("[models.x]\nlike = ['gpt-6-sol']\n", "model 'x'"),
        ("[model.x]\n", "model"),
        ("[models.x\n", "line 1"),
        ("[[models.x.prices]]\nstandard = { input = 'free' }\n", "input"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path, text, named):
    path = override(tmp_path, text)
    with pytest.raises(SettingsError, match=named) as caught:
        load_catalogue(path)
    assert caught.value.code == "settings.catalogue"
    assert caught.value.where == str(path)
    assert "quotes" in caught.value.hint


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read"):
        load_catalogue(tmp_path / "nowhere.toml")


# --- agreement with the compiled vendor facts, where they are at hand ---


def test_the_catalogue_lists_every_compiled_model_with_its_dates_and_sizes():
    for fact in shared_catalogue():
        model = CATALOGUE.find(fact["id"])
        assert model.known, fact["id"]
        assert list(model.apis) == fact["apis"]
        assert str(model.shutdown or "") == fact.get("shutdown_date", "")
        assert (
            model.state(NOW) == {"active": "live", "deprecated": "dying", "retired": "dead"}[fact["status_2026_11_20"]]
        )
        assert model.replacement == fact.get("replacement", "")[: len(model.replacement)] or model.id.startswith(
            "dall-e"
        )
        for size in ("context_window", "max_input_tokens", "max_output_tokens"):
            assert getattr(model, size) == fact.get(size)
        if "tokenizer" in fact:
            assert fact["tokenizer"].startswith(encoding_of(model.id))


def test_the_catalogue_has_the_compiled_parameter_rules():
    sampling = {"never": "no", "always": "yes", "only_when_effort_none": "effort-none"}
    tools = {"any": "yes", "responses_only": "no", "effort_none_only": "effort-none"}
    for fact in (fact for fact in shared_catalogue() if fact["kind"] == "chat"):
        model, params = CATALOGUE.find(fact["id"]), fact["params"]
        assert model.sampling == sampling[params["sampling_params"]]
        assert model.tools_on_chat == tools[params["function_tools_on_chat"]]
        assert model.strict_json == params["structured_outputs_json_schema"]
        assert list(model.efforts) == params["reasoning"]["efforts_responses"]
        assert list(model.chat_efforts) == params["reasoning"]["efforts_chat"]
        assert model.default_effort == params["reasoning"]["default_effort"]
        assert (model.stop, model.verbosity) == (params.get("stop", False), params["verbosity"])
        assert model.reads_images == ("image" in fact["modalities"]["in"])


def test_the_catalogue_has_the_compiled_prices_of_every_tier():
    names = {"input": "input", "cached_input": "cached", "cache_write": "write", "output": "output"}
    checked = 0
    for fact in shared_catalogue():
        prices = CATALOGUE.find(fact["id"]).prices_at(NOW)
        listed = fact.get("prices_usd_per_1m_tokens", {})
        long = listed.get("long_context", {})
        for tier in ("standard", "batch", "flex", "fast", "ultrafast"):
            for sheet, size in ((listed, 0), (long, 272_001)):
                for key, value in sheet.get(tier, {}).items():
                    if key in names:
                        rate = getattr(prices.rates(tier, size), names[key])
                        assert rate is not None
                        assert float(rate) == value, (fact["id"], tier, key)
                        checked += 1
    assert checked > 400
