"""From a brief to readers and back: texts, picture, drafts, sending, results, and what they teach the next brief."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forks import Children, serve_app
from penstock.base.clock import ManualClock, SystemClock
from penstock.base.errors import FixError
from penstock.campaigns.desk import open_campaigns
from penstock.content import Content
from penstock.data.brevo_campaign_file import read_campaign
from penstock.features.writing.files import read_brief
from penstock.features.writing.layout import render
from penstock.features.writing.pieces import decide_piece, digest_of, list_pieces
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.server import build_app
from penstock.sandbox.world import World
from penstock.workspace import Workspace

for needed in ("PIL", "mrml", "css_inline", "py3langid", "pyphen"):
    pytest.importorskip(needed)

BRIEF = Path(__file__).parents[2] / "examples" / "visuals" / "brief.yaml"
PEOPLE = 3_000
HOUR = 3600.0


class Shop:
    """A workspace with the vendors in this process, and everybody on the list of the brief."""

    def __init__(self, workspace: Workspace, folder: Path, desk: Any) -> None:
        self.workspace = workspace
        self.folder = folder
        self.desk = desk
        self.content = Content(workspace.operations, workspace.store, workspace.clock)
        self.account = workspace.vendors.account
        self.world = workspace.vendors.world

    async def draft(self, language: str) -> Any:
        return await self.desk.draft(read_campaign(self.folder / f"campaign-{language}.yaml", render))

    async def send(self, name: str) -> None:
        review = await self.desk.approve(name, "ann")
        count = review.recipients.reached
        await self.desk.send(name, confirm_id=review.number, confirm_recipients=count)


@asynccontextmanager
async def open_shop(folder: Path, clock: ManualClock, people: int = 20) -> AsyncIterator[Shop]:
    async with Workspace.open(folder, overrides={"sandbox": True}, environ={}, clock=clock) as workspace:
        desk = await open_campaigns(workspace.store, workspace.clock, workspace.vendors)
        shop = Shop(workspace, folder, desk)
        shop.account.account.credits = 10_000
        news = shop.account.add_list("Newsletter")
        for number in range(people):
            shop.account.add_contact(f"p{number}@example.com", {"FIRSTNAME": f"P{number}"}, lists=[news.id])
        yield shop


async def in_shop(folder: Path, work: Any, people: int = 20) -> None:
    clock = ManualClock()

    async def all_of_it() -> None:
        async with open_shop(folder, clock, people) as shop:
            await work(shop)

    await clock.run(all_of_it())


async def test_a_brief_becomes_mails_with_a_picture_and_its_results_teach_the_next_one(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        brief = read_brief(BRIEF)
        costs = shop.content.estimate(brief)
        assert costs.likely is not None
        assert costs.most is not None
        written = await shop.content.write(brief, folder=tmp_path)
        assert written.output["evidence"] == []
        assert 0 < (written.cost_dollars or 0) <= costs.most

        for number, language in enumerate(("en", "de"), 1):
            drafted = await shop.draft(language)
            assert drafted.done == "made"
            one = shop.account.campaigns[drafted.number]
            texts = [two["subject"] for two in written.output["variants"] if two["language"] == language]
            assert [one.fields["subjectA"], one.fields["subjectB"]] == texts
            (image,) = re.findall(r"<img [^>]*>", one.html)
            assert written.output["visuals"][0]["alt"][language] in image
            assert "/sandbox-images/" in image
            assert number == drafted.number
        assert len(shop.account.images) == 1  # both mails hold the same picture

        name = "sandals-en"
        (found,) = [one for one in (await shop.desk.show(name)).findings if one.name == "content"]
        assert (found.verdict, found.message) == ("warn", "4 of 4 pieces wait for approval (email, subject, visual)")
        with pytest.raises(FixError) as caught:
            await shop.desk.send(name, confirm_id=1, confirm_recipients=PEOPLE)
        assert caught.value.code == "campaign.not-approved"
        for name in ("sandals-en", "sandals-de"):
            await shop.send(name)
        assert {one.state for one in await list_pieces(shop.workspace.store, "approved")} == {"approved"}

        await shop.workspace.clock.sleep(30 * HOUR)
        for name in ("sandals-en", "sandals-de"):
            results = await shop.desk.results(name)
            assert [one.version for one in results.versions] == ["", "A", "B"]

        again = msgspec.json.decode(msgspec.json.encode(brief.values))
        again |= {"offer": "Autumn boots are here.", "facts": [], "languages": ["en"]}
        evidence = await shop.content.weigh(brief)
        assert {said.partition(":")[0] for said in evidence.says[:2]} == {"benefit", "curiosity"}
        later = await shop.content.write(brief._replace(values=again, visual={}))
        assert later.output["evidence"] == evidence.says
        assert later.output["variants"][0]["angle"] == evidence.angles[0]

    await in_shop(tmp_path, work, PEOPLE)


async def test_a_few_readers_are_no_evidence(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        brief = read_brief(BRIEF)._replace(visual={})
        await shop.content.write(brief, folder=tmp_path)
        await shop.draft("en")
        await shop.send("sandals-en")
        await shop.workspace.clock.sleep(30 * HOUR)
        await shop.desk.results("sandals-en")
        assert await shop.content.weigh(brief) == ([], [])

    await in_shop(tmp_path, work)


async def test_a_rejected_piece_keeps_its_campaign_back_until_somebody_changes_their_mind(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        store, clock = shop.workspace.store, shop.workspace.clock
        await shop.content.write(read_brief(BRIEF), folder=tmp_path)
        picture = digest_of((tmp_path / "visual-1.jpg").read_bytes())
        await decide_piece(store, clock, picture, "rejected", "ann", "too dull")
        drafted = await shop.draft("en")
        assert drafted.done == "failed"
        (found,) = [one for one in drafted.findings if one.name == "content"]
        assert "too dull" in found.message
        assert not shop.account.campaigns
        await decide_piece(store, clock, picture[:8], "approved", "bob")
        assert (await shop.draft("en")).done == "made"
        await shop.desk.approve("sandals-en", "ann")
        await decide_piece(store, clock, picture, "rejected", "ann", "after all")
        with pytest.raises(FixError) as caught:
            await shop.desk.send("sandals-en", confirm_id=1, confirm_recipients=20)
        assert caught.value.code == "campaign.checks-failed"

    await in_shop(tmp_path, work)


async def test_the_same_brief_again_buys_hosts_and_drafts_nothing_more(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        brief = read_brief(BRIEF)
        await shop.content.write(brief, folder=tmp_path)
        await shop.draft("de")
        billed = dict(shop.world.billed_calls)
        again = await shop.content.write(brief, folder=tmp_path)
        assert (again.cost_dollars, again.cached) == (0.0, True)
        assert (await shop.draft("de")).done == "unchanged"
        assert dict(shop.world.billed_calls) == billed
        assert (len(shop.account.images), len(shop.account.campaigns)) == (1, 1)

    await in_shop(tmp_path, work)


class Deadly:
    """Kills the process that it serves at the request of a number, before that is worked on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._is_aimed = asyncio.Event()
        self._victim, self._left = 0, 0

    def hold(self) -> None:
        """Answer nothing until it is aimed."""
        self._is_aimed.clear()

    def aim(self, victim: int, left: int | None) -> None:
        """Kill the process after so many requests; None for never."""
        self._victim, self._left = (victim, left) if left is not None else (0, 0)
        self._is_aimed.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._is_aimed.wait()
        self._left -= 1
        if self._left < 0 and self._victim:
            os.kill(self._victim, signal.SIGKILL)
            self._victim = 0
            return
        await self._app(scope, receive, send)


