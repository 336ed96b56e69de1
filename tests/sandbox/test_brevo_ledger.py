"""The effect ledger against a Brevo that fails and processes that die: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from brevo_ledger import FIELDS, KilledError, Ledgered

from penstock.flows.delivery import KINDS
from penstock.sandbox.brevo_people import opt_out
from penstock.sandbox.world import Fault

EVERY_WAY = [
    Fault(kind="status", status=500),
    Fault(kind="status", status=503),
    Fault(kind="status", status=408),
    Fault(kind="status", status=425, code="account_in_process"),
    Fault(kind="status", status=429, seconds=2),
    Fault(kind="status", status=200),
    Fault(kind="status", status=207, operation="events.batch"),
    Fault(kind="lost"),
    Fault(kind="lost", status=500),
    Fault(kind="drop"),
    Fault(kind="malformed"),
    Fault(kind="html"),
]
FEW, MANY = 60, 700
"""Contacts that are written singly, and by import."""


@pytest.mark.parametrize("people", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", EVERY_WAY, ids=lambda fault: f"{fault.kind}-{fault.status or ''}")
async def test_with_a_fifth_of_all_calls_failing_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, fault: Fault, people: int
) -> None:
    account = Ledgered(tmp_path, people)
    await account.set_up()
    account.desk.world.faults.append(msgspec.structs.replace(fault, vendor="brevo", rate=0.2))
    await account.plan(0)
    await account.persist()
    account.check([0])
    await account.plan(1)
    await account.persist()
    account.check([0, 1])
    account.desk.world.faults.clear()
    before = dict(account.desk.world.written)
    await account.plan(1)
    await account.persist()
    assert dict(account.desk.world.written) == before
    await account.store.close()


async def live_once(
    folder: Path, people: int, kinds: Sequence[str], versions: Sequence[int], kill_at: tuple[int, str] | None
) -> Ledgered:
    """Write everything in one version after the other, with a process that dies at one request of the last."""
    account = Ledgered(folder, people, kinds, limited=False)
    await account.set_up()
    for version in versions[:-1]:
        await account.plan(version)
        await account.deliver()
    await account.plan(versions[-1])
    account.killer.requests = 0
    account.killer.names.clear()
    account.killer.kill_at = kill_at
    try:
        await account.deliver()
    except KilledError:
        await account.die()
        await account.open()
        await account.deliver()
    return account


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("people", "kinds", "versions", "part"),
    [
        *((12, KINDS, [0, 1], part) for part in range(4)),  # singly, with people who change their lists
        *((MANY, ("attributes", "list"), [1], part) for part in range(4)),  # by import
    ],
)
async def test_a_process_may_die_at_any_request(
    tmp_path: Path, people: int, kinds: Sequence[str], versions: list[int], part: int, moment: str
) -> None:
    whole = await live_once(tmp_path, people, kinds, versions, None)
    whole.check(versions)
    await whole.store.close()
    points = len(whole.killer.names)
    assert points >= 16
    for number in range(1 + part, points + 1, 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        account = await live_once(folder, people, kinds, versions, (number, moment))
        assert account.killer.requests, "the process died and another one went on"
        account.check(versions)
        await account.store.close()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 18))
async def test_a_process_may_die_while_it_makes_attributes_and_lists(tmp_path: Path, number: int, moment: str) -> None:
    account = Ledgered(tmp_path, 1)
    await account.open()
    account.killer.kill_at = (number, moment)
    try:
        await account.desk.clock.run(account.sink.create_missing(FIELDS))
    except KilledError:
        await account.die()
        await account.set_up()
    state = account.desk.state
    assert sorted(one.name for one in state.lists.values()) == ["Risk: high", "Risk: low", "Unhappy"]
    assert list(state.folders.values()).count("Penstock") == 1
    assert set(FIELDS) <= set(state.attributes)
    assert {finding.verdict for finding in await account.desk.clock.run(account.sink.check(FIELDS))} == {"ok"}
    await account.store.close()


async def test_who_leaves_while_writes_go_on_is_overtaken_by_none_of_them(tmp_path: Path) -> None:
    account = Ledgered(tmp_path, 200, ("attributes", "event"))
    account.desk.limits.scale = 0.01  # one call a second: the delivery takes minutes
    await account.set_up()
    await account.plan(0)
    leaver = max(account.desk.state.by_creation, key=lambda contact: contact.email)  # the last of all

    async def leave() -> None:
        await account.desk.clock.sleep(60)
        opt_out(account.desk.state, leaver)

    async def work() -> None:
        left = asyncio.create_task(leave())
        await account.delivery.deliver(asyncio.Event())
        await left

    await account.desk.clock.run(work())
    assert leaver.email_blacklisted
    assert "SENTIMENT_SCORE" not in leaver.attributes
    assert leaver.id not in {one.contact for one in account.desk.state.events}
    assert sum("SENTIMENT_SCORE" in one.attributes for one in account.desk.state.by_creation) == 199
    await account.store.close()
