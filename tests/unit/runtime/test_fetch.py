"""Files behind URLs: public addresses only, pinned, no redirects, no more bytes than wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from penstock.base.errors import InputError
from penstock.runtime.fetch import Fetcher
from penstock.vendor.http import Http

URL = "https://files.example/shoes.png?signature=x"
PUBLIC = "93.184.215.14"


class Place:
    """A host that answers as it is told, and who asked for what."""

    def __init__(self, status: int = 200, body: bytes = b"picture", **headers: str) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.asked: list[str] = []
        self.sent = 0
        self.pins: list[dict[str, str]] = []

    def open_pool(self, pins: Mapping[str, str]) -> Http:
        self.pins.append(dict(pins))
        return Http(apps=dict.fromkeys(pins, self))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = scope["query_string"].decode()
        self.asked.append(f"{scope['method']} {scope['path']}?{query}")
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for at in range(0, len(self.body), 1000):
            await send({"type": "http.response.body", "body": self.body[at : at + 1000], "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": b""})


def fetcher(place: Place, *addresses: str) -> Fetcher:
    return Fetcher(place.open_pool, lambda _host, _port: addresses or (PUBLIC,))


async def test_a_file_is_fetched_from_the_address_that_was_checked() -> None:
    place = Place()
    assert await fetcher(place).fetch(URL, 100) == b"picture"
    assert place.asked == ["GET /shoes.png?signature=x"]
    assert place.pins == [{"files.example": PUBLIC}]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1", "0.0.0.0", "100.64.0.1"],
)
async def test_an_address_inside_is_never_asked(address: str) -> None:
    place = Place()
    with pytest.raises(InputError, match="not a public address"):
        await fetcher(place, PUBLIC, address).fetch(URL, 100)
    assert place.asked == []


@pytest.mark.parametrize(
    "url", ["http://files.example/x", "https://a:b@files.example/x", "https://files.example/x#y", "file:///etc/passwd"]
)
async def test_a_url_of_another_form_is_never_asked(url: str) -> None:
    place = Place()
    with pytest.raises(InputError, match="cannot be fetched"):
        await fetcher(place).fetch(url, 100)
    assert place.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    place = Place(status, location="http://169.254.169.254/")
    with pytest.raises(InputError, match="sends on to another address") as caught:
        await fetcher(place).fetch(URL, 100)
    assert (caught.value.code, len(place.asked)) == ("file.not-fetched", 1)


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_refusal_is_told_with_its_status(status: int) -> None:
    with pytest.raises(InputError, match=f"files.example answered {status}"):
        await fetcher(Place(status)).fetch(URL, 100)


async def test_a_file_that_is_announced_as_too_large_is_not_read() -> None:
    with pytest.raises(InputError, match="more than 100 bytes"):
        await fetcher(Place(body=b"x", content_length="101")).fetch(URL, 100)


async def test_a_file_that_turns_out_too_large_is_cut_off() -> None:
    place = Place(body=b"x" * 1_000_000)
    with pytest.raises(InputError, match="more than 2,500 bytes"):
        await fetcher(place).fetch(URL, 2500)
    assert place.sent < 900
