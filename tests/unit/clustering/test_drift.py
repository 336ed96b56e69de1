"""Drift is told from chance, and strange customers from usual ones."""

import numpy as np
import pytest

from blobs import make_blobs
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.drift import find_outliers, measure_drift
from penstock.features.clustering.model import find_segments


@pytest.fixture(scope="module")
def made():
    vectors, truth = make_blobs(6_000, 32, 6, spread=0.5)
    return find_segments(Customers(vectors[:3_000], "embedder"), 6).segmentation, vectors[3_000:], truth[3_000:]


def drift_of(segmentation, vectors):
    return measure_drift(segmentation, segmentation.place(Customers(vectors, "embedder")))


@pytest.mark.parametrize("customers", [3_000, 300, 40])
def test_more_customers_of_the_same_kind_are_no_drift(made, customers):
    segmentation, vectors, _ = made
    drift = drift_of(segmentation, vectors[:customers])
    assert (drift.verdict, drift.reasons, drift.customers) == ("steady", (), customers)


def test_the_customers_it_was_made_with_are_no_drift():
    vectors, _ = make_blobs(2_000, 16, 4)
    found = find_segments(Customers(vectors, "embedder"), 4)
    drift = measure_drift(found.segmentation, found.places)
    assert drift.verdict == "steady"
    assert drift.distances < 0.02
    assert drift.far == pytest.approx(0.05, abs=0.01)
    assert drift.shares == pytest.approx(0, abs=1e-6)


def test_customers_of_a_new_kind_lie_farther_out(made):
    segmentation, vectors, _ = made
    strange = make_blobs(1_000, 32, 1, seed=5)[0]
    drift = drift_of(segmentation, np.vstack([vectors[:2_000], strange]))
    assert drift.verdict == "drifted"
    assert drift.far > 0.3
    assert any("farther out" in reason for reason in drift.reasons)


def test_segments_that_grow_unequally_are_drift_of_shares(made):
    segmentation, vectors, truth = made
    drift = drift_of(segmentation, vectors[(truth == 0) | (np.arange(len(truth)) % 5 == 0)])
    assert drift.verdict == "drifted"
    assert drift.distances < 0.1
    assert len(drift.reasons) == 1
    assert "sizes" in drift.reasons[0]


def test_customers_who_draw_together_are_noticed(made):
    segmentation, vectors, _ = made
    places = segmentation.place(Customers(vectors, "embedder"))
    drift = measure_drift(segmentation, places._replace(distances=places.distances * np.float32(0.8)))
    assert drift.distances > 0.3
    assert drift.far < 0.02
    assert drift.verdict == "drifted"


def test_identical_customers_do_not_drift_by_rounding():
    vectors = np.eye(4, 16, dtype=np.float32).repeat(50, axis=0)
    found = find_segments(Customers(vectors, "embedder"), 4)
    again = drift_of(found.segmentation, vectors[::2])
    assert (again.verdict, again.far) == ("steady", 0)
    assert len(find_outliers(found.segmentation, found.places)) == 0


def test_nobody_with_a_vector_is_worth_a_look(made):
    drift = drift_of(made[0], np.zeros((3, 32), np.float32))
    assert (drift.verdict, drift.unplaced) == ("watch", 3)


def test_customers_who_fit_nowhere_are_found_strangest_first(made):
    segmentation, vectors, _ = made
    pushed = vectors.copy()
    pushed[[5, 50]] *= [[10], [20]]
    pushed[7] = np.nan
    rows = find_outliers(segmentation, segmentation.place(Customers(pushed, "embedder")))
    assert list(rows[:2]) == [50, 5]
    assert len(rows) < 20
