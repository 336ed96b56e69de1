"""Words of segments: telling ones, in any language, and none that could name a person."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.features.clustering.terms import Term, find_terms, name_by_terms, split_words


def words_of(texts, segments, count):
    return [[term.word for term in found] for found in find_terms(texts, np.array(segments), count)]


def test_the_words_of_a_segment_are_those_that_others_do_not_use():
    texts = ["buys running shoes and the laces"] * 10 + ["buys leather bags and the belts"] * 10
    first, second = words_of(texts, [0] * 10 + [1] * 10, 2)
    assert first == ["laces", "running", "shoes"]
    assert second == ["bags", "belts", "leather"]


def test_a_word_weighs_as_the_formula_says():
    texts = ["tea tea"] * 6 + ["cup"] * 6 + ["tea"] * 0
    found = find_terms(texts, np.array([0] * 6 + [1] * 6), 2)
    # 12 of 12 words of the segment; 9 words a segment on average, 12 of them tea in all.
    assert found[0] == [Term("tea", pytest.approx(np.log(1 + 9 / 12)), 1.0, 0.0)]


def test_a_common_word_says_nothing_unless_it_is_three_times_as_frequent():
    texts = ["the plan gold"] * 8 + ["gold"] * 2 + ["the basic"] * 3 + ["gold"] * 2 + ["basic"] * 5
    first, second = words_of(texts, [0] * 10 + [1] * 10, 2)
    assert first == ["plan", "gold"]
    assert second == ["basic"]


def test_real_tweets_and_reviews_of_products_differ_by_what_they_are_about():
    shared = Path(os.environ.get("PENSTOCK_SHARED") or Path(__file__).parents[4] / "shared")
    files = [
        shared / "data" / "rated-snippets" / f"{name}_GroundTruth.txt" for name in ("tweets", "amazonReviewSnippets")
    ]
    if not all(file.is_file() for file in files):
        pytest.skip("the rated texts are not here")
    texts = [[line.split("\t", 2)[2] for line in file.read_text("latin-1").splitlines()] for file in files]
    places = [at for at, several in enumerate(texts) for _ in several]
    tweets, reviews = words_of(texts[0] + texts[1], places, 2)
    assert {"lol", "today"} < set(tweets)
    assert {"player", "camera", "phone"} < set(reviews)
    assert not {"the", "and", "it", "is"} & {*tweets, *reviews}


def test_words_that_fewer_than_five_customers_have_are_left_out():
    texts = ["likes tea", "likes tea", "likes tea", "likes tea", "likes tea grown by smith"] + ["likes cups"] * 5
    assert words_of(texts, [0] * 5 + [1] * 5, 2) == [["tea"], ["cups"]]


def test_addresses_and_numbers_are_no_words():
    assert split_words("Mail ann@example.org, see https://example.org/ann or call 030 12345 re order A77") == [
        "mail",
        "see",
        "or",
        "call",
        "re",
        "order",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L'été, c'est ÉTÉ", ["l'été", "c'est", "été"]),
        ("Größe STRASSE", ["grösse", "strasse"]),
        ("быстрая доставка", ["быстрая", "доставка"]),
        ("توصيل سريع", ["توصيل", "سريع"]),
        ("快速发货", ["快速", "速发", "发货"]),
        ("靴が好き", ["靴が", "が好", "好き"]),
        ("배송이 빨라요", ["배송이", "빨라요"]),
        ("ส่งเร็ว", ["ส่", "่ง", "งเ", "เร", "ร็", "็ว"]),
        ("e-mail-friendly 👟 a _ b", ["e-mail-friendly"]),
        ("ＦＵＬＬ width", ["full", "width"]),
        ("", []),
    ],
)
def test_words_are_found_in_many_scripts(text, words):
    assert split_words(text) == words


def test_customers_without_text_or_segment_do_not_count():
    texts = ["", "  "] + ["tea"] * 8 + ["cup"] * 8
    found = find_terms(texts, np.array([0, 1, *[0] * 6, -1, -1, *[1] * 8]), 2)
    assert [[term.word for term in terms] for terms in found] == [["tea"], ["cup"]]
    assert found[0][0].here == 1.0


def test_segments_without_words_have_none():
    assert find_terms(["", "", ""], np.array([0, 1, 1]), 3) == [[], [], []]


def test_names_are_unique_and_never_empty():
    tea, cup = Term("tea", 1.0, 1.0, 0.0), Term("cup", 0.5, 1.0, 0.0)
    names = name_by_terms(["s1", "s2", "s3", "s4"], [[tea, cup], [tea, cup], [], [tea]])
    assert names == {"s1": "tea · cup", "s2": "tea · cup (s2)", "s3": "s3", "s4": "tea"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.integers(-1, 2)), max_size=40))
def test_any_text_is_taken_and_no_digit_gets_through(pairs):
    for terms in find_terms([text for text, _ in pairs], np.array([at for _, at in pairs], np.int32), 3):
        for term in terms:
            assert not any(letter.isdecimal() or letter in "@ \n" for letter in term.word)
            assert term.weight > 0
            assert 0 <= term.elsewhere < term.here <= 1
