import random

import pytest

from penstock.base.clock import ManualClock
from penstock.base.types import Usage
from penstock.sandbox.world import Fault, Latency, World


@pytest.fixture
def world():
    return World(ManualClock())


def test_a_fault_strikes_only_its_vendor_and_operation(world):
    world.faults.append(Fault(vendor="openai", operation="decisions"))
    assert world.take_fault("brevo", "decisions") is None
    assert world.take_fault("openai", "chat") is None
    assert world.take_fault("openai", "decisions") is not None


def test_a_fault_lets_the_first_calls_pass_and_stops_after_its_times(world):
    world.faults.append(Fault(after=2, times=3))
    struck = [world.take_fault("openai", "chat") is not None for _ in range(8)]
    assert struck == [False, False, True, True, True, False, False, False]


def test_a_spent_fault_makes_room_for_the_next(world):
    world.faults.extend([Fault(kind="drop", times=1), Fault(kind="slow")])
    kinds = [found.kind for _ in range(3) if (found := world.take_fault("brevo", "account"))]
    assert kinds == ["drop", "slow", "slow"]


def test_equal_seeds_give_equal_chances():
    def strikes(seed):
        world = World(ManualClock(), seed=seed, faults=[Fault(rate=0.3)])
        return [world.take_fault("openai", "chat") is not None for _ in range(200)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 30 < sum(strikes(1)) < 90


def test_the_drawn_latency_has_the_asked_mean():
    chance = random.Random(3)
    drawn = [Latency(0.3, 0.5).draw(chance) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(0.3, rel=0.03)
    assert Latency(0.3).draw(chance) == 0.3
    assert Latency().draw(chance) == 0.0


async def test_waiting_takes_the_vendors_own_latency():
    clock = ManualClock()
    world = World(clock, latency={"openai": Latency(2.0), "*": Latency(5.0)})
    await clock.run(world.wait("openai"))
    assert clock.monotonic() == 2.0
    await clock.run(world.wait("brevo"))
    assert clock.monotonic() == 7.0


def test_equal_bodies_billed_again_count_as_bought_twice(world):
    for body in (b"a", b"b", b"a", b"a"):
        world.bill("decisions", body, "gpt-6-luna", Usage(input=3), "call")
    assert world.bought_twice() == 2
    assert world.billed_calls["decisions"] == 4
    assert world.billed_usage["gpt-6-luna"] == Usage(input=12)
    assert b"a" not in [entry.body_hash for entry in world.billed]


def test_with_nothing_kept_the_counts_are_still_exact():
    world = World(ManualClock(), keep=0)
    for _ in range(5):
        world.bill("chat", b"x", "m", Usage(output=1))
        world.note("openai", "chat", 200)
        world.wrote("brevo", "contacts.create", "a@x.org", ("SCORE",))
    assert not world.billed
    assert not world.log
    assert not world.writes
    assert world.billed_calls["chat"] == world.calls["openai", "chat", 200] == 5
    assert world.written["brevo", "contacts.create"] == 5


def test_a_reset_world_starts_anew(world):
    first = world.rng.random()
    world.faults.append(Fault())
    world.bill("chat", b"x", "m", Usage())
    world.note("openai", "chat", 200)
    world.reset()
    assert not world.faults
    assert not world.billed
    assert not world.calls
    assert world.rng.random() == first
