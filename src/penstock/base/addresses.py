"""Which addresses a caller from outside may make this machine call: only public ones.

Guards against server-side request forgery where a URL comes over HTTP. Redirects are never
followed (`vendor.http`), and a client keeps to the addresses that were checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from penstock.base.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_PLAIN_URL = re.compile(r"[!-~]+\Z")  # printable ASCII: no space, no control character, no letter that only looks alike
_HOST_NAME = re.compile(r"(?i)[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # publicly numbered, but answered by the cloud's own host (Azure)
        "192.0.0.0/24",  # protocol assignments, among them a cloud's metadata; older Pythons call them global
        "64:ff9b:1::/48",  # translation inside one network (RFC 8215)
    )
)


def check_public_url(url: str, *, allow_loopback: bool = False) -> None:
    """Raise `SettingsError` unless `url` is https, without credentials, and leads to public addresses only.

    `allow_loopback` also lets this machine's own addresses pass, over http too. Asks the
    name service and so may block for seconds.
    """
    find_public_addresses(url, allow_loopback=allow_loopback)


def find_public_addresses(
    url: str, *, allow_loopback: bool = False, with_query: bool = False, resolve: Resolve | None = None
) -> tuple[str, ...]:
    """Check a URL like `check_public_url`, and return the addresses that its host has now.

    `with_query` is for the address of a file, which may have a query; a base URL has none.
    """
    parts, host, port = _split(url, with_query)
    found = _to_addresses(host, (resolve or _resolve)(host, port))
    if not found:
        raise _refuse(host, "its name has no address")
    for address in found:
        if allow_loopback and _inner(address).is_loopback:
            continue
        if not _is_public(address):
            raise _refuse(host, f"it leads to {address}, which is not a public address")
        if parts.scheme != "https":
            raise _refuse(host, "only https is safe")
    return tuple(str(address) for address in found)


def _split(url: str, with_query: bool) -> tuple[SplitResult, str, int]:
    """Take a URL apart; whatever two parsers could read differently is refused."""
    if not _PLAIN_URL.match(url) or "\\" in url:
        raise _refuse("this URL", "it holds characters that do not belong into a URL")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise _refuse("this URL", f"it cannot be read ({error})") from error
    if parts.scheme not in ("https", "http"):
        raise _refuse(host or "this URL", "a URL starts with https://")
    if "@" in parts.netloc:
        raise _refuse(host, "user names and passwords do not belong into a URL")
    is_bracketed = parts.netloc.startswith("[")
    if not host or not (is_bracketed or _HOST_NAME.match(host)):
        raise _refuse(host or "this URL", "it names no proper host")
    if parts.fragment or (parts.query and not with_query):
        raise _refuse(host, "a base URL has neither a query nor a fragment")
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def _resolve(host: str, port: int) -> Sequence[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise _refuse(host, f"its name cannot be resolved ({error})") from error


def _to_addresses(host: str, texts: Sequence[str]) -> list[Address]:
    try:
        return list(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in texts))
    except ValueError as error:
        raise _refuse(host, f"its name has no proper address ({error})") from error


def _inner(address: Address) -> Address:
    """Return the address that is really reached where one is wrapped in another."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    inner = _inner(address)
    if inner.is_multicast or inner.is_reserved or inner.is_unspecified or inner.is_loopback:
        return False
    return inner.is_global and not any(inner in network for network in _NEVER)


def _refuse(host: str, why: str) -> SettingsError:
    return SettingsError(
        f"{host} may not be called: {why}",
        code="address.not-public",
        hint="Give a public https:// address. One inside your own network is set on this machine: "
        "`penstock connections add`.",
        where="base URL",
    )
