"""Works on an emulated Brevo account in processes that kill themselves: `brevo_mortal.py BASE_URL`, one order a line.

An order is `FOLDER ACTION POINT TIME`. A process of its own does the action, and ends by SIGKILL at that point: before
or after a request to a vendor, or before, inside or after a transaction of the store. Point 0 lets it finish. TIME
begins its clock, which jumps over waits and tells the vendors.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brevo_hearing import Ear
from campaign_desk import CAMPAIGN, HTML, change

from forks import fork_for_each_order
from penstock.base.clock import ManualClock
from penstock.campaigns.desk import Campaigns
from penstock.data.brevo import read_account
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.vendor.http import Http
from penstock.workspace import Workspace


class Fate:
    """Counts the points that a process comes by, and ends it at one of them."""

    def __init__(self, kill_at: int) -> None:
        self._kill_at = kill_at
        self.points = 0

    def pass_by(self) -> None:
        self.points += 1
        if self.points == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalHttp(Http):
    """Requests that a process may not survive."""

    def __init__(self, fate: Fate, clock: ManualClock) -> None:
        super().__init__()
        self._fate = fate
        self._clock = clock

    async def send(self, method: str, url: str, *, headers: Any, **rest: Any) -> Any:
        self._fate.pass_by()
        headers = {**headers, "x-trial-time": f"{self._clock.now():.3f}"}
        reply = await self._clock.outside(super().send(method, url, headers=headers, **rest))
        self._fate.pass_by()
        return reply


class MortalConnection:
    """The writing connection of a store, with transactions that a process may not survive."""

    def __init__(self, connection: Any, fate: Fate) -> None:
        self._connection = connection
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        self._fate.pass_by()
        with self._connection.writing() as tx:
            yield tx
            self._fate.pass_by()
        self._fate.pass_by()


class Caught:
    """As much of a shop as an ear needs."""

    def __init__(self, workspace: Workspace, organization: str) -> None:
        self.clock = workspace.clock
        self.state = type("State", (), {"organization": organization})
        self.caller = workspace.vendors.open_brevo


async def hear(workspace: Workspace, folder: Path) -> None:
    """Take in every delivery that lies in the folder, and deal with it."""
    account = await read_account(workspace.vendors.open_brevo())
    ear = Ear(Caught(workspace, account.id), workspace.store)  # type: ignore[arg-type]
    await ear.inbox.recover()  # as the service does, at its beginning and now and then
    for kind, body in json.loads((folder / "letters.json").read_text()):
        await ear.take(kind, b64decode(body))
    await ear.handle()
    await ear.hooks.reconcile("brevo", full=True)


async def draft(workspace: Workspace, folder: Path) -> None:
    """Draft the campaign whose subject lies in the folder."""
    caller = workspace.vendors.open_brevo()
    account = await read_account(caller)

    async def publish(name: str, _content: bytes) -> str:
        return f"https://pictures.example/{name}"

    campaigns = Campaigns(workspace.store, workspace.clock, caller, account, publish, local=True)
    campaign = change(CAMPAIGN, subject=(folder / "subject").read_text(), html=HTML)
    await campaigns.draft(CampaignFile(campaign, "campaign", folder))


async def work(order: list[str]) -> None:
    place, action, point, time = order
    folder, fate = Path(place), Fate(int(point))
    clock = ManualClock(float(time), seed=os.getpid())
    await clock.run(live(folder, action, fate, clock))


async def live(folder: Path, action: str, fate: Fate, clock: ManualClock) -> None:
    over = {"sandbox": True, "sandbox-url": sys.argv[1]}
    async with Workspace.open(folder, overrides=over, environ={}, clock=clock, command="test") as workspace:
        await workspace.vendors.http.close()
        workspace.vendors.http = MortalHttp(fate, clock)
        workspace.store._writer = MortalConnection(workspace.store._writer, fate)  # type: ignore[assignment]
        if action == "run":
            report = await workspace.run(folder / "flow.yaml", apply_schema=True)
            assert report.problem is None, report.problem
        else:
            await (hear if action == "hear" else draft)(workspace, folder)


if __name__ == "__main__":
    import penstock.data.brevo
    import penstock.data.brevo_objects
    import penstock.features.sentiment
    import penstock.operations.count_tokens
    import penstock.runtime.jobs
    import penstock.vendor.brevo  # noqa: F401 - once for all children
    from penstock.data.brevo_preview import render

    render("{{ contact.X }}", {}, {})
    fork_for_each_order(work)
