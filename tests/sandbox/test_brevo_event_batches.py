"""Many events at once: a partial success is told event by event, and nothing is sent twice."""

from __future__ import annotations

import pytest
from brevo_desk import Desk

from penstock.base.types import Change
from penstock.data.brevo_events import _cut, _read_failed

MANY = 700  # more than a minute of single events at ten a second


def many(desk: Desk) -> list[Change]:
    return [
        Change(f"e{number}", "event", {"email": email}, {"name": "judged", "properties": {"number": number}})
        for number, email in enumerate(desk.add_people(MANY))
    ]


async def deliver(desk: Desk, changes: list[Change]) -> None:
    """Write, and look up what nobody knows, until all is confirmed."""
    sink = desk.sink()
    for _ in range(9):
        outcomes = await sink.write(changes)
        unknown = [change for change, one in zip(changes, outcomes, strict=True) if one.state == "unknown"]
        changes = [change for change, one in zip(changes, outcomes, strict=True) if one.state == "later"]
        found = await sink.find(unknown)
        changes += [change for change, one in zip(unknown, found, strict=True) if one.state == "later"]
        assert {one.state for one in [*outcomes, *found]} <= {"confirmed", "later", "unknown"}
        if not changes:
            return
    raise AssertionError("still not done")


def numbers(desk: Desk) -> list[int]:
    return sorted(one.properties["number"] for one in desk.state.events)


async def test_many_events_go_in_one_call():
    desk = Desk()
    await desk.clock.run(deliver(desk, many(desk)))
    assert numbers(desk) == list(range(MANY))
    assert (desk.count("events.batch", 202), desk.count("events.create")) == (1, 0)


async def test_events_that_a_batch_leaves_out_are_sent_by_themselves():
    desk = Desk()
    desk.fault("events.batch", "status", status=207, times=1)
    await desk.clock.run(deliver(desk, many(desk)))
    assert numbers(desk) == list(range(MANY))
    assert (desk.count("events.batch", 207), desk.count("events.create", 204)) == (1, MANY // 2)


@pytest.mark.parametrize("kind", ["lost", "drop", "html", "malformed"])
async def test_a_batch_without_an_answer_is_looked_up_before_it_is_sent_again(kind):
    desk = Desk()
    desk.fault("events.batch", kind, times=2)
    await desk.clock.run(deliver(desk, many(desk)))
    assert numbers(desk) == list(range(MANY))


@pytest.mark.parametrize("status", [400, 503])
async def test_when_batches_are_down_events_are_sent_by_themselves(status):
    desk = Desk()
    desk.fault("events.batch", "status", status=status)
    await desk.clock.run(deliver(desk, many(desk)))
    assert numbers(desk) == list(range(MANY))


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"errors": "many"},
        {"errors": [{"message": "no"}], "failed_events": 1},
        {"errors": [{"eventIndex": [9], "message": "no"}], "failed_events": 1},
        {"errors": [{"eventIndex": [1], "message": "no"}], "failed_events": 2},
    ],
)
def test_a_partial_success_that_does_not_add_up_tells_nothing(content):
    assert _read_failed(content, 3) is None


def test_a_partial_success_names_what_failed():
    content = {
        "errors": [{"eventIndex": [0, 2], "message": "a"}, {"eventIndex": [1], "message": "b"}],
        "failed_events": 3,
    }
    assert _read_failed(content, 5) == {0, 1, 2}


def test_batches_are_cut_by_number_and_size():
    small = [(number, {"event_name": "x"}) for number in range(2500)]
    assert [len(batch) for batch in _cut(small)] == [1000, 1000, 500]
    large = [(number, {"event_properties": {"text": "x" * 1_500_000}}) for number in range(5)]
    assert [len(batch) for batch in _cut(large)] == [2, 2, 1]
