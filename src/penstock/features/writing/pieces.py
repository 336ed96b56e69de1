"""Content that was made for campaigns, by hash: what it is, what its checks said, and what a person decided about it.

A decision holds for exactly that content: another word, another point of a picture, and it is another piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

Kind = Literal["subject", "email", "button", "visual", "template"]
State = Literal["draft", "approved", "rejected"]
SHOWN = 12
"""Characters of a hash that name a piece in lists."""
_LEAST = 4


class Piece(msgspec.Struct, frozen=True):
    """One text or picture."""

    digest: str
    kind: Kind
    language: str
    angle: str
    title: str
    model: str
    warnings: list[str] = []
    state: State = "draft"
    by: str = ""
    reason: str = ""
    at: float = 0.0
    decided_at: float = 0.0


def digest_of(content: bytes | str) -> str:
    """Return the hash that names a content."""
    return hashlib.blake2b(content.encode() if isinstance(content, str) else content, digest_size=16).hexdigest()


async def keep_pieces(store: Store, clock: Clock, pieces: Iterable[Piece]) -> list[Piece]:
    """Keep new pieces as drafts, and return all of them as they are known: a decision of before still holds."""
    kept = []
    for one in pieces:
        row = {name: getattr(one, name) for name in ("digest", "kind", "language", "angle", "title", "model")}
        row |= {"warnings": msgspec.json.encode(one.warnings).decode(), "at": clock.now()}
        await store.batch(_save, row)
        kept += await find_pieces(store, [one.digest])
    return kept


async def find_pieces(store: Store, digests: Iterable[str]) -> list[Piece]:
    """Return what is known of contents; what was not made here is left out."""
    found = []
    for digest in dict.fromkeys(digests):
        found += [_read(row) for row in await store.read("piece", digest=digest)]
    return found


async def list_pieces(store: Store, state: str = "") -> list[Piece]:
    """Return all pieces, oldest first; those in one state where it is given."""
    return [_read(row) for row in await store.read("pieces", state=state)]


async def decide_piece(store: Store, clock: Clock, which: str, state: State, by: str, reason: str = "") -> Piece:
    """Note what a person decided about a piece, named by the beginning of its hash.

    Raises `InputError` (`content.unknown-piece`) for none or several of that name.
    """
    found = [one for one in await list_pieces(store) if len(which) >= _LEAST and one.digest.startswith(which)]
    if len(found) != 1:
        raise InputError(
            f"{len(found) or 'no'} pieces of content are called {which!r}",
            code="content.unknown-piece",
            hint="`penstock content list` shows them; give the file itself, or more of the name.",
        )
    row = {"digest": found[0].digest, "state": state, "by": by, "reason": reason, "at": clock.now()}
    await store.batch(_decide, row)
    (piece,) = await find_pieces(store, [found[0].digest])
    return piece


async def link_pieces(store: Store, account: str, number: int, digests: Iterable[str]) -> None:
    """Note which pieces a campaign holds, in the place of what it held before."""
    await store.batch(_link, {"account": account, "number": number, "digests": list(dict.fromkeys(digests))})


async def read_linked(store: Store, account: str, number: int) -> list[Piece]:
    """Return the pieces that a campaign holds, as far as they were made here."""
    return [_read(row) for row in await store.read("pieces_of_campaign", account=account, number=number)]


async def approve_linked(store: Store, clock: Clock, account: str, number: int, by: str) -> None:
    """Note that a person who approves a campaign approves what it holds; what was rejected stays so."""
    await store.batch(_approve, {"account": account, "number": number, "by": by, "at": clock.now()})


def _read(row: Sequence[Any]) -> Piece:
    digest, kind, language, angle, title, model, warnings, *rest = row
    return Piece(digest, kind, language, angle, title, model, msgspec.json.decode(warnings), *rest)


def _save(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("save_piece", items)
    return [None] * len(items)


def _decide(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("decide_piece", items)
    return [None] * len(items)


def _approve(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    tx.run_many("approve_pieces_of", items)
    return [None] * len(items)


def _link(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
    for item in items:
        place = {"account": item["account"], "number": item["number"]}
        tx.run("unlink_pieces", place)
        tx.run_many("link_piece", [{**place, "digest": digest} for digest in item["digests"]])
    return [None] * len(items)
