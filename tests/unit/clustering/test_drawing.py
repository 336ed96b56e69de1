"""Maps: near for near ones, a place for everybody, and a word on how to read them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from blobs import make_blobs
from penstock.base.errors import InputError
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.drawing import draw_map
from penstock.features.clustering.model import find_segments


def found(vectors, count):
    customers = Customers(vectors, "embedder")
    return find_segments(customers, count).segmentation, customers


def test_a_map_of_main_directions_holds_groups_together():
    vectors, truth = make_blobs(500, 16, 3)
    picture = draw_map(*found(vectors, 3), "directions")
    assert picture.method == "directions"
    assert picture.places.dtype == np.float32
    assert "%" in picture.note
    assert KNeighborsClassifier(5).fit(picture.places[:250], truth[:250]).score(picture.places[250:], truth[250:]) == 1


def test_customers_without_a_vector_have_no_place():
    vectors, _ = make_blobs(60, 16, 3)
    vectors[7] = np.nan
    places = draw_map(*found(vectors, 3), "directions").places
    assert list(np.flatnonzero(np.isnan(places).any(axis=1))) == [7]


def test_identical_customers_lie_on_one_place():
    places = draw_map(*found(np.ones((20, 4), np.float32), 1), "directions").places
    assert (places == 0).all()


def test_few_customers_are_drawn_by_directions_whatever_is_installed():
    assert draw_map(*found(make_blobs(30, 8, 2)[0], 2)).method == "directions"


def test_nobody_cannot_be_drawn():
    segmentation, _ = found(make_blobs(30, 8, 2)[0], 2)
    with pytest.raises(InputError) as caught:
        draw_map(segmentation, Customers(np.zeros((3, 8)), "embedder"))
    assert caught.value.code == "segments.nobody"


@pytest.mark.slow
def test_a_map_by_neighbours_tells_digits_apart_for_those_drawn_and_those_put_between():
    pytest.importorskip("pacmap", reason="the extra `map` is not installed")
    digits, truth = load_digits(return_X_y=True)
    segmentation, customers = found(digits.astype(np.float32), 10)
    picture = draw_map(segmentation, customers, "neighbours", most=1_000)
    drawn = customers.draw(customers.find_usable(), 1_000, 7)
    rest = np.setdiff1d(np.arange(len(digits)), drawn)
    near = KNeighborsClassifier(10).fit(picture.places[drawn], truth[drawn])
    assert picture.method == "neighbours"
    assert "mean nothing" in picture.note
    assert near.score(picture.places[rest], truth[rest]) > 0.9
