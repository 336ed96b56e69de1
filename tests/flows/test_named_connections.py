"""Several connections side by side: each with its own answers, quota, price and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from call_desk import MODEL, ask_about, open_desk
from penstock.base.clock import ManualClock
from penstock.base.errors import RejectedError, SettingsError, UnavailableError
from penstock.base.settings import Settings
from penstock.calls import CallOptions
from penstock.runtime.connections import Connection
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.world import World
from penstock.vendor.http import Http
from penstock.vendor.openai import OpenAI
from penstock.vendors import Vendors
from shop import Shop

AZURE_URL = "https://me.openai.azure.com"
AZURE = Connection(name="judge", kind="azure", base_url=AZURE_URL, models={"judge-1": MODEL}, secret="env:K")
SECOND = Connection(name="second", secret="env:SECOND_KEY", organization="org-2")
LOCAL = Connection(name="local", kind="openai-compatible", base_url="http://127.0.0.1:9/v1")
TEXT = {"text": "The parcel came two weeks late."}


def open_vendors(folder: Path, **environ: str) -> Vendors:
    return Vendors(Settings(folder, environ=environ), ManualClock(), folder, lambda work: None)


async def test_each_connection_has_its_own_answers_and_its_own_quota(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.open() as workspace:
        workspace.vendors.book.add(AZURE)
        workspace.vendors.book.add(SECOND)
        results = []
        for name in ("openai", "second", "judge", "openai", "second", "judge"):
            options = CallOptions(connection=name)
            results.append(await workspace.operations.call("analyze-sentiment", TEXT, options))
        assert [result.cached for result in results] == [False] * 3 + [True] * 3
        clients = [workspace.caller.connection(name) for name in ("openai", "second", "judge")]
        assert len({client.account for client in clients}) == len({client.quota_account for client in clients}) == 3


async def test_a_flow_names_its_connection_and_the_command_line_stands_over_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, connection="judge", sink=None)
    for overrides, name in (({}, "judge"), ({"connection": "second"}, "second")):
        async with shop.open(**overrides) as workspace:
            if not workspace.vendors.book.path.exists():
                workspace.vendors.book.add(AZURE)
                workspace.vendors.book.add(SECOND)
            report = await shop.run(workspace)
            assert (report.state, report.counts.judged) == ("done", 6)
            rows = await workspace.store.look(
                lambda tx: tx._raw.execute("select distinct connection from calls order by id desc limit 1").fetchall()
            )
            assert rows[0][0] == name


async def test_a_flow_over_an_unknown_connection_says_which_there_are(tmp_path: Path) -> None:
    shop = Shop(tmp_path, connection="nowhere")
    async with shop.open() as workspace:
        with pytest.raises(SettingsError, match="openai") as caught:
            await shop.run(workspace)
        assert caught.value.code == "connection.unknown"


async def test_a_deployment_is_a_name_of_its_model(tmp_path: Path) -> None:
    async with Shop(tmp_path).open() as workspace:
        workspace.vendors.book.add(AZURE)
        workspace.vendors.book.add(LOCAL)
        azure = workspace.operations.choose(options=CallOptions(connection="judge", model="judge-1"))
        assert (azure.model.id, azure.model.known, azure.decisions, azure.responses) == (MODEL, True, False, True)
        local = workspace.operations.choose(options=CallOptions(connection="local", model="llama-9"))
        assert (local.model.id, local.model.known, local.responses) == ("llama-9", False, False)
        with pytest.raises(SettingsError) as caught:
            workspace.operations.choose(options=CallOptions(connection="brevo"))
        assert caught.value.code == "connection.wrong-kind"


async def test_a_compatible_server_teaches_what_it_does_not_take(tmp_path: Path) -> None:
    async with Shop(tmp_path).open() as workspace:
        workspace.vendors.book.add(LOCAL)
        options = CallOptions(connection="local")
        result = await workspace.operations.call("respond", {"text": "Hello."}, options)
        assert result.output["text"]
        assert workspace.vendors.world.billed_calls == {"chat": 1}
        calls = sum(workspace.vendors.world.calls.values())
        await workspace.operations.call("respond", {"text": "Once more."}, options)
        assert sum(workspace.vendors.world.calls.values()) == calls + 1  # it is remembered


async def test_several_brevo_accounts_stand_side_by_side(tmp_path: Path) -> None:
    vendors = open_vendors(tmp_path, BREVO_API_KEY="xkeysib-one", OTHER="xkeysib-two")
    vendors.book.add(Connection(name="other", kind="brevo", secret="env:OTHER"))
    assert vendors.open_brevo() is vendors.open_brevo("brevo") is not vendors.open_brevo("other")
    with pytest.raises(SettingsError) as caught:
        vendors.open_brevo("openai")
    assert caught.value.code == "connection.wrong-kind"
    await vendors.close()


async def test_a_connection_that_is_described_anew_is_opened_anew(tmp_path: Path) -> None:
    vendors = open_vendors(tmp_path, K="one", OPENAI_API_KEY="sk-1")
    vendors.book.add(AZURE)
    first = vendors.connections["judge"]
    assert vendors.connections["judge"] is first
    vendors.book.add(msgspec.structs.replace(AZURE, base_url="https://other.openai.azure.com"), replace=True)
    assert vendors.connections["judge"].host == "other.openai.azure.com"
    vendors.book.remove("judge")
    with pytest.raises(SettingsError):
        vendors.connections["judge"]
    await vendors.close()


async def test_an_address_from_outside_is_checked_again_when_it_is_opened(tmp_path: Path) -> None:
    vendors = open_vendors(tmp_path)
    inner = msgspec.structs.replace(LOCAL, public_only=True)
    vendors.book.add(inner)
    with pytest.raises(SettingsError) as caught:
        vendors.open_openai("local")
    assert caught.value.code == "address.not-public"
    await vendors.close()


@pytest.mark.parametrize(
    ("host", "is_regional"),
    [
        ("api.openai.com", False),
        ("eu.api.openai.com", True),
        ("us.api.openai.com", True),
        ("mtls.api.openai.com", False),
        ("eu.api.openai.com.evil.example", False),
        ("me.openai.azure.com", False),
    ],
)
async def test_regional_processing_costs_a_tenth_more(tmp_path: Path, host: str, is_regional: bool) -> None:
    async with open_desk(tmp_path) as desk:
        http = Http(apps={host: build_openai_app(World(desk.clock))})
        desk.caller.connections = {"openai": OpenAI(http, "sk-test", base_url=f"https://{host}/v1")}
        answer = await desk.ask()
        ask = ask_about("Late again.")
        plain = desk.caller.catalogue.price(
            answer.model, desk.clock.now(), answer.tier, answer.usage, operation=ask.price_list
        )
        assert plain is not None
        assert answer.cost == (plain * 11 // 10 if is_regional else plain)
        await http.close()


async def test_what_the_vendor_cannot_process_is_tried_once_more(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        desk.plan("status", status=422, times=1)
        assert not (await desk.ask()).cached
        assert desk.asked == 2
        desk.plan("status", status=422)
        with pytest.raises(RejectedError) as caught:
            await desk.ask("Another one.")
        assert caught.value.code == "openai.not-processable"
        assert desk.asked == 4


async def answer_a_list(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 with JSON that is no object."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"[1, 2]"})


async def test_a_good_status_with_a_strange_body_is_an_outcome_that_nobody_knows(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        http = Http(apps={"api.openai.com": answer_a_list})
        desk.caller.connections = {"openai": OpenAI(http, "sk-test")}
        with pytest.raises(UnavailableError) as caught:
            await desk.ask()
        assert caught.value.code == "openai.wrong-shape"
        assert set(await desk.states()) == {"unknown"}
        spent = await desk.spent()
        assert (spent.spent, spent.held > 0) == (0, True)
        await http.close()


async def test_a_key_that_cannot_be_made_leaves_nothing_reserved(tmp_path: Path) -> None:
    async def no_key() -> str:
        raise SettingsError("no key", code="connection.command-failed", hint="Run it by hand.")

    async with open_desk(tmp_path) as desk:
        desk.caller.connections = {"openai": OpenAI(desk.http, no_key)}
        with pytest.raises(SettingsError):
            await desk.ask()
        spent = await desk.spent()
        assert (spent.spent, spent.reserved, spent.held) == (0, 0, 0)
        assert desk.asked == 0
