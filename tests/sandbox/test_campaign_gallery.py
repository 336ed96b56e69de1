"""Pictures in Brevo's gallery: put there once each, by content, whatever happens on the way."""

from __future__ import annotations

import io
import random

import pytest
from campaign_desk import CAMPAIGN, HTML, change, open_desk

from penstock.base.errors import PenstockError

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")


def picture(side: int = 40, seed: int = 1) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side)).save(file, "PNG")
    return file.getvalue()


async def in_desk(folder, work):
    async with open_desk(folder) as desk:
        await desk.clock.run(work(desk))


async def test_equal_pictures_are_hosted_once_and_named_by_their_address(tmp_path):
    async def work(desk):
        for name in ("hero.png", "same.png"):
            (tmp_path / name).write_bytes(picture())
        (tmp_path / "large.png").write_bytes(picture(850, 2))
        html = HTML + "".join(f'<img src="{name}" alt="">' for name in ("hero.png", "same.png", "large.png"))
        drafted = await desk.draft(change(html=html))
        assert drafted.done == "made"
        assert desk.count("images.upload") == 2
        shown = desk.state.campaigns[drafted.number].html
        assert "hero.png" not in shown
        assert shown.count("sandbox-images/") == 3
        assert all(len(content) <= 2 * 1024 * 1024 for content in desk.state.images.values())
        assert (await desk.draft(change(html=html))).done == "unchanged"
        await desk.draft(change(name="spring", html=html))
        assert desk.count("images.upload") == 2

    await in_desk(tmp_path, work)


async def test_a_check_hosts_nothing(tmp_path):
    async def work(desk):
        (tmp_path / "hero.png").write_bytes(picture())
        findings = await desk.campaigns.check(desk.file(change(html=HTML + '<img src="hero.png" alt="">')))
        assert {one.name: one.verdict for one in findings}["pictures"] == "ok"
        assert desk.count("images.upload") == 0

    await in_desk(tmp_path, work)


@pytest.mark.parametrize("fault", ["drop", "lost", "malformed"])
async def test_an_upload_without_an_answer_is_repeated_and_then_remembered(tmp_path, fault):
    async def work(desk):
        (tmp_path / "hero.png").write_bytes(picture())
        campaign = change(CAMPAIGN, html=HTML + '<img src="hero.png" alt="">')
        desk.fault("images.upload", fault, times=1)
        for _ in range(3):
            try:
                drafted = await desk.draft(campaign)
                break
            except PenstockError:
                continue
        uploads = desk.count("images.upload")
        assert uploads <= 2
        assert "sandbox-images/" in desk.state.campaigns[drafted.number].html
        await desk.draft(campaign)
        assert desk.count("images.upload") == uploads

    await in_desk(tmp_path, work)
