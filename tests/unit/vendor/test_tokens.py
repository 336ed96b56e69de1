"""Token counts against published vectors, and the estimate against the exact count."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.vendor.tokens import (
    Corrector,
    count_tokens,
    encoding_of,
    estimate_tokens,
    is_exact,
)

NEW, OLD = "gpt-6-luna", "text-embedding-3-small"
WESTERN = ("en", "de", "fr", "es", "it", "pt", "nl")

needs_exact = pytest.mark.skipif(not is_exact(), reason="needs the extra penstock[tokens]")

TEXTS = json.loads(Path(__file__).with_name("texts.json").read_text(encoding="utf-8"))
FEEDBACK, OTHER = TEXTS["feedback"], TEXTS["other"]


@needs_exact
@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        # counts of the vendor's own notebook on tiktoken
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("tiktoken is great!", 6, 6),
        ("hello world", 2, 2),
        ("", 0, 0),
    ],
)
def test_published_texts_count_as_published(text, old, new):
    assert count_tokens(text, "gpt-4") == old
    assert count_tokens(text, "gpt-4o") == new


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-6-luna", "o200k_base"),
        ("gpt-5.5-2026-04-23", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("o3", "o200k_base"),
        ("some-deployment", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("ft:gpt-3.5-turbo-0125:acme::x", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
    ],
)
def test_a_model_has_the_encoding_of_its_generation(model, encoding):
    assert encoding_of(model) == encoding


@needs_exact
def test_text_that_looks_like_a_special_token_is_counted_as_text():
    assert count_tokens("<|endoftext|>", NEW) > 1


@needs_exact
def test_half_an_emoji_is_counted_as_a_replacement_character():
    assert count_tokens("cut off \ud83d", NEW) == count_tokens("cut off ?", NEW)
    assert estimate_tokens("cut off \ud83d") > 0


@needs_exact
@pytest.mark.parametrize("model", [NEW, OLD])
def test_western_feedback_taken_together_is_estimated_within_ten_percent(model):
    estimated = sum(estimate_tokens(FEEDBACK[language], encoding_of(model)) for language in WESTERN)
    exact = sum(count_tokens(FEEDBACK[language], model) for language in WESTERN)
    assert 0.9 <= estimated / exact <= 1.1


@needs_exact
@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("language", FEEDBACK)
def test_each_language_is_estimated_within_thirty_percent(language, model):
    text = FEEDBACK[language]
    assert 0.7 <= estimate_tokens(text, encoding_of(model)) / count_tokens(text, model) <= 1.3


@needs_exact
@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("kind", OTHER)
def test_data_and_emoji_are_estimated_between_seven_and_fourteen_tenths(kind, model):
    text = OTHER[kind]
    assert 0.7 <= estimate_tokens(text, encoding_of(model)) / count_tokens(text, model) <= 1.4


@needs_exact
@given(st.text(max_size=300))
def test_no_text_is_grossly_underestimated(text):
    assert count_tokens(text, NEW) <= 3 * estimate_tokens(text) + 8
    assert count_tokens(text, OLD) <= 3 * estimate_tokens(text, "cl100k_base") + 8


@given(st.text(min_size=1, max_size=300))
def test_every_text_is_estimated_at_one_token_or_more(text):
    assert estimate_tokens(text) >= 1


def test_an_empty_text_has_no_tokens():
    assert estimate_tokens("") == 0


def test_without_the_extra_the_count_is_the_estimate():
    script = (
        "import sys; sys.modules['bpe_openai'] = None\n"
        "from penstock.vendor.tokens import count_tokens, estimate_tokens, is_exact\n"
        "text = 'The jacket is lovely, the delivery was not.'\n"
        "assert not is_exact()\n"
        "assert count_tokens(text, 'gpt-6-luna') == estimate_tokens(text)\n"
        "assert count_tokens(text, 'gpt-4') == estimate_tokens(text, 'cl100k_base')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_new_corrector_changes_nothing():
    assert Corrector().correct(1234) == 1234


def test_a_corrector_converges_on_a_steady_ratio():
    corrector = Corrector()
    for _ in range(400):
        corrector = corrector.learn(100, 115)
    assert corrector.ratio == pytest.approx(1.15, abs=0.001)
    assert corrector.count == 400
    assert corrector.correct(1000) == pytest.approx(1150, abs=2)


def test_the_first_answer_moves_the_ratio_half_way():
    assert Corrector().learn(100, 140) == Corrector(1.2, 1)


def test_a_corrector_follows_a_change():
    corrector = Corrector(1.0, 10_000)
    for _ in range(200):
        corrector = corrector.learn(100, 130)
    assert corrector.ratio == pytest.approx(1.3, abs=0.01)


@given(st.lists(st.tuples(st.integers(-5, 10**7), st.integers(-5, 10**7)), max_size=60))
def test_a_corrector_stays_within_ten_times_whatever_it_sees(pairs):
    corrector = Corrector()
    for estimated, actual in pairs:
        corrector = corrector.learn(estimated, actual)
    assert 0.1 <= corrector.ratio <= 10
    assert corrector.count == sum(1 for estimated, actual in pairs if estimated > 0 and actual > 0)
