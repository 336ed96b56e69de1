"""Processes killed at planned points of everything that is done with a Brevo account: all ends as if none had died."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from brevo_trial import BAD, GOOD, Trial

from forks import Children, serve_app
from penstock.sandbox.brevo_people import edit, opt_out

IMPORT_FLOW = {
    "name": "trial",
    "source": {"brevo": {}},
    "steps": [{"count-tokens": {"text": "${{ record.attributes.FEEDBACK }}", "method": "here"}, "as": "counted"}],
    "sink": {"brevo": {"match": "${{ record.email }}", "attributes": {"AI_TOKENS": "${{ counted.tokens }}"}}},
}
KILLS = {"contacts": 18, "imports": 13, "hearing": 13, "drafts": 13}
"""How many processes each part of a test kills at least."""
PARTS = range(1, 5)
"""Where the first process of a part is killed; the others are killed further on, step by step."""
LATER = 90_000.0


def test_the_planned_points_are_two_hundred_at_least():
    assert sum(KILLS.values()) * len(PARTS) >= 200


class Life:
    """One account in this process, and one process after the other that works on it."""

    def __init__(self, trial: Trial, children: Children) -> None:
        self.trial = trial
        self.killed = 0
        self._children = children

    async def order(self, action: str, point: int = 0) -> bool:
        """Do an action; tells whether the process came to its end."""
        clock = self.trial.clock
        clock.advance(1.0)
        await self._children.begin(f"{self.trial.folder} {action} {point} {clock.now()}")
        code = await self._children.ended()
        assert code in (0, -signal.SIGKILL), f"{action} at {point} ended with {code}"
        self.killed += code != 0
        return code == 0

    async def persist(self, action: str, first: int, step: int) -> int:
        """Do an action in processes, each killed a little later than the one before; returns how many were."""
        before, point = self.killed, first
        while not await self.order(action, point):
            point += step
        return self.killed - before


@asynccontextmanager
async def begin(folder: Path) -> AsyncIterator[Life]:
    trial = Trial(folder)

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        moment = float(dict(scope["headers"]).get(b"x-trial-time", b"0"))
        trial.clock.advance(max(0.0, moment - trial.clock.now()))
        path = scope["path"]

        async def dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(trial.clock.now(), usegmt=True).encode()
                message["headers"] = [*message["headers"], (b"date", date)]
            await send(message)

        for name, app in (("/brevo", trial.app), ("/openai", trial.openai)):
            if path.startswith(name):
                scope["path"] = path.removeprefix(name)
                await app(scope, receive, dated)

    async with serve_app(timed, has_date=False) as url:
        children = await Children.start(Path(__file__).parent / "brevo_mortal.py", url)
        try:
            yield Life(trial, children)
        finally:
            await children.close()


@pytest.mark.slow
@pytest.mark.parametrize("first", PARTS)
async def test_runs_that_are_killed_again_and_again_write_everything_once(tmp_path: Path, first: int) -> None:
    async with begin(tmp_path) as life:
        trial, count, version = life.trial, 6, 0
        for number in range(count):
            trial.state.add_contact(f"p{number}x@example.com", {"FEEDBACK": GOOD.format(f"p{number}x")})
        while life.killed < KILLS["contacts"]:
            version += 1
            await life.persist("run", first + version, 7)
            trial.check()
            assert not trial.state.repeats
            trial.clock.advance(LATER)
            for number, contact in enumerate(trial.state.by_creation):
                text = (BAD, GOOD)[(number + version) % 2].format(f"p{number}x {version}")
                edit(trial.state, contact, {"FEEDBACK": text})
        await life.order("run")
        trial.check()
        assert len(trial.state.events) == count * (version + 1)
        assert not trial.state.repeats


@pytest.mark.slow
@pytest.mark.parametrize("first", PARTS)
async def test_imports_that_are_cut_off_are_awaited_and_not_repeated(tmp_path: Path, first: int) -> None:
    async with begin(tmp_path) as life:
        trial, version = life.trial, 0
        trial.path.write_text(json.dumps(IMPORT_FLOW))
        for number in range(650):
            trial.state.add_contact(f"p{number}@example.com", {"FEEDBACK": "word " * (number % 50 + 1)})
        while life.killed < KILLS["imports"]:
            version += 1
            await life.persist("run", first + 2 * version, 9)
            held = [contact.attributes["AI_TOKENS"] for contact in trial.state.by_creation]
            assert len(set(held)) >= 20
            assert not trial.state.repeats
            assert len(trial.state.by_creation) == 650
            trial.clock.advance(LATER)
            for number, contact in enumerate(trial.state.by_creation):
                edit(trial.state, contact, {"FEEDBACK": "word " * (number % 50 + 2 + version)})
        await life.order("run")
        assert trial.world.written["brevo", "contacts.import"] <= (650 + 1) * (version + 1)
        assert not trial.state.repeats
        before = dict(trial.world.written)
        await life.order("run")
        assert dict(trial.world.written) == before


@pytest.mark.slow
@pytest.mark.parametrize("first", PARTS)
async def test_deliveries_that_are_cut_off_are_dealt_with_once(tmp_path: Path, first: int) -> None:
    async with begin(tmp_path) as life:
        trial, made = life.trial, 0
        await life.order("run")
        await trial.clock.run(trial.listen())
        while life.killed < KILLS["hearing"]:
            for _ in range(4):
                made += 1
                trial.state.add_contact(f"p{made}x@example.com", {"FEEDBACK": GOOD.format(f"p{made}x")})
            await life.order("hear" if (tmp_path / "letters.json").exists() else "run")
            people = trial.state.by_creation[-4:]
            opt_out(trial.state, people[0])
            trial.refusing[people[0].email] = people[0].id
            edit(trial.state, people[1], {"FIRSTNAME": "Ann"})
            trial.gone.add(people[2].email)
            trial.state.remove(people[2])
            await trial.clock.run(trial.settle())
            letters = [(kind, b64encode(body).decode()) for kind, body in trial.letters]
            (tmp_path / "letters.json").write_text(json.dumps(letters))
            await life.persist("hear", first, 5)
            async with trial.hear() as ear:
                assert set(await ear.barred(*trial.refusing)) == set(trial.refusing)
                assert set((await ear.barred(*trial.gone)).values()) == {"forgotten"}
                assert {state for (_, state), count in (await ear.inbox.counts()).items() if count} == {"done"}
        await life.order("run")
        trial.check()


@pytest.mark.slow
@pytest.mark.parametrize("first", PARTS)
async def test_drafts_that_are_cut_off_are_one_draft(tmp_path: Path, first: int) -> None:
    async with begin(tmp_path) as life:
        trial, version = life.trial, 0
        for number in range(3):
            trial.state.add_contact(f"p{number}@example.com", {"FIRSTNAME": "Ann"}, lists=[trial.news])
        while life.killed < KILLS["drafts"]:
            version += 1
            (tmp_path / "subject").write_text(f"Winter {version}")
            await life.persist("draft", first, 2)
            (one,) = trial.state.campaigns.values()
            assert one.fields["subject"] == f"Winter {version}"
        assert [write.operation for write in trial.world.writes].count("campaigns.create") == 1
