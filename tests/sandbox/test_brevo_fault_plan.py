"""A fifth of all calls to Brevo fails in each documented way while a flow runs: nothing is lost, nothing doubled."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from brevo_trial import BAD, GOOD, Trial

from penstock.base.errors import PenstockError
from penstock.sandbox.brevo_people import edit
from penstock.sandbox.world import Fault

REFUSALS = (400, 401, 402, 403, 404, 405, 406, 409, 415, 422, 424)
TROUBLES = (408, 500, 502, 503, 504)
WAYS = [
    *(Fault(kind="status", status=status) for status in (*REFUSALS, *TROUBLES)),
    Fault(kind="status", status=425, code="account_in_process"),
    Fault(kind="status", status=429, seconds=2),
    Fault(kind="status", status=429, seconds=40_000),  # milliseconds that call themselves seconds
    Fault(kind="status", status=200),  # an error in a success
    Fault(kind="lost"),
    Fault(kind="lost", status=500),
    Fault(kind="drop"),
    Fault(kind="malformed"),
    Fault(kind="html"),
    Fault(kind="slow", seconds=20),
]
PEOPLE, COMMANDS = 12, 5


async def live(trial: Trial, fault: Fault) -> None:
    """Run the flow on people who change, with faults and in the end without."""
    for number in range(PEOPLE):
        email, lists = f"p{number}x@example.com", [trial.news] if number % 2 else []
        text = (BAD, GOOD)[number % 2].format(f"p{number}x")
        contact = trial.state.add_contact(email, {"FEEDBACK": text}, lists=lists, email_blacklisted=number == 7)
        if contact.email_blacklisted:
            trial.refusing[email] = contact.id
    trial.world.faults.append(msgspec.structs.replace(fault, vendor="brevo", rate=0.2))
    for version in range(COMMANDS):
        with suppress(PenstockError):  # it could not even begin
            await trial.run()
        await trial.clock.sleep(90_000)
        for contact in trial.state.by_creation[version::4]:
            name = contact.email.partition("@")[0]
            edit(trial.state, contact, {"FEEDBACK": (GOOD, BAD)[version % 2].format(f"{name} {version}")})
    await trial.settle_down()


@pytest.mark.slow
@pytest.mark.parametrize("fault", WAYS, ids=lambda fault: f"{fault.kind}-{fault.status or ''}-{fault.seconds:.0f}")
async def test_a_flow_comes_to_the_same_end_in_whatever_way_a_fifth_of_its_calls_fails(
    tmp_path: Path, fault: Fault
) -> None:
    trial = Trial(tmp_path)
    await trial.clock.run(live(trial, fault))
    trial.check()
    assert {contact.email for contact in trial.state.by_creation if trial.news in contact.lists} == {
        f"p{number}x@example.com" for number in range(1, PEOPLE, 2)
    }
