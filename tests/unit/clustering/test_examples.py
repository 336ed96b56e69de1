"""Examples of a segment are typical, do not overlap, and stay the same from day to day."""

import numpy as np

from blobs import make_blobs
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.examples import pick_examples
from penstock.features.clustering.model import find_segments


def pick(customers, count, **given):
    found = find_segments(customers, count)
    return found, pick_examples(found.segmentation, customers, found.places, **given)


def test_members_are_inside_and_the_others_outside_of_their_segment():
    found, examples = pick(Customers(make_blobs(600, 16, 4)[0], "embedder"), 4)
    for at, (members, held_back, outside) in enumerate(examples):
        assert len(members) == len(held_back) == len(outside) == 12
        assert not set(members) & set(held_back)
        assert set(found.places.segments[[*members, *held_back]]) == {at}
        assert at not in found.places.segments[outside]
        assert found.places.distances[members].max() <= np.median(found.places.distances[found.places.segments == at])


def test_a_small_segment_gives_half_of_what_it_has_and_a_lonely_one_has_nobody_outside():
    _, examples = pick(Customers(make_blobs(6, 16, 1)[0], "embedder"), 1)
    ((members, held_back, outside),) = examples
    assert (len(members), len(held_back), len(outside)) == (3, 3, 0)


def test_one_customer_is_all_there_is():
    _, ((members, held_back, outside),) = pick(Customers(np.ones((1, 4)), "embedder"), 1)
    assert sorted([*members, *held_back, *outside]) == [0]


def test_with_keys_most_examples_are_the_same_after_a_few_more_customers():
    vectors, _ = make_blobs(2_000, 16, 4)
    keys = [f"customer-{number}" for number in range(2_000)]
    _, first = pick(Customers(vectors[:1_950], "embedder", keys[:1_950]), 4)
    found = find_segments(Customers(vectors[:1_950], "embedder", keys[:1_950]), 4)
    everybody = Customers(vectors, "embedder", keys)
    later = pick_examples(found.segmentation, everybody, found.segmentation.place(everybody))
    for before, after in zip(first, later, strict=True):
        assert len(set(before.members) & set(after.members)) >= 9
