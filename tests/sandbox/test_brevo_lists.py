"""Lists of the connector's own: made once, kept in step, and nobody else's touched."""

from __future__ import annotations

from contextlib import suppress

import pytest
from brevo_desk import Desk

from penstock.base.errors import UnavailableError
from penstock.base.types import Change

HAPPY, BAND = {"Happy": ()}, {"Risk": ("low", "high")}


def move(email: str, member, *, name: str = "Happy", match=None) -> Change:
    return Change(f"{name}-{email}-{member}", "list", match or {"email": email}, {"list": name, "member": member})


def act(desk: Desk, changes, lists=HAPPY, **options):
    return desk.clock.run(desk.sink(lists=lists, **options).write(changes))


def look(desk: Desk, changes, lists=HAPPY, **options):
    return desk.clock.run(desk.sink(lists=lists, **options).find(changes))


async def opened(lists=HAPPY, people: int = 10) -> tuple[Desk, list[str]]:
    desk = Desk()
    emails = desk.add_people(people)
    await desk.clock.run(desk.sink(lists=lists).create_missing({}))
    return desk, emails


def members(desk: Desk, name: str = "Happy") -> set[str]:
    number = next(one.id for one in desk.state.lists.values() if one.name == name)
    return {contact.email for contact in desk.state.by_creation if number in contact.lists}


def states(outcomes):
    return [outcome.state for outcome in outcomes]


async def test_lists_are_made_once_in_a_folder_of_our_own():
    desk, _ = await opened({"Happy": (), "Risk": ("low", "high")})
    assert [one.name for one in desk.state.lists.values()] == ["Happy", "Risk: low", "Risk: high"]
    folders = {one.folder for one in desk.state.lists.values()}
    assert [desk.state.folders[number] for number in folders] == ["Penstock"]
    assert await desk.clock.run(desk.sink(lists=HAPPY).create_missing({})) == []
    assert desk.count("lists.create", 201) == 3


async def test_members_are_added_and_removed_up_to_150_at_a_time():
    desk, emails = await opened(people=310)
    assert set(states(await act(desk, [move(email, True) for email in emails]))) == {"confirmed"}
    assert members(desk) == set(emails)
    assert desk.count("lists.add") == 3
    assert set(states(await act(desk, [move(email, False) for email in emails[:200]]))) == {"confirmed"}
    assert members(desk) == set(emails[200:])
    assert desk.count("lists.remove") == 2


async def test_moving_who_is_there_already_changes_nothing_and_is_confirmed():
    desk, emails = await opened()
    for _ in range(2):
        assert set(states(await act(desk, [move(email, True) for email in emails]))) == {"confirmed"}
    for _ in range(2):
        assert set(states(await act(desk, [move(emails[0], False)]))) == {"confirmed"}
    assert members(desk) == set(emails[1:])


async def test_a_contact_that_is_not_there_is_refused_alone():
    desk, emails = await opened()
    outcomes = await act(desk, [move(email, True) for email in [*emails, "ghost@example.com"]])
    assert states(outcomes) == ["confirmed"] * 10 + ["rejected"]
    assert outcomes[-1].problem.code == "brevo.no-such-contact"
    outcomes = await act(desk, [move("ghost@example.com", True)])
    assert states(outcomes) == ["rejected"]
    assert states(await act(desk, [move("ghost@example.com", False)])) == ["confirmed"]
    assert len(desk.state.contacts) == 10


async def test_a_contact_is_created_on_the_list_where_that_is_wished():
    desk, emails = await opened()
    assert states(await act(desk, [move("new@example.com", True), move(emails[0], True)], create_contacts=True)) == [
        "confirmed", "confirmed",
    ]  # fmt: skip
    assert members(desk) == {"new@example.com", emails[0]}


async def test_contacts_are_moved_by_every_identifier():
    desk, _ = await opened()
    contact = desk.state.add_contact("ada@example.com", ext_id="crm-7")
    other = desk.state.add_contact("eve@example.com")
    changes = [move("", True, match={"ext_id": "crm-7"}), move("", True, match={"id": other.id})]
    assert states(await act(desk, changes)) == ["confirmed", "confirmed"]
    assert members(desk) == {"ada@example.com", "eve@example.com"}
    assert states(await look(desk, changes)) == ["confirmed", "confirmed"]
    desk.state.leave(contact, contact.lists[0])
    assert states(await look(desk, changes)) == ["later", "confirmed"]


