"""Lets the emulated Brevo act by itself when something is due: processes end, campaigns go out, webhooks leave."""

from __future__ import annotations

import asyncio

from penstock.sandbox.brevo_campaigns import Campaign
from penstock.sandbox.brevo_imports import settle
from penstock.sandbox.brevo_sending import settle_campaigns
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.loopback import Deliver


class Ticker:
    """Waits by the world's clock for what is due next; without webhooks everything waits for the next request."""

    def __init__(self, state: BrevoState, deliver: Deliver) -> None:
        self._state = state
        self._deliver = deliver
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0

    def settle(self) -> None:
        """Let everything happen that is due by now, but for deliveries."""
        settle(self._state)
        if self._state.campaigns:
            settle_campaigns(self._state)

    def next_due(self) -> float | None:
        """Return when something is due that somebody outside would notice."""
        moments = [due for due in (self._state.outbox.next_due(),) if due is not None]
        if self._state.outbox.hooks or any(process.notify for process in self._state.waiting):
            moments += [process.end / 1000 for process in self._state.waiting]
            moments += [
                moment / 1000 for one in self._state.campaigns.values() if (moment := self._due(one)) is not None
            ]
        return min(moments, default=None)

    def _due(self, one: Campaign) -> int | None:
        if one.status == "queued":
            return one.scheduled
        if one.status != "in_process":
            return None
        if one.sent is None:
            return (one.scheduled or 0) + round(self._state.behaviour.send_seconds * 1000)
        return one.decided

    def watch(self) -> None:
        """Make sure that somebody wakes when something is due next."""
        due, loop = self.next_due(), asyncio.get_running_loop()
        if due is None:
            return
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            if self._until <= due or self._task is asyncio.current_task():
                return
            self._task.cancel()
        self._until = due
        self._task = loop.create_task(self._tick())

    async def _tick(self) -> None:
        clock = self._state.world.clock
        while (due := self.next_due()) is not None:
            self._until = due
            await clock.sleep(due - clock.now())
            self._until = 0.0  # while it delivers, nobody may end it: a letter in the air would be lost
            await self.deliver()

    async def deliver(self) -> int:
        """Let everything happen that is due by now; returns how many deliveries were tried."""
        self.settle()
        return await self._state.outbox.deliver_due(self._deliver)
