"""One bad event never costs the others, and finding it costs few requests."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events.entries import Item, Settled
from penstock.events.isolation import Left, isolate
from penstock.vendor.conversions import Kind, Pointer, Verdict


def verdict(kind: Kind, pointers: Sequence[Pointer] = ()) -> Verdict:
    return Verdict(kind, 0, {}, b"", None, "code", "said", tuple(pointers), None, None)


class Api:
    """Refuses every request with a bad event in it; `shown` is how many of them it names."""

    def __init__(self, bad: set[int], shown: int = 0, breaks_after: int | None = None) -> None:
        self.bad, self.shown, self.breaks_after = bad, shown, breaks_after
        self.calls = 0
        self.states: dict[int, str] = {}
        self.ends: list[bool] = []

    async def send(self, items: Sequence[Item]) -> Verdict:
        self.calls += 1
        if self.breaks_after is not None and self.calls > self.breaks_after:
            return verdict("unavailable")
        found = [index for index, item in enumerate(items) if item.number in self.bad]
        if not found:
            return verdict("accepted")
        return verdict("rejected", [Pointer(index, "data.type", "bad", "no") for index in found[: self.shown]])

    def accept(self, items: Sequence[Item], _verdict: Verdict) -> list[Settled]:
        return [Settled([item.number for item in items], "delivered")]

    async def keep(self, _verdict: Verdict, _items: object, settled: Sequence[Settled], is_last: bool) -> None:
        self.ends.append(is_last)
        for one in settled:
            for number in one.numbers:
                assert number not in self.states, "an event has two outcomes"
                self.states[number] = one.state

    async def run(self, count: int) -> Left | None:
        return await isolate([Item(number, b"{}") for number in range(count)], self.send, self.accept, self.keep)


@pytest.mark.parametrize("place", [0, 1, 499, 500, 998, 999])
async def test_one_bad_event_in_a_thousand_costs_two_requests_when_it_is_named(place: int) -> None:
    api = Api({place}, shown=1000)
    assert await api.run(1000) is None
    assert api.calls == 2
    assert api.states == {number: "rejected" if number == place else "delivered" for number in range(1000)}


async def test_one_bad_event_in_a_thousand_costs_about_two_requests_per_halving_when_it_is_not_named() -> None:
    calls = []
    for place in range(1000):
        api = Api({place})
        assert await api.run(1000) is None
        assert [number for number, state in api.states.items() if state == "rejected"] == [place]
        assert len(api.states) == 1000
        calls.append(api.calls)
    assert max(calls) <= 2 * ceil(log2(1000)) + 1
    assert sum(calls) / 1000 <= 1.7 * ceil(log2(1000))


async def test_when_only_the_first_is_named_each_bad_event_costs_one_more_request() -> None:
    api = Api({3, 500, 999}, shown=1)
    await api.run(1000)
    assert api.calls == 4


async def test_a_batch_without_a_good_event_ends_too() -> None:
    api = Api(set(range(8)))
    await api.run(8)
    assert set(api.states.values()) == {"rejected"}


@given(st.sets(st.integers(0, 39), max_size=40), st.integers(1, 40), st.integers(0, 3))
async def test_every_event_has_the_outcome_that_it_deserves(bad: set[int], count: int, shown: int) -> None:
    api = Api(bad, shown)
    assert await api.run(count) is None
    assert api.states == {number: "rejected" if number in bad else "delivered" for number in range(count)}
    assert api.ends == [False] * (len(api.ends) - 1) + [True]


@given(st.sets(st.integers(0, 39), max_size=40), st.integers(1, 40), st.integers(0, 3), st.integers(0, 30))
async def test_when_the_api_breaks_down_what_has_no_outcome_is_handed_back(
    bad: set[int], count: int, shown: int, breaks_after: int
) -> None:
    api = Api(bad, shown, breaks_after)
    left = await api.run(count)
    numbers = [item.number for item in left.items] if left is not None else []
    assert sorted([*numbers, *api.states]) == list(range(count))
    assert all(state == ("rejected" if number in bad else "delivered") for number, state in api.states.items())
