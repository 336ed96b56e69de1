"""Segments keep their ids when customers come, move and go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobs import agree, make_blobs, make_found
from penstock.base.errors import InputError
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.identity import carry_ids, find_places
from penstock.features.clustering.model import NOWHERE, find_segments, refresh


def customers(vectors, start=0):
    return Customers(vectors, "embedder", [f"customer-{number}" for number in range(start, start + len(vectors))])


def ids_of(found):
    return np.array(found.segmentation.ids)[found.places.segments]


@pytest.mark.parametrize("spread", [0.15, 1.0, 2.0])
def test_a_quarter_more_customers_leave_98_percent_where_they_were(spread):
    vectors, _ = make_blobs(10_000, 64, 12, spread=spread)
    first = find_segments(customers(vectors[:8_000]), 12)
    later = refresh(first.segmentation, customers(vectors))
    assert later.segmentation.ids == first.segmentation.ids
    assert (ids_of(later)[:8_000] == ids_of(first)).mean() >= 0.98


def test_a_refresh_fits_better_than_the_old_centres():
    vectors, _ = make_blobs(5_000, 32, 8, spread=1.0)
    first = find_segments(customers(vectors[:2_000]), 8)
    frozen, moved = first.segmentation.place(customers(vectors)), refresh(first.segmentation, customers(vectors)).places
    assert (moved.distances.astype(float) ** 2).sum() <= (frozen.distances.astype(float) ** 2).sum()


def test_a_refresh_without_change_moves_nobody():
    vectors, _ = make_blobs(3_000, 32, 6)
    first = find_segments(customers(vectors), 6)
    assert (refresh(first.segmentation, customers(vectors)).places.segments == first.places.segments).all()


def test_a_segment_whose_customers_are_gone_stays_where_it_was():
    vectors, truth = make_blobs(2_000, 32, 4)
    first = find_segments(customers(vectors), 4)
    gone = first.places.segments[truth == 0][0]
    later = refresh(first.segmentation, customers(vectors[truth != 0]))
    assert later.segmentation.ids == first.segmentation.ids
    assert later.places.sizes(4)[gone] == 0
    np.testing.assert_array_equal(later.segmentation.centres[gone], first.segmentation.centres[gone])


def test_a_refresh_of_nobody_is_refused():
    first = find_segments(customers(make_blobs(200, 8, 2)[0]), 2)
    with pytest.raises(InputError) as caught:
        refresh(first.segmentation, customers(np.zeros((3, 8), np.float32)))
    assert caught.value.code == "segments.nobody"


def test_a_search_from_nothing_finds_the_old_ids_again():
    vectors, truth = make_blobs(3_000, 32, 6)
    first = find_segments(customers(vectors), 6)
    again = find_segments(customers(vectors), 6, seed=99)
    carried = carry_ids(again, first.segmentation, first.segmentation.place(customers(vectors)).segments)
    names = np.array(carried.segmentation.ids)[again.places.segments]
    assert (names == ids_of(first)).all()
    assert (carried.retired, carried.new) == ({}, ())
    assert agree(names, truth) == 1.0


def test_a_lost_segment_points_to_where_its_customers_are():
    old = make_found([0] * 10 + [1] * 10 + [2] * 4, ["s1", "s2", "s3"])
    found = make_found([0] * 10 + [1] * 14, ["s1", "s2"])
    carried = carry_ids(found, old.segmentation, old.places.segments)
    assert carried.segmentation.ids == ("s1", "s2")
    assert carried.kept == {"s1": 1.0, "s2": pytest.approx(10 / 14)}
    assert carried.retired == carried.segmentation.successors == {"s3": "s2"}


def test_a_segment_that_falls_apart_makes_room_for_new_ids():
    old = make_found([0] * 12 + [1] * 6, ["s1", "s2"], next_number=7)
    found = make_found([0] * 4 + [1] * 4 + [2] * 4 + [3] * 6, ["s1", "s2", "s3", "s4"])
    carried = carry_ids(found, old.segmentation, old.places.segments)
    assert carried.segmentation.ids == ("s7", "s8", "s9", "s2")
    assert carried.new == ("s7", "s8", "s9")
    assert carried.retired == {"s1": "s7"}
    assert carried.segmentation.next_number == 10


def test_two_exact_halves_do_not_both_keep_the_id():
    old = make_found([0] * 10, ["s1"])
    found = make_found([0] * 5 + [1] * 5, ["a", "b"])
    carried = carry_ids(found, old.segmentation, old.places.segments)
    assert carried.segmentation.ids == ("s1", "s2")


def test_pointers_follow_when_what_they_point_to_is_lost_too():
    old = make_found([0] * 5 + [1] * 3, ["s2", "s3"], next_number=4, successors={"s1": "s3"})
    found = make_found([0] * 8, ["a"])
    carried = carry_ids(found, old.segmentation, old.places.segments)
    assert carried.segmentation.successors == {"s1": "s2", "s3": "s2"}


def test_a_segment_without_customers_left_points_nowhere():
    old = make_found([0] * 5, ["s1", "s2"])
    carried = carry_ids(make_found([0] * 5, ["a"]), old.segmentation, old.places.segments)
    assert carried.retired == {"s2": ""}


def test_ids_kept_elsewhere_lead_to_their_places():
    old = make_found([0, 1], ["s4", "s9"]).segmentation
    assert list(find_places(old, ["s9", "", "s4", "s1"])) == [1, NOWHERE, 0, NOWHERE]


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 5)), max_size=60))
def test_ids_are_unique_and_live_on_whenever_half_is_shared(pairs):
    before, now = [a for a, _ in pairs], [b for _, b in pairs]
    old = make_found(before, ["s1", "s2", "s3", "s4", "s5"])
    found = make_found(now, list("abcdef"))
    carried = carry_ids(found, old.segmentation, np.array(before, np.int32))
    ids = carried.segmentation.ids
    assert len(set(ids)) == 6
    assert set(carried.kept) | set(carried.retired) == set(old.segmentation.ids)
    assert not set(carried.kept) & set(carried.retired)
    assert set(carried.new).isdisjoint(old.segmentation.ids)
    assert set(carried.retired.values()) <= {*ids, ""}
    both = [(a, b) for a, b in pairs if a >= 0 and b >= 0]
    for was in range(5):
        for at in range(6):
            together = sum(a == was or b == at for a, b in both)
            if together and both.count((was, at)) * 2 > together:
                assert ids[at] == old.segmentation.ids[was]
