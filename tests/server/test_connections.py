"""Connections over HTTP: added with their key, never shown with it, and never to an address inside this network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import open_service

from penstock.server.auth import Tokens

KEY = "sk-test-of-the-service-0123456789"


def wanted(**rest: Any) -> dict[str, Any]:
    connection = {"name": "second", "kind": "openai", "base-url": "https://93.184.216.34/v1", **rest}
    return {"connection": connection, "key": KEY}


def files_with(folder: Path, secret: bytes) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and secret in file.read_bytes())


async def test_a_connection_is_added_listed_shown_tested_and_removed_without_its_key(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        added = await client.post("/v1/connections", wanted())
        assert added.status == 201, added.body
        listed = await client.get("/v1/connections")
        assert "second" in [one["name"] for one in listed.json()["connections"]]
        shown = await client.get("/v1/connections/second")
        assert shown.json()["kind"] == "openai"
        tested = await client.post("/v1/connections/openai/test")
        assert {one["verdict"] for one in tested.json()["findings"]} <= {"ok", "warn"}
        again = await client.post("/v1/connections", wanted())
        assert again.problem["code"] == "connection.exists"
        removed = await client.send("DELETE", "/v1/connections/second")
        assert removed.status == 200
        assert (await client.get("/v1/connections/second")).problem["code"] == "connection.unknown"
        for answered in (added, listed, shown, tested, again, removed):
            assert KEY.encode() not in answered.body
    assert not list(files_with(tmp_path, KEY.encode()))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/v1",
        "http://localhost/v1",
        "http://169.254.169.254/latest",
        "https://10.0.0.7/v1",
        "https://[::1]/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://user:password@93.184.216.34/v1",
        "file:///etc/passwd",
    ],
)
async def test_an_address_inside_this_network_is_refused(tmp_path: Path, address: str) -> None:
    async with open_service(tmp_path) as client:
        answered = await client.post("/v1/connections", wanted(**{"base-url": address}))
        assert answered.status == 400
        assert answered.problem["hint"]
        assert "second" not in [one["name"] for one in (await client.get("/v1/connections")).json()["connections"]]


@pytest.mark.parametrize("source", ["command:id", "file:/etc/passwd", "env:HOME"])
async def test_nobody_has_a_secret_of_this_machine_sent_elsewhere(tmp_path: Path, source: str) -> None:
    async with open_service(tmp_path) as client:
        answered = await client.post("/v1/connections", wanted(secret=source))
        if answered.status == 201:
            assert answered.json()["secret"] == "vault"
        missing = await client.post("/v1/connections", {"connection": wanted(secret=source)["connection"]})
        assert missing.status == 422


async def test_a_token_for_work_does_not_manage_connections(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        workspace = client.app.workspace
        client.token = await Tokens(workspace.store, workspace.clock).add("worker")
        assert (await client.get("/v1/operations")).status == 200
        for method, path in (("GET", "/v1/connections"), ("POST", "/v1/connections"), ("DELETE", "/v1/connections/x")):
            assert (await client.send(method, path)).problem["code"] == "token.not-allowed"
