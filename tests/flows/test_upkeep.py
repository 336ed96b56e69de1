"""A workspace against the emulated organisation: books that agree, reasons, real limits, refreshed dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.base.types import Usage
from penstock.calls import CallOptions
from penstock.runtime.reconcile import Line
from penstock.sandbox.world import Fault
from penstock.vendor.admin import Admin
from penstock.vendor.http import Http
from penstock.workspace import Workspace
from shop import Shop, feedback, in_shop


def today(workspace: Workspace) -> date:
    return datetime.fromtimestamp(workspace.clock.now(), UTC).date()


async def reconcile(workspace: Workspace, **rest: Any) -> list[Line]:
    return await workspace.upkeep.reconcile(today(workspace), today(workspace) + timedelta(days=1), **rest)


async def test_the_books_of_a_run_agree_with_the_vendors_in_tokens_and_dollars(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        await shop.run(workspace)
        await workspace.operations.call("respond", {"text": "Hello"}, CallOptions(tier="flex"))
        lines = await reconcile(workspace)
        assert [(line.model, line.project, line.is_equal, line.reasons) for line in lines] == [
            ("gpt-6-luna", "proj_sandbox", True, ())
        ]
        assert lines[0].ours.requests == 7
        assert lines[0].ours.cost > 0

    shop = Shop(tmp_path)
    await in_shop(shop, work)


async def test_strangers_on_the_key_and_lost_answers_are_named(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        world = workspace.vendors.world
        world.faults.append(Fault("openai", "decisions", "lost", times=1))
        await shop.run(workspace)
        world.bill("responses", b"{}", "gpt-6-sol", Usage(5000, output=100))
        luna, sol = sorted(await reconcile(workspace), key=lambda line: line.model)
        assert "1 calls without a known outcome may be billed" in luna.reasons[0]
        assert luna.tokens is not None
        assert luna.tokens > 0
        assert sol.reasons == ("1 requests did not come from this workspace: someone else uses the key or the project",)
        assert sol.cost == 11_000_000_000

    shop = Shop(tmp_path, [feedback(number) for number in range(4)])
    await in_shop(shop, work)


async def test_another_project_has_no_part_in_it(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        await shop.run(workspace)
        lines = await reconcile(workspace, project="proj_other")
        assert [(line.theirs.requests, line.project) for line in lines] == [(0, "proj_other")]

    shop = Shop(tmp_path)
    await in_shop(shop, work)


async def test_days_in_the_wrong_order_are_one_clear_error(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        with pytest.raises(InputError) as caught:
            await workspace.upkeep.reconcile(date(2026, 11, 2), date(2026, 11, 2))
        assert caught.value.code == "reconcile.dates"

    await in_shop(Shop(tmp_path), work)


async def test_without_an_admin_key_nothing_is_asked_and_the_hint_names_it(tmp_path: Path) -> None:
    async with Workspace.open(tmp_path, environ={"OPENAI_API_KEY": "sk-x"}, command="test") as workspace:
        with pytest.raises(SettingsError) as caught:
            await reconcile(workspace)
    assert caught.value.code == "settings.missing"
    assert "OPENAI_ADMIN_KEY" in caught.value.hint


async def test_a_key_that_may_not_look_is_told_apart(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        admin = Admin(workspace.vendors.http, "sk-proj-x", base_url="https://openai.sandbox/v1")
        with pytest.raises(AccessError) as caught:
            await admin.costs(0, 86_400)
        assert caught.value.code == "openai.admin-refused"
        assert "admin key" in caught.value.hint

    await in_shop(Shop(tmp_path), work)


async def test_imported_limits_are_where_the_governor_starts_next_time(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        shown = await workspace.upkeep.import_limits()
        assert (shown.project, shown.is_written) == ("proj_sandbox", False)
        assert not (tmp_path / "models.toml").exists()
        written = await workspace.upkeep.import_limits(write=True)
        assert any(line.startswith("gpt-6-luna: limits") for line in written.written)
        assert workspace.start_limits("gpt-6-luna").rpm is None

    async def later() -> None:
        async with shop.open(clock) as workspace:
            assert (workspace.start_limits("gpt-6-luna").rpm, workspace.start_limits("gpt-6-luna").tpm) == (
                5000,
                1_000_000,
            )
            again = await workspace.upkeep.import_limits(write=True)
            assert (again.written, again.kept) == ((), ())

    shop = Shop(tmp_path)
    await in_shop(shop, work)
    clock = ManualClock(seed=8)
    await clock.run(later())


async def test_a_refresh_finds_nothing_where_the_vendor_says_what_we_know(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        assert (await workspace.upkeep.refresh()).changes == []

    await in_shop(Shop(tmp_path), work)


async def test_a_refresh_corrects_an_older_catalogue_and_leaves_the_users_lines(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(
        '[models.gpt-4o]\nshutdown = 2026-12-31\n\n[models."gpt-5.1"]\nnote = "ours"\n[models.gpt-old]\nkind = "chat"\n'
    )

    async def work(workspace: Workspace) -> None:
        found = await workspace.upkeep.refresh(write=True)
        assert {(change.model, change.kind) for change in found.changes} == {("gpt-4o", "date"), ("gpt-old", "gone")}
        assert found.kept == ("gpt-4o: your own `shutdown` stays",)
        assert found.written == ()

    await in_shop(Shop(tmp_path), work)


async def test_a_list_of_another_server_says_nothing_about_openai(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "https://gateway.example/v1"}
    async with Workspace.open(tmp_path, environ=environ, command="test") as workspace:
        with pytest.raises(SettingsError) as caught:
            await workspace.upkeep.refresh()
    assert caught.value.code == "models.other-server"


async def test_cards_tell_who_uses_a_model(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        shop.write()
        cards = {card.id: card for card in workspace.upkeep.list_models()}
        assert cards["gpt-5.6-luna"].used_by == ("flow flow.yaml",)
        assert cards["gpt-6-luna"].used_by == ("setting model",)
        assert cards["our-own"].used_by == ("setting model.speech",)
        assert (cards["our-own"].known, cards["our-own"].prices) == (False, {})
        assert cards["gpt-4o"].days_left is not None
        assert cards["gpt-image-2"].prices["standard"]["image_output"] == 30

    shop = Shop(tmp_path, model="gpt-5.6-luna")
    await in_shop(shop, work, **{"model.speech": "our-own"})


# --- what a real server may do, without one ---


def pages_app(pages: Mapping[str, bytes]) -> Any:
    """Answer each cursor with its page."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        query = scope["query_string"].decode()
        cursor = next((part.partition("=")[2] for part in query.split("&") if part.startswith("page=")), "")
        body = pages.get(cursor, b'{"data": [], "has_more": false}')
        if scope["path"].endswith("/usage/decisions"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b'{"error": {"message": "Invalid URL"}}'})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return app


