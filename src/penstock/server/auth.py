"""Who may use the HTTP service: named tokens, kept only as hashes, each allowed to do no more than it needs."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import AccessError, InputError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

ALLOWED = ("events", "work", "metrics", "manage")
"""What a token may be for: sending events, operations and flows, reading the metrics, or managing connections."""
USUAL = ("events", "work", "metrics")
"""What a token is for where nothing else is said."""
FRESH_SECONDS = 5.0
"""A token that was removed stops working after this; one that was added works at once."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_SHAPE = re.compile(r"pst-([a-z][a-z0-9-]{0,63})\.([0-9a-z]{36})\Z")


class Token(msgspec.Struct, frozen=True):
    """Who sends a request: the name of the source, what it may do, and how its events are read."""

    name: str
    allow: tuple[str, ...] = USUAL
    mapping: str = ""
    created_at: float = 0.0
    hash: bytes = b""

    def may(self, what: str) -> bool:
        """Tell whether the token is for this."""
        return what in self.allow

    def shown(self) -> dict[str, Any]:
        """Return what may be shown of a token."""
        created = datetime.fromtimestamp(self.created_at, UTC).isoformat(timespec="seconds")
        return {"name": self.name, "allow": list(self.allow), "mapping": self.mapping, "created": created}


NOBODY = Token("local", ALLOWED)
"""Who sends a request where no token is asked for: on loopback, with `--no-auth`."""


class Tokens:
    """The tokens of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Token] = {}
        self._read_at = float("-inf")

    async def add(self, name: str, *, allow: Sequence[str] = USUAL, mapping: str = "") -> str:
        """Make a token for a source and return it: the only time that it can be seen.

        A token of the same name is replaced. Raises `InputError` for a name that is none.
        """
        if not _NAME.match(name):
            raise InputError(
                f"{name!r} is not a name for a token",
                code="token.bad-name",
                hint="A lower-case letter, then letters, digits and hyphens, at most 64: penstock tokens add web-shop",
            )
        secret = "".join(self._clock.new_id("")[-12:] for _ in range(3))  # 180 bits of chance
        text = f"pst-{name}.{secret}"
        row = {"name": name, "hash": _hash(text), "allow": ",".join(allow), "mapping": mapping}
        await self._store.batch(_save, {**row, "at": self._clock.now()})
        self._read_at = float("-inf")
        return text

    async def remove(self, name: str) -> None:
        """Delete a token; raises `InputError` when there is none of that name."""
        self._read_at = float("-inf")
        if not await self._store.batch(_remove, name):
            raise InputError(
                f"there is no token {name!r}", code="token.no-such-name", hint="`penstock tokens list` shows them."
            )

    async def list(self) -> list[Token]:
        """Return every token, by name."""
        rows = await self._store.read("tokens")
        return [
            Token(name, tuple(allow.split(",")), mapping, at, bytes(mark)) for name, mark, allow, mapping, at in rows
        ]

    async def recognise(self, header: str | None) -> Token:
        """Return whose token an `Authorization` header carries; raises `AccessError` otherwise."""
        kind, _, text = (header or "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise AccessError(
                "the request carries no token",
                code="token.missing",
                hint="Send the header `Authorization: Bearer TOKEN`; `penstock tokens add NAME` makes one.",
            )
        text = text.strip()
        shape = _SHAPE.match(text)
        found = await self._find(shape[1]) if shape else None
        # Compared also when there is no such name, so that the time tells nothing.
        if not hmac.compare_digest(_hash(text), found.hash if found else bytes(32)) or found is None:
            raise AccessError(
                "the token of the request is not known",
                code="token.unknown",
                hint="`penstock tokens list` shows the names that are known; `penstock tokens add NAME` makes one.",
            )
        return found

    async def _find(self, name: str) -> Token | None:
        now = self._clock.monotonic()
        if now - self._read_at >= FRESH_SECONDS or (name not in self._known and now - self._read_at >= 0.5):
            self._known = {token.name: token for token in await self.list()}
            self._read_at = now
        return self._known.get(name)


def check_allowed(token: Token, what: str) -> None:
    """Raise `AccessError` when a token is not for this."""
    if not token.may(what):
        raise AccessError(
            f"the token {token.name} is for {' and '.join(token.allow)}, not for {what}",
            code="token.not-allowed",
            hint=f"Use another token, or make one: penstock tokens add NAME --allow {what}",
        )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_token", items)
    return [None] * len(items)


def _remove(tx: Tx, items: Sequence[str]) -> list[bool]:
    return [tx.run("remove_token", {"name": name}) > 0 for name in items]
