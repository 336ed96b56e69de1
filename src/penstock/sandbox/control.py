"""The sandbox's own control paths: `/_sandbox/state`, `/faults`, `/limits`, `/latency`, `/quirks`, `/brevo/…`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from penstock.sandbox.brevo import BrevoApp
from penstock.sandbox.brevo_control import BrevoControl
from penstock.sandbox.brevo_wire import RefusedError
from penstock.sandbox.conversions_rules import Behaviour
from penstock.sandbox.conversions_state import ConversionsState
from penstock.sandbox.limits import Limit
from penstock.sandbox.openai import OpenAI
from penstock.sandbox.openai_quirks import Quirks
from penstock.sandbox.world import Fault, Latency, World

_BREVO = "/_sandbox/brevo/"


class LimitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other limits from now on; `model` is `*` for all."""

    model: str = "*"
    rpm: float | None = None
    tpm: float | None = None
    rpd: float | None = None
    ipm: float | None = None
    batch_tokens: float | None = None
    depth_seconds: float | None = None
    count_refused: bool | None = None


class LatencyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another latency of a vendor from now on."""

    vendor: str = "*"
    mean: float = 0.0
    sigma: float = 0.0


class Control:
    """Answers the control paths; meant for loopback only, so it asks for no key."""

    def __init__(self, world: World, openai: OpenAI, brevo: BrevoApp, conversions: ConversionsState) -> None:
        self._world = world
        self._openai = openai
        self._brevo = brevo.state
        self._brevo_control = BrevoControl(brevo)
        self._conversions = conversions

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer one request with JSON."""
        content = b""
        more = scope["method"] != "GET"
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            status, value = 200, await self._handle(scope["method"], scope["path"], content)
        except KeyError:
            status, value = 404, {"error": f"no such control path: {scope['method']} {scope['path']}"}
        except (msgspec.MsgspecError, RefusedError) as error:
            status, value = 400, {"error": str(error)}
        body = msgspec.json.encode(value)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _handle(self, method: str, path: str, content: bytes) -> Any:
        if path.startswith(_BREVO):
            return await self._brevo_control.handle(method, path.removeprefix(_BREVO), content)
        actions: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "/_sandbox/state"): lambda _: self.state(),
            ("GET", "/_sandbox/faults"): lambda _: self._world.faults,
            ("POST", "/_sandbox/faults"): self._add_fault,
            ("DELETE", "/_sandbox/faults"): self._clear_faults,
            ("POST", "/_sandbox/limits"): self._change_limits,
            ("POST", "/_sandbox/latency"): self._change_latency,
            ("POST", "/_sandbox/quirks"): self._change_quirks,
            ("POST", "/_sandbox/conversions"): self._change_conversions,
            ("POST", "/_sandbox/reset"): self._reset,
        }
        return actions[method, path](content)

    def state(self) -> dict[str, Any]:
        """Return every counter of the world."""
        world, limiter = self._world, self._openai.limiter
        return {
            "seed": world.seed,
            "calls": [
                {"vendor": vendor, "operation": operation, "status": status, "count": count}
                for (vendor, operation, status), count in sorted(world.calls.items())
            ],
            "billed_calls": dict(world.billed_calls),
            "billed_usage": {name: msgspec.structs.asdict(usage) for name, usage in world.billed_usage.items()},
            "bought_twice": world.bought_twice(),
            "writes": [
                {"vendor": vendor, "operation": operation, "count": count}
                for (vendor, operation), count in sorted(world.written.items())
            ],
            "faults": world.faults,
            "brevo": {
                "contacts": len(self._brevo.contacts),
                "events": len(self._brevo.events),
                "repeats": dict(self._brevo.repeats),
            },
            "conversions": self._conversions.show(),
            "limiter": {"accepted": limiter.accepted, "refused": limiter.refused},
        }

    def _add_fault(self, content: bytes) -> Any:
        self._world.faults.append(msgspec.json.decode(content, type=Fault))
        return self._world.faults

    def _clear_faults(self, _content: bytes) -> Any:
        self._world.faults.clear()
        return self._world.faults

    def _change_limits(self, content: bytes) -> Any:
        change = msgspec.json.decode(content, type=LimitChange)
        limit = Limit(change.rpm, change.tpm, change.rpd, change.ipm, change.batch_tokens)
        self._openai.limiter.change(
            model=change.model,
            limit=None if limit == Limit() else limit,
            depth_seconds=change.depth_seconds,
            count_refused=change.count_refused,
        )
        return {"model": change.model, "limit": limit}

    def _change_latency(self, content: bytes) -> Any:
        change = msgspec.json.decode(content, type=LatencyChange)
        self._world.latency[change.vendor] = Latency(change.mean, change.sigma)
        return change

    def _change_quirks(self, content: bytes) -> Any:
        """Take the fields of `Quirks` that are given; the others stay."""
        service = self._openai.service
        changes = msgspec.json.decode(content, type=dict[str, Any])
        service.quirks = msgspec.convert({**msgspec.to_builtins(service.quirks), **changes}, Quirks)
        return service.quirks

    def _change_conversions(self, content: bytes) -> Any:
        """Take the fields of `Behaviour` that are given; the others stay."""
        changes = msgspec.json.decode(content, type=dict[str, Any])
        whole = {**msgspec.to_builtins(self._conversions.behaviour), **changes}
        self._conversions.behaviour = msgspec.convert(whole, Behaviour)
        return self._conversions.behaviour

    def _reset(self, _content: bytes) -> Any:
        self._world.reset()
        return self.state()
