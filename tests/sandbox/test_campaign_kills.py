"""Processes that draft and send end in the middle: one draft, one sending, and nobody's edit lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from campaign_child import KILLED
from test_campaign_gallery import picture

from forks import Children, serve_app
from penstock.base.clock import SystemClock
from penstock.sandbox.brevo import build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.world import World

Point = tuple[str, str]
NEVER = ("none", "never")
DRAFT_POINTS = [
    ("lists.list", "after"),
    ("senders.list", "after"),
    ("images.upload", "before"),
    ("images.upload", "after"),
    ("campaigns.list", "after"),
    ("campaigns.create", "before"),
    ("campaigns.create", "after"),
    ("campaigns.get", "before"),
    ("campaigns.get", "after"),
]
UPDATE_POINTS = [
    ("campaigns.get", "after"),
    ("campaigns.update", "before"),
    ("campaigns.update", "after"),
]
SEND_POINTS = [("campaigns.send", "before"), ("campaigns.send", "after"), ("campaigns.get", "after")]


class Account:
    """An account of its own for one point, in a folder of its own."""

    def __init__(self, folder: Path, children: Children) -> None:
        folder.mkdir()
        self.folder = folder
        self.app = build_brevo_app(World(SystemClock()), limits=BrevoLimits(enabled=False))
        self.state = self.app.state
        self._children = children
        news = self.state.add_list("News")
        for number in range(10):
            self.state.add_contact(f"p{number}@example.com", {"FIRSTNAME": f"P{number}"}, lists=[news.id])
        content = picture()
        (folder / "hero.png").write_bytes(content)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        self.state.hosted[f"https://pictures.example/{digest}.png"] = content

    async def run(self, *order: str) -> int:
        await self._children.begin(" ".join((str(self.folder), *order)))
        return await self._children.ended()

    def writes(self, operation: str) -> int:
        return [write.operation for write in self.app.world.writes].count(operation)


@asynccontextmanager
async def open_points(folder: Path, points: Sequence[Point]) -> AsyncIterator[Iterator[tuple[Account, Point]]]:
    """Serve one account after the other at one address, to processes that are forked from one."""
    accounts: list[Account] = []

    async def newest(scope: Any, receive: Any, send: Any) -> None:
        await accounts[-1].app(scope, receive, send)

    def walk(children: Children) -> Iterator[tuple[Account, Point]]:
        for number, point in enumerate(points):
            accounts.append(Account(folder / str(number), children))
            yield accounts[-1], point

    async with serve_app(newest) as url:
        children = await Children.start(Path(__file__).parent / "campaign_child.py", url)
        try:
            yield walk(children)
        finally:
            await children.close()


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [DRAFT_POINTS[:5], DRAFT_POINTS[5:]], ids=["before the draft", "at the draft"])
async def test_a_draft_that_was_cut_off_is_made_once(tmp_path, chosen):
    async with open_points(tmp_path, chosen) as points:
        for account, point in points:
            assert await account.run("draft", "Winter", *point) == KILLED, point
            assert await account.run("draft", "Winter", *NEVER) == 0, point
            assert (len(account.state.campaigns), account.writes("campaigns.create")) == (1, 1), point
            assert account.writes("images.upload") <= 2, point
            assert await account.run("draft", "Winter", "campaigns.update", "before") == 0, point  # nothing is left


@pytest.mark.slow
async def test_an_update_that_was_cut_off_is_no_edit_of_somebody_else(tmp_path):
    async with open_points(tmp_path, UPDATE_POINTS) as points:
        for account, point in points:
            assert await account.run("draft", "Winter", *NEVER) == 0, point
            assert await account.run("draft", "Spring", *point) == KILLED, point
            assert await account.run("draft", "Summer", *NEVER) == 0, point
            (one,) = account.state.campaigns.values()
            assert one.fields["subject"] == "Summer", point


@pytest.mark.slow
async def test_a_sending_that_was_cut_off_is_never_done_twice(tmp_path):
    async with open_points(tmp_path, SEND_POINTS) as points:
        for account, point in points:
            assert await account.run("draft", "Winter", *NEVER) == 0, point
            assert await account.run("send", "Winter", *point) == KILLED, point
            assert await account.run("send", "Winter", *NEVER) == 0, point
            assert await account.run("send", "Winter", *NEVER) == 0, point
            assert account.writes("campaigns.send") == 1, point
