"""Work that Brevo does in the background, each begun once: noted before it is sent, followed to its end.

A process that a former run left behind is awaited before anything else is written: it would overwrite what is newer.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from penstock.base.errors import PenstockError, RejectedError, UnavailableError
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

KIND = "process"
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, LONGEST_SECONDS = 3.0, 60.0, 3600.0
NEWEST = 50
"""Of a process whose number was lost on the way, the newest so many are looked at."""
ENDED = ("completed", "failed", "cancelled")


class Begun(msgspec.Struct, frozen=True):
    """A process that Brevo took in hand; `number` is None where Brevo gave none."""

    name: str
    number: int | None


class Processes:
    """The background processes of one account that this connector begins."""

    def __init__(self, caller: BrevoCaller, effects: Effects) -> None:
        self._caller = caller
        self._effects = effects
        self._settling = asyncio.Lock()

    async def begin(self, operation: str, body: dict[str, Any], answer: str) -> Begun:
        """Send a body that starts a process; `answer` is the field of the answer that names it."""
        name = f"{operation} {hashlib.blake2b(msgspec.json.encode(body), digest_size=16).hexdigest()}"
        await self._effects.forget(KIND, name)
        await self._effects.send(await self._effects.plan(KIND, name))
        try:
            content = (await self._caller.call(operation, body=body)).content or {}
        except PenstockError as error:
            if isinstance(error, UnavailableError) and error.sent:
                await self._effects.settle(KIND, name, "unknown")
            else:
                await self._effects.forget(KIND, name)
            raise
        except BaseException:
            self._effects.doubt(KIND, name)
            raise
        number = content.get(answer)
        if number is not None:
            await self._effects.settle(KIND, name, "sent", str(number))
        return Begun(name, None if number is None else int(number))

    async def end(self, begun: Begun) -> dict[str, Any] | None:
        """Follow a process to its end and return what Brevo says of it; None when that takes too long.

        What Brevo shows no process for counts as completed.
        """
        try:
            content = {"status": "completed"} if begun.number is None else await self._follow(begun.number)
        except BaseException:
            self._effects.doubt(KIND, begun.name)
            raise
        if content is None:
            await self._effects.settle(KIND, begun.name, "unknown")
        else:
            await self._effects.forget(KIND, begun.name)
        return content

    async def settle(self) -> None:
        """Wait for what former runs began and nobody saw the end of; raises when it still goes on."""
        async with self._settling:
            for lost in await self._effects.lost(KIND):
                numbers = [int(lost.receipt)] if lost.receipt else await self._find_unended()
                for number in numbers:
                    if await self._follow(number) is None:
                        raise UnavailableError(
                            f"Brevo has not finished its process {number} in an hour",
                            code="brevo.process-unfinished",
                            hint="Run the same command again later: newer values must not be overwritten by it.",
                            sent=False,
                        )
                await self._effects.forget(KIND, lost.name)

    async def _find_unended(self) -> list[int]:
        query: dict[str, Any] = {"limit": NEWEST, "sort": "desc"}
        found = (await self._caller.call("processes.list", query=query)).content["processes"]
        return [int(one["id"]) for one in found if one.get("status") not in ENDED]

    async def _follow(self, number: int) -> dict[str, Any] | None:
        """Poll ever more rarely, for polls share a limit of some hundred calls an hour."""
        clock = self._caller.clock
        give_up, wait = clock.monotonic() + LONGEST_SECONDS, FIRST_POLL_SECONDS
        while clock.monotonic() < give_up:
            await clock.sleep(wait)
            try:
                content: dict[str, Any] = (await self._caller.call("processes.get", path={"id": number})).content
            except RejectedError:
                return {"status": "completed"}
            if content.get("status") in ENDED:
                return content
            wait = min(wait * 1.6, LONGEST_POLL_SECONDS)
        return None
