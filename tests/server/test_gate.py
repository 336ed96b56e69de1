"""What every request passes: tokens, limits, headers, problem details."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service import Client, open_service

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError
from penstock.runtime.store import Store
from penstock.server import gate
from penstock.server.auth import Tokens


async def test_without_a_token_nothing_but_health_is_answered(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        client.token = ""
        for door in client.app.doors:
            path = door.path.replace("{id}", "x").replace("{name}", "x")
            answered = await client.send(door.method, path)
            if door.allow is None:
                assert answered.status in (200, 400), path
            else:
                assert answered.status == 401, path
                assert answered.problem["code"] == "token.missing"
                assert answered.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "text", ["", "pst-tests", "pst-tests.", "pst-nobody." + "0" * 36, "pst-tests." + "0" * 36, "é"]
)
async def test_a_wrong_token_is_refused_whatever_it_looks_like(tmp_path: Path, text: str) -> None:
    async with open_service(tmp_path) as client:
        client.token = text
        answered = await client.get("/v1/operations")
        assert answered.status == 401
        assert answered.problem["code"] in ("token.unknown", "token.missing")


async def test_a_token_does_no_more_than_it_is_for(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        tokens = Tokens(client.app.workspace.store, client.app.workspace.clock)
        client.token = await tokens.add("scraper", allow=["metrics"])
        assert (await client.get("/metrics")).status == 200
        for path in ("/v1/operations", "/v1/runs", "/openapi.json"):
            answered = await client.get(path)
            assert (answered.status, answered.problem["code"]) == (403, "token.not-allowed")
            assert "penstock tokens add" in answered.problem["hint"]


async def test_a_removed_token_stops_working_within_seconds_and_a_new_one_works_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await Store.open(tmp_path / "store.sqlite", clock)
    tokens, elsewhere = Tokens(store, clock), Tokens(store, clock)
    first = await elsewhere.add("shop")
    clock.advance(1)
    assert (await tokens.recognise(f"Bearer {first}")).name == "shop"
    second = await elsewhere.add("shop")  # replaced
    clock.advance(6)
    with pytest.raises(AccessError):
        await tokens.recognise(f"Bearer {first}")
    assert (await tokens.recognise(f"bearer  {second}")).name == "shop"
    await elsewhere.remove("shop")
    clock.advance(6)
    with pytest.raises(AccessError):
        await tokens.recognise(f"Bearer {second}")
    await store.close()


async def test_tokens_are_kept_only_as_hashes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.sqlite", ManualClock())
    token = await Tokens(store, store.clock).add("shop")
    await store.close()
    held = (tmp_path / "store.sqlite").read_bytes()
    assert b"shop" in held
    assert token.encode() not in held
    assert token.partition(".")[2].encode() not in held


async def test_every_answer_carries_the_headers_that_keep_browsers_and_caches_out(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        for path in ("/healthz", "/v1/operations", "/nowhere", "/metrics"):
            headers = (await client.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-request-id"].startswith("req_")
            assert "server" not in headers


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        assert (await client.get("/v2/x")).problem["code"] == "request.not-found"
        answered = await client.send("DELETE", "/v1/operations")
        assert (answered.status, answered.problem["code"]) == (405, "request.method")
        assert answered.headers["allow"] == "GET"
        assert (await client.send("HEAD", "/healthz")).status == 200


async def test_a_body_that_is_too_large_is_refused_before_and_while_it_is_read(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        for headers in ({"content_length": str(10**30)}, {"content_length": "5000000"}, {}):
            answered = await client.post("/v1/flows/plan", b" " * 5_000_000, content_type="application/json", **headers)
            assert (answered.status, answered.problem["code"]) == (413, "request.too-large")


async def test_a_defect_is_told_without_a_stack_and_reported_inside(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        client.app.workspace.caller.address = None  # type: ignore[assignment, method-assign]
        answered = await client.post("/v1/operations/respond", {"input": {"text": "x"}})
        assert (answered.status, answered.problem["code"]) == (500, "penstock.defect")
        assert "NoneType" not in answered.body.decode()
        assert len(client.defects) == 1
        assert client.defects.pop().__cause__ is not None


async def test_paths_of_the_machine_do_not_leave(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: [")
    async with open_service(tmp_path) as client:
        answered = await client.post("/v1/flows/plan", {"flow": "bad.yaml"})
        assert answered.status == 422
        assert "bad.yaml" in answered.problem["where"]
        assert str(tmp_path) not in answered.body.decode()


async def test_without_tokens_a_page_of_another_site_is_refused(tmp_path: Path) -> None:
    async with open_service(tmp_path, with_tokens=False) as client:
        assert (await client.get("/v1/operations")).status == 200
        assert (await client.get("/v1/operations", origin="http://localhost:5173")).status == 200
        for headers in (
            {"host": "evil.example"},
            {"host": ""},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec_fetch_site": "cross-site"},
        ):
            answered = await client.get("/v1/operations", **headers)
            assert (answered.status, answered.problem["code"]) == (403, "request.foreign-page"), headers


async def test_more_requests_than_it_can_hold_are_sent_away_with_429(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        inner = client.app._gate
        inner._under_way = gate.MOST_AT_ONCE
        answered = await client.get("/healthz")
        assert (answered.status, answered.problem["code"], answered.headers["retry-after"]) == (
            429,
            "request.busy",
            "1",
        )
        inner._under_way = 0
        assert (await client.get("/healthz")).status == 200


async def test_a_client_that_hangs_up_costs_nothing(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(_message: object) -> None:
            raise AssertionError("nobody is there")

        scope = client._scope("POST", "/v1/flows/plan", {"content-type": "application/json"})
        await asyncio.wait_for(client.app(scope, receive, send), 5)
        assert 'status="499"' in (await client.get("/metrics")).body.decode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "POST", "DELETE", "PATCH", "OPTIONS"]),
    st.sampled_from(["/v1/operations/respond", "/v1/flows/run", "/v1/runs/x/retry", "/webhooks/openai", "/v1/runs"])
    | st.text("/v1abc.%{}?=&", min_size=1, max_size=30).map(lambda text: "/" + text),
    st.binary(max_size=60)
    | st.recursive(st.none() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
    .map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["application/json", "multipart/form-data", "multipart/form-data; boundary=a", "text/plain", ""]),
)  # fmt: skip
def test_no_request_is_answered_with_a_defect(method: str, path: str, body: bytes, kind: str) -> None:
    async def work() -> None:
        answered = await _CLIENT.send(method, path, body, content_type=kind)
        assert answered.status != 500, (answered.body, _CLIENT.defects)

    _LOOP.run_until_complete(work())


@pytest.fixture(autouse=True, scope="module")
def _shared_service(tmp_path_factory: pytest.TempPathFactory):
    global _CLIENT, _LOOP  # noqa: PLW0603 - one service for all examples
    _LOOP = asyncio.new_event_loop()
    opened = open_service(tmp_path_factory.mktemp("service"))
    _CLIENT = _LOOP.run_until_complete(opened.__aenter__())
    yield
    _LOOP.run_until_complete(opened.__aexit__(None, None, None))
    _LOOP.close()


_CLIENT: Client
_LOOP: asyncio.AbstractEventLoop
