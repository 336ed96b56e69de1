"""What SQLite and PostgreSQL have in common for the store: the shape of a connection, the named queries, the errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from penstock.base.errors import InputError, PenstockError, StoppedError

BUSY_SECONDS = 20.0
"""How long a transaction waits for another program's."""
LOST = "store.unreachable"
"""The code of a lost connection: nothing was written, the same transaction may be tried again."""


class Tx(Protocol):
    """An open transaction."""

    def fetch(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a named query and return its rows."""

    def run(self, name: str, values: Mapping[str, Any]) -> int:
        """Run a named statement and return how many rows it changed."""

    def run_many(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a named statement for each row."""

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows, which name the same columns, in the fastest way that the database has."""

    def fetch_keys(self, name: str, keys: Sequence[Any], /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a named query whose `:keys` is replaced by a list; returns the rows in no particular order."""

    def version(self) -> int:
        """Return the schema number."""

    def set_version(self, number: int) -> None:
        """Write the schema number."""

    def apply(self, text: str) -> None:
        """Run a migration."""


class Connection(Protocol):
    """One connection to the database."""

    failures: tuple[type[BaseException], ...]

    def prepare(self) -> None:
        """Set the database up for the first use."""

    def writing(self) -> AbstractContextManager[Tx]:
        """Open a write transaction; it is durable when the block is left."""

    def reading(self) -> AbstractContextManager[Tx]:
        """Open a read."""

    def hold(self, name: str) -> None:
        """Take a lock that the system lets go when this process dies, however it dies."""

    def is_held(self, name: str) -> bool:
        """Tell whether another process holds that lock."""

    def compact(self) -> bool:
        """Give free space back, so that nothing deleted stays in the files; False where others are in the way."""

    def explain(self, error: BaseException, place: str) -> PenstockError:
        """Say in words what a database error means and what to do."""

    def close(self) -> None:
        """Close the connection."""


@cache
def load_queries() -> Mapping[str, str]:
    """Return the statements of the `queries*.sql` files by name."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("queries*.sql")):
        parts = re.split(r"^-- name: (\w+).*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    return found


def split_statements(text: str, words: Mapping[str, str]) -> list[str]:
    """Return the statements of a migration with the words of a dialect put in."""
    text = re.sub(r"--.*", "", text)
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def full(message: str) -> StoppedError:
    """Return the error of a disk without room."""
    return StoppedError(
        message,
        code="store.full",
        hint="Free some space and run the same command again: it goes on where it stopped.",
    )


def locked(place: str) -> StoppedError:
    """Return the error of a lock that was waited for in vain."""
    return StoppedError(
        f"{place} was locked by another program for {BUSY_SECONDS:g} s",
        code="store.locked",
        hint="Close what holds it (a backup, a database browser, another run) and run the same command again.",
    )


def bad_value(place: str, text: str) -> InputError:
    """Return the error of one value that a database cannot hold."""
    return InputError(
        f"a value cannot be stored in {place}: {text}",
        code="store.bad-value",
        hint="Remove characters that are not text (NUL, half of an emoji) from this record, or shorten it.",
    )
