"""Versions of segments and wishes for the next, on both kinds of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError
from penstock.features.segment_book import KEPT, About, Name, Picture, Segment, SegmentBook, Wished
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def book(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SegmentBook]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield SegmentBook(store, "flow")
    await store.close()


def about(*names: str) -> About:
    segments = [Segment(f"s{at}", Name(name), 10, 0.5, 0, [], []) for at, name in enumerate(names, 1)]
    picture = Picture("a note", "directions", [(0.5, -1.0, 0)])
    return About(
        "flow", 1.0, "found", "a-model", 20, 0, 0, 0, 0, 0, {"text": 1.0}, segments, [], None, None, {}, picture
    )


async def test_the_newest_version_is_read_and_old_ones_go(book: SegmentBook) -> None:
    assert await book.newest() is None
    for number in range(1, KEPT + 4):
        assert await book.add("recipe", b"\x00\xff", about(f"Name {number}"), Wished()) == number
    newest = await book.require()
    assert (newest.number, newest.model, newest.about.version) == (KEPT + 3, b"\x00\xff", KEPT + 3)
    assert newest.about.segments[0].name.name == f"Name {KEPT + 3}"
    assert newest.about.picture.points == [(0.5, -1.0, 0)]
    assert len(await book._store.read("segment_versions", flow="flow")) == KEPT


async def test_a_wish_is_heard_once_and_given_names_stay(book: SegmentBook) -> None:
    with pytest.raises(InputError) as caught:
        await book.wish("anew")
    assert caught.value.code == "segments.unknown"
    await book.add("recipe", b"", about("One", "Two"), Wished())
    await book.wish("anew")
    wished = await book.wish(names={"s1": " Mine "})
    assert wished == await book.wished() == (2, "anew", {"s1": "Mine"})
    await book.add("recipe", b"", about("Mine", "Two"), wished)
    assert await book.wished() == (2, "", {"s1": "Mine"})
    assert (await book.wish(names={"s1": ""})).names == {}


async def test_a_wish_that_came_while_segments_were_made_stays_for_the_next_run(book: SegmentBook) -> None:
    await book.add("recipe", b"", about("One"), Wished())
    heard = await book.wish("follow")
    await book.wish("anew")
    await book.add("recipe", b"", about("One"), heard)
    assert (await book.wished()).wish == "anew"


@pytest.mark.parametrize(
    ("names", "code"), [({"s9": "A"}, "segments.unknown-id"), ({"s1": "two"}, "segments.same-name")]
)
async def test_names_are_of_segments_that_are_there_and_different(
    book: SegmentBook, names: dict[str, str], code: str
) -> None:
    await book.add("recipe", b"", about("One", "Two"), Wished())
    with pytest.raises(InputError) as caught:
        await book.wish(names=names)
    assert caught.value.code == code
