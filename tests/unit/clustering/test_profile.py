"""Profiles say what is different, by how much, and whether chance could do the same."""

import numpy as np
import pytest

from blobs import make_found
from penstock.features.clustering.profile import profile_segments

HALVES = make_found([0] * 50 + [1] * 50, ["s1", "s2"])


def profile(found=HALVES, **columns):
    return profile_segments(found.segmentation, found.places, **columns)


def test_a_number_is_compared_with_everybody_else():
    spend = [100.0 + at % 10 for at in range(50)] + [50.0 + at % 10 for at in range(50)]
    first, second = profile(numbers={"spend": spend})
    (fact,) = first.facts
    assert (fact.field, fact.here, fact.elsewhere, fact.is_clear) == ("spend", 104.5, 54.5, True)
    assert fact.lift == pytest.approx(104.5 / 54.5)
    assert fact.effect == pytest.approx(50 / np.std(spend))
    assert second.facts[0].effect == -fact.effect
    assert (first.id, first.customers, first.share) == ("s1", 50, 0.5)


def test_a_category_is_compared_by_parts_of_customers():
    plan = ["gold"] * 40 + ["basic"] * 10 + ["gold"] * 10 + ["basic"] * 40
    first, _ = profile(categories={"plan": plan})
    gold = next(fact for fact in first.facts if fact.value == "gold")
    assert (gold.here, gold.elsewhere, gold.lift, gold.customers, gold.is_clear) == (0.8, 0.2, 4.0, 40, True)


def test_several_values_of_a_customer_count_each():
    shelves = [["shoes", "bags"]] * 50 + [["shoes"]] * 50
    first, second = profile(categories={"shelf": shelves})
    assert [(fact.value, fact.here) for fact in first.facts] == [("bags", 1.0)]
    assert [(fact.value, fact.here) for fact in second.facts] == [("bags", 0.0)]


def test_what_chance_could_do_is_not_called_clear():
    chance = np.random.default_rng(3)
    names = {f"noise{number}": chance.standard_normal(100) for number in range(40)}
    clear = [fact for segment in profile(numbers=names) for fact in segment.facts if fact.is_clear]
    assert len(clear) <= 2


def test_unknown_values_count_nowhere():
    spend = [1.0] * 10 + [None] * 40 + [3.0] * 10 + [float("nan")] * 40
    first, _ = profile(numbers={"spend": spend}, categories={"plan": [None] * 100})
    assert [(fact.here, fact.elsewhere) for fact in first.facts] == [(1.0, 3.0)]


def test_nothing_is_said_about_fewer_than_five_customers():
    rare = ["vip"] * 4 + ["usual"] * 96
    tiny = make_found([0] * 4 + [1] * 96, ["s1", "s2"])
    assert all(fact.value != "vip" for segment in profile(categories={"plan": rare}) for fact in segment.facts)
    assert all(not segment.facts for segment in profile(tiny, numbers={"spend": list(range(100))}))


def test_equal_numbers_and_lonely_segments_have_nothing_to_say():
    alone = make_found([0] * 20, ["s1"])
    assert profile(alone, numbers={"spend": list(range(20))}, categories={"plan": ["a"] * 20})[0].facts == ()
    assert profile(numbers={"spend": [5.0] * 100})[0].facts == ()


def test_the_largest_clear_differences_come_first():
    strong = [1.0] * 45 + [0.0] * 55
    weak = [1.0] * 30 + [0.0] * 20 + [1.0] * 10 + [0.0] * 40
    first, _ = profile(numbers={"weak": weak, "strong": strong, "none": [0.0, 1.0] * 50})
    assert [fact.field for fact in first.facts] == ["strong", "weak", "none"]
    assert [fact.is_clear for fact in first.facts] == [True, True, False]


def test_customers_without_a_segment_are_left_out():
    found = make_found([0] * 10 + [1] * 10 + [-1] * 5, ["s1", "s2"])
    first, _ = profile(found, numbers={"spend": [1.0] * 10 + [2.0] * 10 + [99.0] * 5}, categories={"c": ["a"] * 25})
    assert (first.share, first.facts[0].elsewhere) == (0.5, 2.0)