class Served:
    """The vendors behind an address, and processes that can be killed while they use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(SystemClock())
        self.board = build_app(self.world, openai=build_openai_app(self.world, tier="Grow"), brevo_scale=1000)
        self.door = Deadly(self.board)
        self.account = self.board._brevo.state
        news = self.account.add_list("Newsletter")
        self.account.add_contact("p@example.com", {"FIRSTNAME": "P"}, lists=[news.id])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with serve_app(self.door) as url:
            self._children = await Children.start(Path(__file__).parent / "content_child.py", url)
            try:
                yield
            finally:
                await self._children.close()

    async def do(self, action: str, *, until: int | None = None) -> int:
        """Let a process do it, killed at its request of this number; returns its exit code."""
        self.door.hold()
        self.door.aim(await self._children.begin(f"{self.folder} {BRIEF} {action}"), until)
        return await self._children.ended()

    async def kill_at_each(self, action: str) -> int:
        """Start an action again and again, killed at its first request, its second, …, until it ends; count those."""
        kills = 0
        while (code := await self.do(action, until=kills)) == -signal.SIGKILL and kills < 100:
            kills += 1
        assert code == 0
        return kills


@pytest.mark.slow
async def test_a_writer_killed_at_every_request_buys_everything_once(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with served.open():
        assert await served.kill_at_each("write") >= 4
    assert served.world.billed_calls["images.generate"] == 1
    assert served.world.bought_twice() == 0
    assert len(list(tmp_path.glob("campaign-*.yaml"))) == 2  # noqa: ASYNC240 - a folder on this machine


@pytest.mark.slow
async def test_a_desk_killed_at_every_request_hosts_and_drafts_once(tmp_path: Path) -> None:
    served = Served(tmp_path)
    async with served.open():
        assert await served.do("write") == 0
        assert await served.kill_at_each("en") >= 6
        assert await served.do("de") == 0
    assert served.world.written["brevo", "images.upload"] == 1
    assert served.world.written["brevo", "campaigns.create"] == 2
    drafts = served.account.campaigns.values()
    assert sorted(one.fields["name"] for one in drafts) == ["sandals-de", "sandals-en"]
    assert served.world.billed_calls["images.generate"] == 1
