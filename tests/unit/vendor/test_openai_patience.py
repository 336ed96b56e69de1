"""How long an answer may take: as the connection says, or longer where the request needs it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.vendor.http import Http, Reply
from penstock.vendor.openai import OpenAI


class Stopwatch(Http):
    """Answers everything at once and keeps how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    async def send(self, method: str, url: str, *, timeout: float = 60.0, **_: Any) -> Reply:
        self.waited.append(timeout)
        return Reply(200, {}, b"{}", "h")


@pytest.mark.parametrize(("own", "needed", "waited"), [(120.0, 300.0, 300.0), (600.0, 300.0, 600.0), (20.0, 0.0, 20.0)])
async def test_a_request_that_needs_longer_gets_it(own: float, needed: float, waited: float) -> None:
    http = Stopwatch()
    await OpenAI(http, "sk-test", timeout=own).post("/images/generations", b"{}", "call", needed)
    await http.close()
    assert http.waited == [waited]
