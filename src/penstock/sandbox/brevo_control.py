"""The control paths of the emulated Brevo: `/_sandbox/brevo/people`, `/behaviour`, `/limits`, `/account` and more."""

from __future__ import annotations

import base64
from collections.abc import Sized
from typing import Any, Literal

import msgspec

from penstock.sandbox.brevo import BrevoApp
from penstock.sandbox.brevo_account import Account
from penstock.sandbox.brevo_behaviour import Behaviour
from penstock.sandbox.brevo_people import Errand, run_errand


class LimitsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of `BrevoLimits` that are to be others from now on."""

    scale: float | None = None
    enabled: bool | None = None
    bare_contacts: Literal["contacts", "other"] | None = None
    batches: Literal["own", "other"] | None = None
    shared: bool | None = None
    unit: Literal["seconds", "milliseconds"] | None = None


class Hosted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an address outside of this machine would answer, in base64."""

    url: str
    content: str


class BrevoControl:
    """Answers the control paths below `/_sandbox/brevo/`; raises `KeyError` for any other."""

    def __init__(self, app: BrevoApp) -> None:
        self._app = app
        self._state = app.state

    async def handle(self, method: str, name: str, content: bytes) -> Any:
        """Do what one request asks for, and return what its answer says."""
        if (method, name) == ("POST", "deliver"):
            return {"tried": await self._app.ticker.deliver()}
        actions = {
            ("GET", "state"): lambda _: self.show(),
            ("POST", "people"): self._send_people,
            ("GET", "behaviour"): lambda _: self._state.behaviour,
            ("POST", "behaviour"): self._change_behaviour,
            ("POST", "limits"): self._change_limits,
            ("POST", "account"): self._change_account,
            ("POST", "hosted"): self._host,
        }
        answer = actions[method, name](content)
        self._app.ticker.watch()
        return answer

    def show(self) -> dict[str, Any]:
        """Return how much of everything there is, and how the deliveries of webhooks ended."""
        state = self._state
        sizes: dict[str, Sized] = {
            "contacts": state.contacts,
            "lists": state.lists,
            "segments": state.segments,
            "events": state.events,
            "campaigns": state.campaigns,
            "templates": state.templates,
            "images": state.images,
            "orders": state.shop.orders,
            "products": state.shop.products,
            "webhooks": state.outbox.hooks,
        }
        return {
            **{name: len(rows) for name, rows in sizes.items()},
            "blocklisted": sum(one.email_blacklisted for one in state.by_creation),
            "lifted": len(state.lifted),
            "repeats": dict(state.repeats),
            "waiting": len(state.outbox.letters),
            "deliveries": dict(state.outbox.counts),
        }

    def _send_people(self, content: bytes) -> Any:
        errands = msgspec.json.decode(content, type=Errand | list[Errand])
        if isinstance(errands, Errand):
            return run_errand(self._state, errands)
        return [run_errand(self._state, errand) for errand in errands]

    def _change_behaviour(self, content: bytes) -> Any:
        changes = msgspec.json.decode(content, type=dict[str, Any])
        whole = {**msgspec.to_builtins(self._state.behaviour), **changes}
        self._state.behaviour = msgspec.convert(whole, Behaviour)
        return self._state.behaviour

    def _change_limits(self, content: bytes) -> Any:
        change = msgspec.json.decode(content, type=LimitsChange)
        for name, value in msgspec.structs.asdict(change).items():
            if value is not None:
                setattr(self._app.limits, name, value)
        return change

    def _change_account(self, content: bytes) -> Any:
        changes = msgspec.json.decode(content, type=dict[str, Any])
        whole = {**msgspec.to_builtins(self._state.account), **changes}
        self._state.account = msgspec.convert(whole, Account)
        return {"plan": self._state.account.plan, "credits": self._state.account.credits}

    def _host(self, content: bytes) -> Any:
        given = msgspec.json.decode(content, type=Hosted)
        self._state.hosted[given.url] = base64.b64decode(given.content)
        return {"url": given.url, "size": len(self._state.hosted[given.url])}
