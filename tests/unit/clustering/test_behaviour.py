"""Behaviour beside the text: on one scale, with visible weights."""

import numpy as np
import pytest

from blobs import agree, make_blobs
from penstock.base.errors import InputError
from penstock.features.clustering.behaviour import OTHER, Behaviour, learn_scale
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.model import Segmentation, find_segments


def place(behaviour, rows=None):
    count = next(iter(behaviour.lengths().values()))
    return learn_scale(behaviour, np.arange(count) if rows is None else rows).place(behaviour)


def test_behaviour_tells_customers_apart_whose_texts_are_alike():
    vectors, _ = make_blobs(400, 16, 1)
    spends = np.arange(400) % 2
    behaviour = Behaviour(numbers={"spend": 10 + 90 * spends + np.arange(400) % 5}, share=0.6)
    found = find_segments(Customers(vectors, "embedder", behaviour=behaviour), 2)
    assert agree(found.places.segments, spends) == 1.0
    assert found.segmentation.weights() == {"text": 0.4, "spend": 0.6}


def test_weights_divide_the_share_of_behaviour_and_add_up_to_one():
    behaviour = Behaviour(
        numbers={"orders": [1, 2, 3], "spend": [5, 6, 7]},
        categories={"plan": ["a", "b", "b"]},
        share=0.4,
        weights={"spend": 2},
    )
    weights = learn_scale(behaviour, np.arange(3)).weights()
    assert weights == pytest.approx({"text": 0.6, "orders": 0.1, "spend": 0.2, "plan": 0.1})


def test_each_field_has_the_spread_of_its_weight():
    chance = np.random.default_rng(1)
    behaviour = Behaviour(
        numbers={"orders": chance.uniform(0, 9, 500), "spend": chance.uniform(0, 1e6, 500)},
        categories={"plan": [str(number) for number in chance.integers(0, 3, 500)]},
    )
    spread = place(behaviour).var(axis=0)
    assert spread[0] == pytest.approx(0.1, rel=1e-3)
    assert spread[1] == pytest.approx(0.1, rel=1e-3)
    assert spread[2:].sum() == pytest.approx(0.1, rel=1e-3)


def test_text_and_behaviour_have_their_parts_of_the_distance():
    vectors, _ = make_blobs(1_000, 16, 5)
    behaviour = Behaviour(numbers={"orders": np.random.default_rng(1).uniform(0, 9, 1_000)}, share=0.25)
    space = find_segments(Customers(vectors, "embedder", behaviour=behaviour), 3).segmentation.space
    points = space.place(vectors, space.behaviour.place(behaviour)).var(axis=0)
    assert points[:-1].sum() == pytest.approx(0.75, rel=0.01)
    assert points[-1] == pytest.approx(0.25, rel=0.01)


def test_a_skewed_number_is_taken_by_its_logarithm_and_one_huge_order_is_cut():
    spend = np.concatenate([np.geomspace(1, 1_000, 99), [1e9]])
    scale = learn_scale(Behaviour(numbers={"spend": spend}), np.arange(100))
    assert scale.numbers[0].is_log
    placed = scale.place(Behaviour(numbers={"spend": spend}))
    assert placed.max() == pytest.approx(3 * np.sqrt(0.3))


def test_unknown_values_stand_in_the_middle():
    placed = place(Behaviour(numbers={"orders": [1, None, 3, float("nan")]}))
    assert placed[1] == placed[3] == 0
    assert place(Behaviour(numbers={"orders": [None, None]})).max() == 0
    assert np.isfinite(place(Behaviour(categories={"plan": [None, None]}))).all()


def test_equal_numbers_tell_nobody_apart():
    assert (place(Behaviour(numbers={"orders": [5, 5, 5]}, categories={"plan": ["a", "a", "a"]})) == 0).all()


def test_rare_values_of_a_category_count_as_one():
    values = [f"v{number}" for number in range(30)] + ["v0", "v1"]
    scale = learn_scale(Behaviour(categories={"plan": values}), np.arange(32))
    assert len(scale.categories[0].values) == 21
    assert scale.categories[0].values[-1] == OTHER
    new = scale.place(Behaviour(categories={"plan": ["never seen", "v29"]}))
    np.testing.assert_array_equal(new[0], new[1])


def test_several_values_share_one_customer():
    placed = place(Behaviour(categories={"shelf": [["a", "b"], ["a"], "b", []]}))
    np.testing.assert_allclose(placed[0], (placed[1] + placed[2]) / 2, atol=1e-6)


def test_segments_keep_how_behaviour_is_scaled():
    vectors, _ = make_blobs(300, 16, 3)
    behaviour = Behaviour(numbers={"orders": np.arange(300) % 7}, categories={"plan": ["a", "b", "c"] * 100})
    found = find_segments(Customers(vectors, "embedder", behaviour=behaviour), 5)
    read = Segmentation.from_bytes(found.segmentation.to_bytes())
    assert read.weights() == found.segmentation.weights()
    few = Behaviour(numbers={"orders": np.arange(3) % 7}, categories={"plan": ["a", "b", "c"]})
    again = read.place(Customers(vectors[:3], "embedder", behaviour=few))
    assert (again.segments == found.places.segments[:3]).all()


def test_segments_made_with_behaviour_ask_for_it_again():
    vectors, _ = make_blobs(300, 16, 3)
    behaviour = Behaviour(numbers={"orders": np.arange(300) % 7})
    segmentation = find_segments(Customers(vectors, "embedder", behaviour=behaviour), 3).segmentation
    for given in (None, Behaviour(numbers={"spend": np.ones(300)})):
        with pytest.raises(InputError, match="orders") as caught:
            segmentation.place(Customers(vectors, "embedder", behaviour=given))
        assert caught.value.code == "segments.no-field"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"numbers": {"a": [1]}, "share": 1.0},
        {"numbers": {"a": [1]}, "share": float("nan")},
        {"numbers": {"a": [1]}, "weights": {"b": 1}},
        {"numbers": {"a": [1]}, "weights": {"a": -1}},
        {"numbers": {"a": [1]}, "weights": {"a": float("nan")}},
        {"numbers": {"a": [1]}, "weights": {"a": 0}},
        {"numbers": {"a": [1]}, "categories": {"a": ["x"]}},
        {"numbers": {"text": [1]}},
    ],
)
def test_weights_that_make_no_sense_are_refused(given):
    with pytest.raises(InputError) as caught:
        Behaviour(**given)
    assert caught.value.code == "segments.weight"


def test_what_is_no_number_and_another_length_are_refused():
    with pytest.raises(InputError) as caught:
        place(Behaviour(numbers={"orders": ["many", "few"]}))
    assert caught.value.code == "segments.no-number"
    with pytest.raises(InputError, match="orders: 2 values for 3 customers"):
        Customers(np.ones((3, 2)), "embedder", behaviour=Behaviour(numbers={"orders": [1, 2]}))
