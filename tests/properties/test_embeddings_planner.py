"""Whatever the texts: no call passes a limit, nothing is bought twice, everything comes back in its place."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from embedding_vendor import Vendor, bad_among, choose, vector_of
from penstock.operations.parcels import Item, Packer, Room
from penstock.operations.vectors import IN_FLIGHT, Block, Embedder

ROOMS = st.builds(Room, st.integers(1, 6), st.integers(1, 40))


@given(ROOMS, st.lists(st.integers(0, 40)))
def test_calls_keep_to_both_limits_in_order_and_hold_every_text_once(room: Room, sizes: list[int]) -> None:
    items = [Item(str(at), min(tokens, room.tokens)) for at, tokens in enumerate(sizes)]
    packer = Packer(room)
    calls = [full for item in items if (full := packer.add(item))]
    if packer:
        calls.append(packer.take())
    assert [item for call in calls for item in call] == items
    assert all(0 < len(call) <= room.inputs and sum(item.tokens for item in call) <= room.tokens for call in calls)
    assert [{item.parcel for item in call} for call in calls] == [{number} for number in range(1, len(calls) + 1)]
    for call, after in pairwise(calls):  # none leaves before the next text would not have fitted
        assert len(call) == room.inputs or sum(item.tokens for item in call) + after[0].tokens > room.tokens


async def embed(vendor: Vendor, texts: list[str]) -> list[Block]:
    return [block async for block in Embedder(vendor, choose()).stream(texts)]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 9_000),
    distinct=st.integers(1, 9_000),
    words=st.sampled_from([1, 3, 400]),
    bad=st.sets(st.integers(0, 9_000), max_size=3),
    held=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_a_stream_gives_each_text_its_vector_or_its_error_in_place(
    count: int, distinct: int, words: int, bad: set[int], held: float, seed: int
) -> None:
    chance = random.Random(seed)
    texts = [f"{chance.randrange(distinct)}{' word' * words}" for _ in range(count if words < 100 else count // 10)]
    refused = {f"{number}{' word' * words}" for number in bad}
    vendor = Vendor(bad_among(refused), chance)
    before = {text for text in set(texts) - refused if chance.random() < held}
    asyncio.run(embed(vendor, sorted(before)))
    vendor.sold.clear()

    blocks = asyncio.run(embed(vendor, texts))
    rows = [row for block in blocks for row in block.rows]
    assert rows == [None if text in refused else vector_of(text) for text in texts]
    assert [block.start for block in blocks] == list(range(0, len(texts), 2048))
    problems = {at for block in blocks for at in block.problems}
    assert problems == {at for at, text in enumerate(texts) if text in refused}
    bought = Counter(text for call in vendor.sold for text in call)
    assert bought == Counter(set(texts) - refused - before)
    assert vendor.most_under_way <= IN_FLIGHT
    assert sum(not answer.cached for block in blocks for answer in block.answers) == len(vendor.sold)
