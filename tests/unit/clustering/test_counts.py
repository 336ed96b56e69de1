"""The number of segments: silhouette, agreement of halves, and what speaks against a number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import silhouette_score

from blobs import agree, make_blobs
from penstock.base.errors import InputError
from penstock.features.clustering.counts import _measure_gaps, compare_counts, measure_agreement, measure_silhouette
from penstock.features.clustering.customers import Customers


def compare(vectors, counts=None):
    return compare_counts(Customers(vectors, "embedder"), counts)


def test_the_true_number_of_groups_is_suggested():
    found = compare(make_blobs(2_000, 32, 7)[0], [4, 6, 7, 8, 12])
    assert found.suggested == 7
    seven = found.trials[2]
    assert (seven.segments, seven.agreement, seven.objection) == (7, 1.0, "")
    assert seven.silhouette == max(trial.silhouette for trial in found.trials)
    assert 0.12 < seven.smallest < 1 / 7
    assert seven.explained > 0.9


def test_written_digits_have_about_ten_groups():
    found = compare(load_digits().data, [4, 7, 9, 10, 11, 20, 40])
    assert found.suggested in {9, 10, 11}


def test_noise_has_no_number_of_segments():
    found = compare(np.random.default_rng(1).standard_normal((2_000, 32)), [4, 8, 12])
    assert found.suggested is None
    assert all("divided differently" in trial.objection for trial in found.trials)


def test_a_tiny_segment_speaks_against_a_number():
    vectors, truth = make_blobs(3_000, 16, 4)
    few = vectors[np.flatnonzero(truth == 3)[:8]]
    found = compare(np.vstack([vectors[truth != 3], few]), [3, 4])
    assert "smallest segment" in found.trials[1].objection
    assert found.suggested == 3


def test_without_counts_a_grid_is_tried_as_far_as_customers_reach():
    found = compare(make_blobs(60, 16, 4)[0])
    assert [trial.segments for trial in found.trials] == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert found.suggested == 4


@pytest.mark.parametrize(
    ("vectors", "counts"),
    [(np.ones((100, 4)), None), (np.ones((1, 4)), [2]), (make_blobs(40, 8, 2)[0], [2, 30]), (np.eye(8), [1])],
)
def test_counts_that_cannot_be_tried_are_refused(vectors, counts):
    with pytest.raises(InputError) as caught:
        compare(vectors, counts)
    assert caught.value.code == "segments.too-few"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=50))
def test_agreement_is_the_adjusted_rand_index(pairs):
    some, others = np.array(pairs).T
    assert measure_agreement(some, others) == pytest.approx(agree(some, others), abs=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_silhouettes_are_what_scikit_learn_finds(seed, groups):
    points = np.random.default_rng(seed).standard_normal((40, 3)).astype(np.float32)
    labels = np.arange(40) % groups
    ours = measure_silhouette(_measure_gaps(points), labels, groups)
    assert ours == pytest.approx(silhouette_score(points, labels), abs=1e-4)
