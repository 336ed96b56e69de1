"""A model that ends, or is gone, is named before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from call_desk import ask_about, open_desk
from penstock.base.errors import FixError
from penstock.calls import CallOptions
from penstock.runtime.radar import find_successor, is_vendor
from penstock.vendor.models import load_catalogue
from penstock.workspace import Workspace
from shop import Shop, billed, in_shop

TODAY = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
DEAD, DYING = "gpt-4.1-nano", "gpt-5.4-nano"


def shop_with(tmp_path: Path, model: str) -> Shop:
    return Shop(tmp_path, model=model)


async def test_a_plan_names_the_end_of_its_model_and_the_replacement(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        plan = await shop.plan(workspace)
        found = next(finding for finding in plan.findings if finding.name == "model")
        assert found.verdict == "fail"
        assert found.message == "gpt-4.1-nano is shut down since 2026-10-23; use gpt-5.6-luna"
        assert found.fix == "Use gpt-5.6-luna."

    shop = shop_with(tmp_path, DEAD)
    await in_shop(shop, work)


async def test_a_plan_with_a_model_that_stays_says_nothing_of_it(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        assert "model" not in {finding.name for finding in (await shop.plan(workspace)).findings}

    shop = shop_with(tmp_path, "gpt-6-luna")
    await in_shop(shop, work)


async def test_a_plan_with_an_unknown_model_says_that_its_cost_is_unknown(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        plan = await shop.plan(workspace)
        assert plan.cost is None
        assert [(one.verdict, "not known" in one.message) for one in plan.findings if one.name == "model"] == [
            ("warn", True)
        ]

    shop = shop_with(tmp_path, "house-model")
    await in_shop(shop, work)


async def test_a_run_with_a_dead_model_ends_before_anything_is_sent(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        with pytest.raises(FixError) as caught:
            await shop.run(workspace)
        assert caught.value.code == "model.shut-down"
        assert "gpt-5.6-luna" in caught.value.hint
        assert billed(workspace) == 0
        assert workspace.vendors.world.calls.total() == 0 or all(
            vendor == "brevo" for vendor, _, _ in workspace.vendors.world.calls
        )

    shop = shop_with(tmp_path, DEAD)
    await in_shop(shop, work)


async def test_a_run_with_a_dying_model_says_so_first_and_goes_on(tmp_path: Path) -> None:
    messages: list[str] = []

    async def work(workspace: Workspace) -> None:
        report = await shop.run(
            workspace, listen=lambda progress: progress.listen(lambda snapshot: messages.append(snapshot.message))
        )
        assert report.exit_code == 0

    shop = shop_with(tmp_path, DYING)
    await in_shop(shop, work)
    assert next(message for message in messages if message).startswith(f"{DYING} ends in ")


async def test_an_operation_on_a_dying_model_warns_in_its_result_and_in_its_preview(tmp_path: Path) -> None:
    async def work(workspace: Workspace) -> None:
        options = CallOptions(model=DYING)
        result = await workspace.operations.call("respond", {"text": "Hello"}, options)
        preview = workspace.operations.preview("respond", {"text": "Hello"}, options)
        assert "ends in" in result.warnings[0]
        assert result.warnings[0] == preview.warnings[0]

    shop = Shop(tmp_path)
    await in_shop(shop, work)


async def test_only_when_it_is_wished_a_successor_answers_and_everybody_says_so(tmp_path: Path) -> None:
    messages: list[str] = []

    async def work(workspace: Workspace) -> None:
        finding = next(one for one in (await shop.plan(workspace)).findings if one.name == "model")
        assert (finding.verdict, "gpt-5.6-luna answers in its place" in finding.message) == ("warn", True)
        report = await shop.run(
            workspace, listen=lambda progress: progress.listen(lambda snapshot: messages.append(snapshot.message))
        )
        assert report.exit_code == 0
        assert {one.model for one in workspace.vendors.world.billed} == {"gpt-5.6-luna"}
        result = await workspace.operations.call("respond", {"text": "Hello"}, CallOptions(model="gpt-4"))
        assert "gpt-4 is shut down: gpt-5.6-sol answers" in result.warnings[0]
        assert workspace.operations.choose("image", CallOptions(model="dall-e-3")).model.id == "gpt-image-2"
        unchanged = ("tts-1", "gpt-4o", "house-model", "gpt-3.5-turbo-instruct")
        for name in unchanged:
            assert workspace.operations.choose("chat", CallOptions(model=name)).model.id == name

    shop = shop_with(tmp_path, DEAD)
    await in_shop(shop, work, **{"replace-ended": True})
    assert "gpt-5.6-luna answers in its place" in next(message for message in messages if message)


def test_replacements_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(
        "[models.a]\nshutdown = 2020-01-01\nreplacement = 'b'\n[models.b]\nshutdown = 2020-01-01\nreplacement = 'a'\n"
    )
    catalogue = load_catalogue(path)
    assert find_successor(catalogue, catalogue.find("a"), TODAY).id == "a"


async def test_a_dead_model_is_refused_on_the_one_path_of_paid_calls(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        with pytest.raises(FixError) as caught:
            await desk.run(desk.caller.ask(ask_about("Late.", model=DEAD)))
        assert caught.value.code == "model.shut-down"
        assert desk.asked == 0
        assert await desk.states() == []


async def test_another_server_may_serve_a_model_that_openai_has_shut_down(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        caller = desk.new_caller(base_url="https://gateway.example/v1")
        desk.http._apps["gateway.example"] = desk.http._apps["api.openai.com"]
        answer = desk.run(caller.ask(ask_about("Late.", model=DEAD)))
        with pytest.raises(Exception, match="model") as caught:
            await answer
        assert getattr(caught.value, "code", "") != "model.shut-down"
        assert desk.world.calls.total() == 1


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("api.openai.com", True),
        ("eu.api.openai.com", True),
        ("openai.sandbox", True),
        ("notopenai.com", False),
        ("openai.com.example", False),
        ("127.0.0.1", False),
        ("us.openai.azure.com", False),
    ],
)
def test_only_openai_shuts_models_down(host: str, is_one: bool) -> None:
    assert is_vendor(host) is is_one
