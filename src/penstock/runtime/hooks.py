"""The webhooks that Penstock has at Brevo: which they are, and hashes of what proves their deliveries."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.clock import Clock, secure_bytes
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store


class Hook(msgspec.Struct, frozen=True):
    """One webhook of an account; `number` is Brevo's id, 0 while it is not known."""

    account: str
    type: str
    connection: str
    number: int
    path: bytes
    token: bytes
    at: float

    def has_path(self, secret: str) -> bool:
        """Tell whether this is the secret part of its address."""
        return hmac.compare_digest(self.path, hash_secret(secret))

    def has_token(self, token: str) -> bool:
        """Tell whether this is its token."""
        return hmac.compare_digest(self.token, hash_secret(token))


class Hooks:
    """The webhooks of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self) -> list[Hook]:
        """Return every webhook that is known here."""
        return [
            Hook(account, kind, connection, int(number), bytes(path), bytes(token), at)
            for account, kind, connection, number, path, token, at in await self._store.read("hooks")
        ]

    async def save(self, account: str, type: str, connection: str, path: str, token: str, number: int = 0) -> None:
        """Note a webhook and the hashes of its secrets; one of the same account and type is replaced."""
        row = {"account": account, "type": type, "connection": connection, "number": number, "at": self._clock.now()}
        await self._store.batch(_save, {**row, "path": hash_secret(path), "token": hash_secret(token)})

    async def number(self, account: str, type: str, number: int) -> None:
        """Note what Brevo calls a webhook."""
        await self._store.batch(_number, {"account": account, "type": type, "number": number})

    async def remove(self, account: str, type: str) -> None:
        """Forget a webhook: its deliveries are refused from now on."""
        await self._store.batch(_remove, {"account": account, "type": type})


def new_secret() -> str:
    """Return 40 hexadecimal digits of chance, 160 bits."""
    return secure_bytes(20).hex()


def hash_secret(text: str) -> bytes:
    """Return what is kept of a secret of full chance, which needs no salt."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_hook", items)
    return [None] * len(items)


def _number(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("number_hook", items)
    return [None] * len(items)


def _remove(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("remove_hook", items)
    return [None] * len(items)
