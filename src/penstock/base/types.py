"""Values that every floor shares: records, money, usage, problems, and what a Source and a Sink are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from penstock.base.errors import PenstockError

Money = int
"""An amount in picodollars (1e-12 USD): every vendor price per token is a whole number of them."""

DOLLAR: Money = 1_000_000_000_000


def to_money(dollars: float | str) -> Money:
    """Turn dollars into picodollars, exactly for decimal strings."""
    from decimal import Decimal

    return int((Decimal(str(dollars)) * DOLLAR).to_integral_value())


def format_money(amount: Money | None) -> str:
    """Write an amount for people; an unknown price is never shown as zero."""
    if amount is None:
        return "unknown"
    dollars = amount / DOLLAR
    if amount and abs(dollars) < 0.01:
        return f"${dollars:.6f}"
    return f"${dollars:,.2f}" if abs(dollars) >= 1 else f"${dollars:.4f}"


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What one call used, in tokens unless a field says otherwise.

    `cached`, `cache_write`, `image_input` and `audio_input` are inside `input`;
    `reasoning`, `image_output` and `audio_output` are inside `output`.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    images: int = 0
    """Pictures made."""
    seconds: float = 0.0
    """Audio listened to, where it is billed by time."""
    image_input: int = 0
    image_output: int = 0
    audio_input: int = 0
    audio_output: int = 0
    characters: int = 0
    """Characters read aloud, where speech is billed by them."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(_amounts(self), _amounts(other), strict=True)))


def _amounts(usage: Usage) -> tuple[Any, ...]:
    return msgspec.structs.astuple(usage)


class Problem(msgspec.Struct, frozen=True):
    """Why one item failed: the part of an error that can be stored, shown and sent."""

    code: str
    message: str
    hint: str = ""
    where: str = ""

    @classmethod
    def from_error(cls, error: BaseException, where: str = "") -> Problem:
        """Keep what a person needs of an exception."""
        if isinstance(error, PenstockError):
            return cls(error.code, error.message, error.hint, error.where or where)
        return cls("penstock.defect", f"{type(error).__name__}: {error}", "Please report this as a bug.", where)


class Record(msgspec.Struct, frozen=True):
    """One row of a source: its stable key, its fields, and where it stands (file and line, table and row)."""

    key: str
    data: dict[str, Any]
    where: str = ""


class Reject(msgspec.Struct, frozen=True):
    """A row that could not be read: kept aside with its raw text, never dropped."""

    where: str
    raw: str
    problem: Problem


class Page(msgspec.Struct):
    """A slice of a source. `cursor` resumes the source right after this page; it is plain JSON."""

    records: list[Record]
    rejects: list[Reject] = []
    cursor: dict[str, Any] | None = None


@runtime_checkable
class Source(Protocol):
    """Where records come from."""

    def describe(self) -> str:
        """Name the source for people, without secrets: `feedback.csv`, `table feedback`."""

    def identity(self) -> str:
        """Name what a cursor belongs to (path, table, account): a cursor never continues on another one."""

    def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        """Yield pages of at most `size` records in a stable order, from `cursor` on.

        Raises `InputError` or `SettingsError` when the source as a whole cannot be read;
        a single bad row is a `Reject` in its page.
        """

    async def count(self) -> int | None:
        """Return the number of records where it is cheap to know, else None."""

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class ChangingSource(Source, Protocol):
    """A source that can tell what changed since an earlier scan, and what is there now."""

    @property
    def has_changes(self) -> bool:
        """Say whether it can tell that of what was chosen here."""

    def start_from(self, watermark: dict[str, Any]) -> None:
        """Read only what changed since; `describe` says so, and `pages` without a cursor starts there."""

    def watermark_of(self, cursor: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what `start_from` takes, from the last cursor of a drained scan; None for any other cursor."""

    @property
    def knows_gone(self) -> bool:
        """Say whether a record that `all_keys` does not name is gone, not just old."""

    def all_keys(self) -> AsyncIterator[list[str]]:
        """Yield the keys of all records that are there now."""

    async def total(self) -> int | None:
        """Return how many records there are now, changed or not, where that is cheap to know."""


class Change(msgspec.Struct, frozen=True):
    """One intended write: what to set on whom.

    `id` is the stable id of the effect (the same after a crash); `kind` is the sink's
    own word for it (`row`, `attributes`, `event`); `match` identifies the target.
    `is_first` says that nothing was ever sent to it, so that nothing of ours has to be taken back; `is_known` that
    the target was there before: when it is there no more, somebody deleted it, and it must not be created again.
    """

    id: str
    kind: str
    match: dict[str, Any]
    fields: dict[str, Any]
    is_first: bool = False
    is_known: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What became of one change.

    confirmed: the target has it. rejected: it never will, see `problem`. conflict: the
    target holds something that must not be overwritten. later: not written, try again.
    unknown: sent, but no answer came; look before repeating.
    """

    state: Literal["confirmed", "rejected", "conflict", "later", "unknown"]
    problem: Problem | None = None
    receipt: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One verdict of a check: `ok`, `warn` or `fail`, what was looked at and how to mend it."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""


@runtime_checkable
class Sink(Protocol):
    """Where results go, one change at a time; writing the same change again is harmless or detected."""

    def describe(self) -> str:
        """Name the sink for people, without secrets."""

    def identity(self) -> str:
        """Name the account or file that the effect ledger belongs to."""

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        """Look whether `fields` (name to kind: text, number, date, boolean) can be written. Writes nothing."""

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write; returns one outcome per change, in order. Raises only what stops the whole run."""

    async def find(self, changes: Sequence[Change]) -> list[Outcome]:
        """Look up changes whose outcome is unknown after a crash, without writing.

        `later` means: it is certainly not there, write it again.
        """

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class SnapshotSink(Protocol):
    """A sink that is rewritten as a whole, atomically, such as a file."""

    def describe(self) -> str:
        """Name the sink for people."""

    def identity(self) -> str:
        """Name the file that is replaced."""

    async def check(self, fields: dict[str, str]) -> list[Finding]:
        """Look whether the file can be written."""

    async def replace(self, rows: AsyncIterator[dict[str, Any]]) -> int:
        """Write all rows to a new file, then put it in place; returns the number of rows."""
