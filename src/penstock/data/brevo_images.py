"""Pictures of a campaign: made to fit Brevo's gallery, put there once each, and named in the HTML by their address.

Brevo takes a public address only, no file, and no more than 2 MB as JPEG, PNG, GIF or BMP (API description, 2026).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock.base.errors import InputError
from penstock.operations.shrink import Shrunk, shrink
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

MAX_BYTES = 2 * 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
IMAGE = "image"

_REFERENCE = re.compile(
    r"(?P<attribute><(?:img|body|table|tr|td|th|div|v:\w+)\b[^>]*?\s(?:src|background)\s*=\s*)(?P<quote>[\"'])(?P<address>.*?)(?P=quote)"
    r"|(?P<style>\burl\(\s*)(?P<mark>[\"']?)(?P<inside>[^)\"']+)(?P=mark)\s*\)",
    re.DOTALL | re.IGNORECASE,
)
Publish = Callable[[str, bytes], Awaitable[str]]
"""Puts a file of a name where Brevo can read it, and returns the address."""
Host = Callable[[bytes, str], Awaitable[str]]


def fit_picture(content: bytes, name: str = "picture") -> Shrunk:
    """Return a picture of at most 2 MB in a format that Brevo takes; what fits already is not touched.

    Colours, orientation and what says where it comes from are kept. Raises what `shrink` raises.
    """
    return shrink(content, name, most_bytes=MAX_BYTES)


class Gallery:
    """The pictures of one account: equal content is put there once, and its address remembered."""

    def __init__(self, caller: BrevoCaller, effects: Effects, publish: Publish) -> None:
        """Use `publish` to put a file where Brevo fetches it from."""
        self._caller = caller
        self._effects = effects
        self._publish = publish

    async def host(self, content: bytes, name: str = "picture") -> str:
        """Return the address of a picture in Brevo's gallery, put there unless it is already.

        An upload without an outcome is repeated: the worst is a second copy in the gallery, which nobody sees.
        """
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()

        async def make() -> str:
            picture = await self._caller.clock.outside(asyncio.to_thread(fit_picture, content, name))
            file = f"{digest}.{picture.ending}"
            body = {"imageUrl": await self._publish(file, picture.content), "name": file}
            return str((await self._caller.call("images.upload", body=body, interactive=True)).content["url"])

        async def look() -> str | None:
            return None

        return await self._effects.once(IMAGE, digest, make, look, {"name": name})


async def place_pictures(html: str, folder: Path, host: Host) -> str:
    """Return the HTML with each picture that is a file of `folder` or a data URL replaced by its hosted address.

    Raises `InputError` (`image.missing`) for a file that is not there or lies outside of the folder.
    """
    parts, end, hosted = [], 0, dict[str, str]()
    for match in _REFERENCE.finditer(html):
        group = "address" if match["address"] is not None else "inside"
        address = match[group].strip()
        if not _is_local(address):
            continue
        if address not in hosted:
            content = _read(address, folder)
            hosted[address] = await host(content, "data URL" if address.startswith("data:") else address)
        parts += [html[end : match.start(group)], hosted[address]]
        end = match.end(group)
    return "".join([*parts, html[end:]])


def _is_local(address: str) -> bool:
    if address.startswith("data:image/"):
        return True
    return bool(address) and not re.match(r"[a-z][a-z0-9+.-]*:|//|#|\{|%7B", address, re.IGNORECASE)


def _read(address: str, folder: Path) -> bytes:
    if address.startswith("data:"):
        head, _, body = address.partition(",")
        try:
            return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote(body).encode()
        except binascii.Error as error:
            raise InputError("a data URL in the HTML is not base64", code="image.unreadable") from error
    root = folder.resolve()
    path = (root / unquote(urlsplit(address).path)).resolve()
    try:
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise FileNotFoundError
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the HTML names the picture {address!r}, which is not a readable file in {folder}",
            code="image.missing",
            hint="Put it beside the HTML, or give its https address.",
        ) from error