async def test_every_page_is_read_and_an_older_server_may_lack_a_kind_of_usage() -> None:
    row = b'{"num_model_requests": 1, "input_tokens": 5, "output_tokens": 2, "model": "gpt-6-luna", "project_id": "p"}'
    first = b'{"data": [{"start_time": 0, "results": [%b]}], "has_more": true, "next_page": "two"}' % row
    second = b'{"data": [{"start_time": 86400, "results": [%b]}], "has_more": false, "next_page": null}' % row
    http = Http(apps={"org.example": pages_app({"": first, "two": second})})
    rows = await Admin(http, "sk-admin", base_url="https://org.example/v1").usage(0, 172_800)
    assert [(one.day, one.input) for one in rows[:2]] == [("1970-01-01", 5), ("1970-01-02", 5)]
    assert len(rows) == 12
    await http.close()


async def test_a_server_that_gives_the_same_page_for_ever_is_left() -> None:
    endless = b'{"data": [], "has_more": true, "next_page": "two"}'
    http = Http(apps={"org.example": pages_app({"": endless, "two": endless})})
    with pytest.raises(Exception, match="again and again"):
        await Admin(http, "sk-admin", base_url="https://org.example/v1").costs(0, 86_400)
    await http.close()


async def test_an_amount_may_come_as_text() -> None:
    body = b'{"data": [{"start_time": 0, "results": [{"amount": {"value": "0.06"}, "line_item": "m, input_tokens"}]}]}'
    http = Http(apps={"org.example": pages_app({"": body})})
    rows = await Admin(http, "sk-admin", base_url="https://org.example/v1").costs(0, 86_400)
    assert rows[0].cost == 60_000_000_000
    await http.close()
