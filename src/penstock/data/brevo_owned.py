"""What the connector makes in an account for itself: one folder and the lists in it, each made once and remembered.

Nobody else's list is ever written to: a list is ours when the ledger holds it, or when it lies empty in our folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from penstock.base.errors import RejectedError
from penstock.base.types import Finding
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

FOLDER = "Penstock"
LANDING = "Penstock updates"
"""The list that imports name, because Brevo takes none without."""
MOST_LISTS_PER_PAGE = 50


class OwnedLists:
    """The connector's lists in one account."""

    def __init__(self, caller: BrevoCaller, effects: Effects) -> None:
        self._caller = caller
        self._effects = effects
        self._numbers: dict[str, int] = {}

    async def open(self, name: str) -> int:
        """Return the number of our list, which is made where it is missing, or was deleted in Brevo."""
        if name not in self._numbers:
            await self._forget_deleted(name)
            folder = await self._open_folder()
            find = partial(self._find_list, folder, name)

            async def make() -> str:
                found = await find()
                body = {"name": name, "folderId": folder}
                return found or str((await self._caller.call("lists.create", body=body)).content["id"])

            self._numbers[name] = int(await self._effects.once("list", name, make, find))
        return self._numbers[name]

    async def _forget_deleted(self, name: str) -> None:
        known = await self._effects.get("list", name)
        if known is None or known.state != "confirmed":
            return
        try:
            await self._caller.call("lists.get", path={"id": known.receipt})
        except RejectedError as error:
            if error.code != "brevo.not-found":
                raise
            await self._effects.forget("list", name)

    async def find(self, name: str) -> int | None:
        """Return the number of our list as the ledger has it; None when it was never made."""
        if name not in self._numbers:
            known = await self._effects.get("list", name)
            if known is None or known.state != "confirmed":
                return None
            self._numbers[name] = int(known.receipt)
        return self._numbers[name]

    async def check(self, names: list[str]) -> list[Finding]:
        """Say of each list whether it can be used; writes nothing."""
        folder = await self._known_folder()
        there = await self._read_lists(folder) if folder is not None else {}
        return [_judge(name, await self.find(name), there) for name in names]

    async def create(self, names: list[str]) -> list[str]:
        """Make the lists that are missing, and return their names; what belongs to somebody else stays untouched."""
        created = []
        for name, finding in zip(names, await self.check(names), strict=True):
            if finding.fix.startswith("Add --apply-schema"):
                await self.open(name)
                created.append(name)
        return created

    async def _open_folder(self) -> int:
        async def make() -> str:
            found = await self._find_folder()
            return found or str((await self._caller.call("folders.create", body={"name": FOLDER})).content["id"])

        number = int(await self._effects.once("folder", FOLDER, make, self._find_folder))
        try:
            await self._caller.call("folders.lists", path={"id": number}, query={"limit": 1})
        except RejectedError as error:  # somebody deleted it in Brevo, and every list in it
            if error.code != "brevo.not-found":
                raise
            await self._effects.forget("folder", FOLDER)
            number = int(await self._effects.once("folder", FOLDER, make, self._find_folder))
        return number

    async def _known_folder(self) -> int | None:
        found = await self._find_folder()
        return None if found is None else int(found)

    async def _find_folder(self) -> str | None:
        return next(
            (str(row["id"]) for row in await self._read("folders.list", "folders") if row["name"] == FOLDER), None
        )

    async def _find_list(self, folder: int, name: str) -> str | None:
        return next(
            (str(number) for number, row in (await self._read_lists(folder)).items() if row["name"] == name), None
        )

    async def _read_lists(self, folder: int) -> dict[int, dict[str, Any]]:
        rows = await self._read("folders.lists", "lists", {"id": folder})
        return {int(row["id"]): row for row in rows}

    async def _read(
        self, operation: str, collection: str, path: Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            query: dict[str, Any] = {"limit": MOST_LISTS_PER_PAGE, "offset": len(rows), "sort": "asc"}
            found = (await self._caller.call(operation, path=path, query=query)).content[collection]
            rows += found
            if len(found) < MOST_LISTS_PER_PAGE:
                return rows


def _judge(name: str, known: int | None, there: Mapping[int, Mapping[str, Any]]) -> Finding:
    label = f"Brevo list {name}"
    if known is not None:
        if known in there:
            return Finding(label, "ok", f"the list {name} is ours (number {known})")
        return Finding(
            label,
            "fail",
            f"the list {name} was deleted in Brevo, or moved out of the folder {FOLDER}",
            "Give the list another name in the flow: who was on it before is then put on the new one.",
        )
    same = next((row for row in there.values() if row.get("name") == name), None)
    if same is not None and same.get("uniqueSubscribers"):
        return Finding(
            label,
            "fail",
            f"the list {name} in the folder {FOLDER} holds contacts that Penstock did not put there",
            "Give the list another name in the flow, or rename the one in Brevo.",
        )
    return Finding(
        label,
        "fail",
        f"the list {name} does not exist yet",
        f"Add --apply-schema to create it in the folder {FOLDER}.",
    )
