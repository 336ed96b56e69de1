"""The same write with the same Idempotency-Key is done once: its answer is kept for a day and given again."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from penstock.base.clock import Clock
from penstock.base.errors import FixError, InputError, PenstockError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

KEEP_SECONDS = 86_400.0
LONGEST_KEY = 200
_PASSING = (401, 403, 408, 409, 429)
"""Answers that may differ the next time, as all from 500 on: they are not kept, so that the key can be used again."""


class Kept(msgspec.Struct, frozen=True):
    """What is known of a key: who asked for what, and the answer when there is one."""

    request: bytes
    session: str
    state: str
    status: int
    headers: str
    body: bytes


class Replies:
    """The kept answers of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def once(
        self, who: str, key: str | None, request: bytes, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Answer a write; with a key that was used before give the kept answer instead.

        `request` is everything that makes a request the same. Raises `InputError` when the
        key stood for another request, `FixError` while the first one is still under way.
        """
        if key is None:
            return await answer()
        if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise InputError(
                f"an Idempotency-Key has 1 to {LONGEST_KEY} printable characters",
                code="idempotency.bad-key",
                hint="A random id for each new request will do.",
            )
        kept = await self._claim(who, key, hashlib.blake2b(request, digest_size=16).digest())
        if kept is not None:
            headers = {**msgspec.json.decode(kept.headers), "Idempotent-Replayed": "true"}
            return Response(kept.body, status_code=kept.status, headers=headers)
        try:
            response = await answer()
        except PenstockError:
            await self._store.batch(_release, (key, who))
            raise
        except BaseException:
            self._store.post(_release, (key, who))
            raise
        await self._keep(who, key, response)
        return response

    async def _claim(self, who: str, key: str, request: bytes) -> Kept | None:
        row: dict[str, Any] = {"who": who, "key": key, "request": request, "session": self._store.session}
        row |= {"body": b"", "at": self._clock.now()}
        kept = await self._store.batch(_claim, row)
        if kept is not None and kept.state == "open" and kept.request == request and await self._is_dead(kept.session):
            await self._store.batch(_take_over, {**row, "from": kept.session})
            kept = None
        if kept is None:
            return None
        if kept.request != request:
            raise InputError(
                "this Idempotency-Key was used for another request",
                code="idempotency.key-reused",
                hint="Use a new key for each new request, and the same one only to send the same request again.",
            )
        if kept.state == "open":
            raise FixError(
                "the first request with this Idempotency-Key is still under way",
                code="idempotency.in-progress",
                hint="Send the request again in a moment: it gets the answer of the first one.",
            )
        return kept

    async def _is_dead(self, session: str) -> bool:
        """Tell whether the process that began to answer has gone without an answer."""
        if session == self._store.session:
            return False
        return bool(await self._store.find_dead([session]))

    async def _keep(self, who: str, key: str, response: Response) -> None:
        if response.status_code >= 500 or response.status_code in _PASSING or not hasattr(response, "body"):
            await self._store.batch(_release, (key, who))
            return
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        row = {
            "who": who,
            "key": key,
            "status": response.status_code,
            "headers": msgspec.json.encode(headers).decode(),
            "body": bytes(response.body),
        }
        await self._store.batch(_finish, row)

    async def forget_old(self) -> None:
        """Delete answers that are older than a day."""
        await self._store.batch(_forget, self._clock.now() - KEEP_SECONDS)


def _claim(tx: Tx, items: Sequence[dict[str, Any]]) -> list[Kept | None]:
    return [_claim_one(tx, item) for item in items]


def _claim_one(tx: Tx, item: dict[str, Any]) -> Kept | None:
    rows = tx.fetch("reply", {"key": item["key"], "who": item["who"]})
    if rows:
        request, session, state, status, headers, body = rows[0]
        return Kept(bytes(request), session, state, int(status), headers, bytes(body))
    tx.run("open_reply", item)
    return None


def _take_over(tx: Tx, items: Sequence[dict[str, Any]]) -> list[FixError | None]:
    return [None if tx.run("take_over_reply", item) else _taken() for item in items]


def _taken() -> FixError:
    return FixError("another request with this Idempotency-Key is under way", code="idempotency.in-progress")


def _finish(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("finish_reply", items)
    return [None] * len(items)


def _release(tx: Tx, items: Sequence[tuple[str, str]]) -> list[None]:
    tx.run_many("release_reply", [{"key": key, "who": who} for key, who in items])
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[float]) -> list[None]:
    tx.run("forget_replies", {"before": max(items)})
    return [None] * len(items)
