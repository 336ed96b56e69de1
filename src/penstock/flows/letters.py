"""The failed records of a run as a source, so that they can be tried again with other settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from penstock.base.types import Page, Record
from penstock.flows.state import list_letters
from penstock.runtime.store import Store


class LettersSource:
    """Unresolved dead letters of one run that hold a record; refused writes are planned anew elsewhere."""

    KIND = "letters"

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run

    def describe(self) -> str:
        return f"failed records of {self._run}"

    def identity(self) -> str:
        return f"{self.KIND}:{self._run}"

    async def pages(self, cursor: dict[str, Any] | None = None, size: int = 500) -> AsyncIterator[Page]:
        after = int(cursor["after"]) if cursor else 0
        while True:
            letters = await list_letters(self._store, self._run, after=after, limit=size)
            if not letters:
                return
            after = letters[-1].id
            records = [
                Record(letter.key, letter.record, letter.place)
                for letter in letters
                if letter.stage in ("prepare", "call") and letter.problem.code != "source.duplicate-key"
            ]
            yield Page(records, [], {"after": after})

    async def count(self) -> int | None:
        return None

    async def close(self) -> None:
        """Do nothing: the store belongs to who opened it."""
