"""What a person decided about texts and pictures, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError
from penstock.features.writing.pieces import (
    Piece,
    approve_linked,
    decide_piece,
    digest_of,
    find_pieces,
    keep_pieces,
    link_pieces,
    list_pieces,
    read_linked,
)
from penstock.runtime.store import Store
from stores import KINDS, new_place

CLOCK = ManualClock()


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


def piece(text: str, **rest: str) -> Piece:
    return Piece(digest_of(text), "subject", "en", "news", text, "gpt-6-luna", ["capitals: NEW"], **rest)


async def test_a_new_piece_is_a_draft_and_the_same_again_keeps_its_decision(store: Store) -> None:
    (one,) = await keep_pieces(store, CLOCK, [piece("Hello")])
    assert (one.state, one.warnings, one.title) == ("draft", ["capitals: NEW"], "Hello")
    await decide_piece(store, CLOCK, one.digest[:12], "rejected", "ann", "dull")
    (again,) = await keep_pieces(store, CLOCK, [piece("Hello")])
    assert (again.state, again.by, again.reason) == ("rejected", "ann", "dull")
    assert await find_pieces(store, [digest_of("Hello!")]) == []


async def test_a_piece_is_named_by_enough_of_its_hash_and_by_nothing_else(store: Store) -> None:
    await keep_pieces(store, CLOCK, [piece("Hello"), piece("Bye")])
    for which in ("", digest_of("Hello")[:3], "ffff", "%", digest_of("other")):
        with pytest.raises(InputError) as caught:
            await decide_piece(store, CLOCK, which, "approved", "ann")
        assert caught.value.code == "content.unknown-piece"
    assert len(await list_pieces(store, "draft")) == 2
    assert await list_pieces(store, "approved") == []


async def test_who_approves_a_campaign_approves_what_it_holds_but_not_what_was_rejected(store: Store) -> None:
    texts = ("a", "b", "c")
    await keep_pieces(store, CLOCK, map(piece, texts))
    await link_pieces(store, "org", 1, [digest_of(text) for text in (*texts, "not made here")])
    await link_pieces(store, "org", 2, [digest_of("c")])
    await link_pieces(store, "org", 1, [digest_of("a"), digest_of("b")])  # an update of the draft
    await decide_piece(store, CLOCK, digest_of("b"), "rejected", "bob", "no")
    await approve_linked(store, CLOCK, "org", 1, "ann")
    states = {one.title: (one.state, one.by) for one in await list_pieces(store)}
    assert states == {"a": ("approved", "ann"), "b": ("rejected", "bob"), "c": ("draft", "")}
    assert {one.title for one in await read_linked(store, "org", 1)} == {"a", "b"}
    assert await read_linked(store, "other", 1) == []
