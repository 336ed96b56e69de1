"""What customers said, in one table: the same words by two roads are one row, whichever came first.

Texts are only kept: nothing in them is ever run, followed or fetched.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.runtime.barred import find_barred, fold_identifier
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store

Road = Literal["http", "file", "event", "conversation", "mail", "shell"]

LONGEST_TEXT = 20_000
"""Characters of one text that are kept."""
LONGEST_NAME = 200
LONGEST_EXTRA = 10_000
PIECE = 500
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")
_LAST = 1 << 62


class Said(msgspec.Struct, frozen=True):
    """One piece of feedback. `happened_at` is in seconds since 1970, 0 where nobody says when it was."""

    id: str
    source: str
    road: Road
    contact: str
    text: str
    extra: dict[str, Any] = {}
    happened_at: float = 0.0


class Row(msgspec.Struct, frozen=True):
    """One piece of feedback as it is kept; `number` is its place, `at` when it came."""

    number: int
    id: str
    source: str
    road: str
    contact: str
    text: str
    extra: dict[str, Any]
    happened_at: float
    at: float


class Put(msgspec.Struct, frozen=True):
    """What became of feedback: new rows, known ones, and those of people who were forgotten, which are not kept."""

    added: int = 0
    known: int = 0
    forgotten: int = 0

    def __add__(self, more: Put) -> Put:
        return Put(self.added + more.added, self.known + more.known, self.forgotten + more.forgotten)


class Feedback:
    """The feedback of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, said: Sequence[Said]) -> Put:
        """Keep feedback; returns once it is on disk. The later version of the same feedback stays."""
        if not said:
            return Put()
        numbers = [self._store.next_number() for _ in said]
        return await self._store.batch(_put, (tuple(said), numbers, self._clock.now()))

    async def page(self, after: int = 0, source: str = "", limit: int = PIECE) -> list[Row]:
        """Return feedback in the order in which it came."""
        return [_row(one) for one in await self._store.read("feedback_after", after=after, source=source, limit=limit)]

    async def newest(self, before: int = _LAST, source: str = "", limit: int = PIECE) -> list[Row]:
        """Return feedback, the newest first."""
        rows = await self._store.read("feedback_before", before=before, source=source, limit=limit)
        return [_row(one) for one in rows]

    async def counts(self, source: str = "") -> dict[tuple[str, str], int]:
        """Return how much there is, by source and road."""
        rows = await self._store.read("count_feedback", source=source)
        return {(str(name), str(road)): int(count) for name, road, count in rows}


def make_said(
    road: Road,
    *,
    text: object,
    source: object,
    id: object = None,
    contact: object = None,
    happened_at: float = 0.0,
    extra: dict[str, Any] | None = None,
) -> Said:
    """Return feedback with a stable id: the source's own id, else one made of who said what when.

    Spellings that mean the same give the same: ids as numbers or texts, addresses in capitals, white space around.
    Raises `InputError` (`feedback.no-text`, `feedback.bad-source`, `feedback.bad-id`, `feedback.too-much`).
    """
    words = _clean(text)
    if not words.strip():
        raise InputError("the feedback has no text", code="feedback.no-text", hint="Give it a `text`.", where="text")
    name = _clean(source).strip().lower()
    if not _SOURCE.match(name):
        raise InputError(
            "the source of feedback is a short name",
            code="feedback.bad-source",
            hint="Letters, digits, hyphens, dots and underscores, at most 64, such as reviews.",
            where="source",
        )
    who = fold_identifier(_short(contact, "contact"))
    own = _short(id, "id")
    if not own:
        content = "\n".join((who, f"{happened_at:.0f}", " ".join(words.split())))
        own = "~" + hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=12).hexdigest()
    more = {key: value for key, value in (extra or {}).items() if value not in (None, "")}
    if len(words) > LONGEST_TEXT:
        more["cut_from"] = len(words)
        words = words[:LONGEST_TEXT]
    if len(msgspec.json.encode(more)) > LONGEST_EXTRA:
        raise InputError(
            f"what comes with the feedback is larger than {LONGEST_EXTRA:,} bytes",
            code="feedback.too-much",
            hint="Send the text and a few facts; leave out what no flow reads.",
        )
    return Said(f"{name}:{own}", name, road, who, words, more, happened_at)


def _short(value: object, name: str) -> str:
    text = " ".join(_clean(value).split())
    if len(text) > LONGEST_NAME:
        raise InputError(
            f"the {name} of feedback is longer than {LONGEST_NAME} characters", code="feedback.bad-id", where=name
        )
    return text


def _clean(value: object) -> str:
    """Return a value as text that every store can hold: normal form, without NUL and broken halves of characters."""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a spreadsheet's 17.0 is the 17 of everybody else
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFC", text)


def _put(tx: Tx, items: Sequence[tuple[tuple[Said, ...], list[int], float]]) -> list[Put]:
    return [_put_one(tx, said, numbers, at) for said, numbers, at in items]


def _put_one(tx: Tx, said: tuple[Said, ...], numbers: list[int], at: float) -> Put:
    barred = find_barred(tx, {one.contact for one in said if one.contact})
    kept = {one.id for one in said}
    known = {str(row[0]) for row in tx.fetch_keys("known_feedback", list(kept))}
    forgotten = 0
    rows = []
    for one, number in zip(said, numbers, strict=True):
        if barred.get(one.contact) == "forgotten":
            forgotten += 1
            continue
        row: dict[str, Any] = msgspec.structs.asdict(one)
        rows.append({**row, "extra": msgspec.json.encode(one.extra).decode(), "number": number, "at": at})
    tx.run_many("put_feedback", rows)
    added = len({row["id"] for row in rows} - known)
    return Put(added, len(rows) - added, forgotten)


def _row(found: tuple[Any, ...]) -> Row:
    number, name, source, road, contact, text, extra, happened_at, at = found
    return Row(int(number), name, source, road, contact, text, msgspec.json.decode(extra), happened_at, at)
