"""The named connections over HTTP: list, add, test, remove; addresses that come this way must be public."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.errors import SettingsError
from penstock.base.redact import register_secret
from penstock.runtime import checks
from penstock.runtime.connections import Connection
from penstock.server.doors import Call, Door, reply
from penstock.workspace import Workspace


class AddRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A connection without its key, its key, and whether it may take the place of one of that name."""

    connection: Connection
    key: str
    replace: bool = False


class Connections:
    """Routes of the connections of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._book = workspace.vendors.book

    def doors(self) -> Iterator[Door]:
        """Yield the routes."""
        body = {"application/json": msgspec.json.schema(AddRequest)}
        one = "/v1/connections/{name}"
        yield Door("GET", "/v1/connections", self._list, "Every connection, without its key.", "manage")
        yield Door(
            "POST", "/v1/connections", self._add, "Add a connection; its key is sealed.", "manage", body, status=201
        )
        yield Door("GET", one, self._show, "One connection, without its key.", "manage")
        yield Door("DELETE", one, self._remove, "Strike a connection out, and its key with it.", "manage")
        yield Door("POST", f"{one}/test", self._test, "Test it by a harmless real call; names the fault.", "manage")

    async def _list(self, _call: Call) -> Response:
        return reply({"connections": [self._book.find(name).describe() for name in self._book.names()]})

    async def _show(self, call: Call) -> Response:
        return reply(self._book.find(call.path["name"]).describe())

    async def _add(self, call: Call) -> Response:
        wanted: AddRequest = call.json(AddRequest)
        register_secret(wanted.key)
        added = await asyncio.to_thread(  # looks the host's name up, and writes files
            self._book.add, wanted.connection, wanted.key, replace=wanted.replace, from_network=True
        )
        return reply(added.describe(), 201)

    async def _remove(self, call: Call) -> Response:
        await asyncio.to_thread(self._book.remove, call.path["name"])
        return reply({"removed": call.path["name"]})

    async def _test(self, call: Call) -> Response:
        name, vendors = call.path["name"], self._workspace.vendors
        vendors.book.find(name)
        try:
            findings: list[Any] = await vendors.check(name, str(self._workspace.settings.get("model")))
        except SettingsError as error:
            findings = [checks.from_error(f"{name} key", error)]
        return reply({"findings": findings})
