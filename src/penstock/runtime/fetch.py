"""Files behind URLs that somebody names: only public addresses, no redirects, never more bytes than are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from penstock.base.addresses import Resolve, find_public_addresses
from penstock.base.errors import InputError, SettingsError, UnavailableError
from penstock.vendor.http import Http

SECONDS = 60.0
"""How long the beginning of a file, and every silence in it, may take."""


class Fetcher:
    """Fetches files; each from the addresses that were checked, whatever the name service says later."""

    def __init__(
        self, open_pool: Callable[[Mapping[str, str]], Http] | None = None, resolve: Resolve | None = None
    ) -> None:
        """Take what opens a pool that keeps to pinned addresses, and what resolves names; both have a default."""
        self._open_pool = open_pool or (lambda pins: Http(pins=pins))
        self._resolve = resolve

    async def fetch(self, url: str, most_bytes: int) -> bytes:
        """Return what is behind a https URL.

        Raises `InputError` for an address that is not public, a refusal, a redirect or too many bytes,
        `UnavailableError` where no answer came.
        """
        try:
            addresses = await asyncio.to_thread(find_public_addresses, url, with_query=True, resolve=self._resolve)
        except SettingsError as error:
            raise _refuse(error.message) from None
        host = urlsplit(url).hostname or ""
        http = self._open_pool({host: addresses[0]})
        try:
            return await _read(http, url, host, most_bytes)
        except UnavailableError as error:
            if error.code != "http.too-large":
                raise
            raise _refuse(f"{host} sent more than {most_bytes:,} bytes") from None
        finally:
            await http.close()


async def _read(http: Http, url: str, host: str, most_bytes: int) -> bytes:
    async with http.stream("GET", url, headers={"Accept": "*/*"}, timeout=SECONDS) as incoming:
        if 300 <= incoming.status < 400:
            raise _refuse(f"{host} sends on to another address, which is not followed")
        if incoming.status >= 300:
            raise _refuse(f"{host} answered {incoming.status}")
        announced = incoming.headers.get("content-length") or "0"
        size = int(announced) if announced.isdigit() else 0
        parts: list[bytes] = []
        while size <= most_bytes and (part := await incoming.read()) is not None:
            parts.append(part)
            size = max(sum(map(len, parts)), size)
        if size > most_bytes:
            raise _refuse(f"{host} sent more than {most_bytes:,} bytes")
    return b"".join(parts)


def _refuse(why: str) -> InputError:
    return InputError(
        f"the file cannot be fetched: {why}",
        code="file.not-fetched",
        hint="Give the file itself: a path, base64 or a data URL.",
    )