async def test_a_contact_is_on_one_list_of_a_family():
    desk, emails = await opened(BAND)
    await act(desk, [move(email, "low", name="Risk") for email in emails], BAND)
    moved = [move(emails[0], "high", name="Risk"), move(emails[1], None, name="Risk")]
    assert states(await act(desk, moved, BAND)) == ["confirmed", "confirmed"]
    assert members(desk, "Risk: high") == {emails[0]}
    assert members(desk, "Risk: low") == set(emails[2:])
    assert states(await look(desk, moved, BAND)) == ["confirmed", "confirmed"]


async def test_a_list_of_somebody_else_is_never_used():
    desk = Desk()
    desk.add_people(3)
    foreign = desk.state.add_list("Happy", 1)
    (finding,) = await desk.clock.run(desk.sink(lists=HAPPY).check({}))
    assert (finding.verdict, finding.fix.startswith("Add --apply-schema")) == ("fail", True)
    assert states(await act(desk, [move("person0@example.com", True)])) == ["rejected"]
    await desk.clock.run(desk.sink(lists=HAPPY).create_missing({}))
    await act(desk, [move("person0@example.com", True)])
    assert foreign.members == set()


async def test_a_list_in_our_folder_that_others_filled_is_left_alone():
    desk = Desk()
    folder = desk.state.add_folder("Penstock")
    filled = desk.state.add_list("Happy", folder)
    desk.state.join(desk.state.add_contact("own@example.com"), filled.id)
    sink = desk.sink(lists=HAPPY)
    (finding,) = await desk.clock.run(sink.check({}))
    assert "did not put there" in finding.message
    assert await desk.clock.run(sink.create_missing({})) == []
    assert states(await desk.clock.run(sink.write([move("own@example.com", False)]))) == ["rejected"]
    assert filled.members


async def test_a_list_that_was_deleted_says_so_and_refuses():
    desk, emails = await opened()
    await act(desk, [move(emails[0], True)])
    desk.state.drop_list(next(iter(desk.state.lists)))
    (finding,) = await desk.clock.run(desk.sink(lists=HAPPY).check({}))
    assert (finding.verdict, "was deleted" in finding.message) == ("fail", True)
    (outcome,) = await act(desk, [move(emails[1], True)])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.no-such-list")


@pytest.mark.parametrize("operation", ["lists.add", "lists.remove"])
@pytest.mark.parametrize("kind", ["lost", "html", "drop", "malformed"])
async def test_a_move_whose_answer_is_lost_is_confirmed_in_the_end(operation, kind):
    desk, emails = await opened()
    await act(desk, [move(email, True) for email in emails[:5]])
    desk.fault(operation, kind, times=1)
    changes = [move(email, number >= 5) for number, email in enumerate(emails)]
    assert set(states(await act(desk, changes))) == {"confirmed"}
    assert members(desk) == set(emails[5:])


async def test_lists_that_are_down_hold_up_what_belongs_to_them():
    desk, emails = await opened(people=1000)
    desk.fault("lists.add", "status", status=503)
    outcomes = await act(desk, [move(email, True) for email in emails])
    assert set(states(outcomes)) <= {"later", "unknown"}
    assert desk.count("lists.add") <= 42
    desk.world.faults.clear()
    assert set(states(await look(desk, [move(email, True) for email in emails]))) == {"later"}


async def test_a_creation_of_a_list_whose_answer_is_lost_makes_no_second_one():
    desk = Desk()
    desk.fault("lists.create", "lost", times=1)
    desk.fault("folders.create", "lost", times=1)
    for _ in range(3):
        with suppress(UnavailableError):  # the run stops, and the next one looks first
            await desk.clock.run(desk.sink(lists=HAPPY).create_missing({}))
    assert [one.name for one in desk.state.lists.values()] == ["Happy"]
    assert list(desk.state.folders.values()).count("Penstock") == 1
