"""Inbound webhooks: verified, kept before they are acknowledged, recognised when they come again; never a 5xx."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response

from penstock.base.clock import Clock
from penstock.base.errors import InputError, PenstockError, SettingsError, ThrottledError
from penstock.base.settings import Settings
from penstock.runtime.inbox import Inbox
from penstock.server.doors import Call, Door
from penstock.vendor import openai_webhooks

BODY_LIMIT = 1 << 20

Verify = Callable[[Mapping[str, str], bytes], tuple[str, str]]
"""Returns the vendor's id and the type of a delivery, or raises `AccessError` or `InputError`."""


class Webhooks:
    """One route for each vendor, all of one shape."""

    def __init__(self, inbox: Inbox, settings: Settings, clock: Clock) -> None:
        self._inbox = inbox
        self._settings = settings
        self._clock = clock
        self._verify: Mapping[str, Verify] = {"openai": self._openai}

    def doors(self) -> list[Door]:
        """Return the routes; a signature stands in the place of a token."""
        return [
            Door(
                "POST",
                f"/webhooks/{vendor}",
                self._take,
                f"Messages of {vendor}: 204 when the message is on disk, or was already.",
                None,
                body={"application/json": {"type": "object"}},
                status=204,
                limit=BODY_LIMIT,
                works_while_draining=True,  # it only has to be written down
                asks_again=True,
            )
            for vendor in self._verify
        ]

    async def _take(self, call: Call) -> Response:
        vendor = call.request.url.path.rpartition("/")[2]
        try:
            message, kind = self._verify[vendor](call.request.headers, call.body)
            await self._inbox.put(vendor, message, kind, call.body)
        except InputError:
            raise
        except PenstockError as error:
            if not error.code.startswith("store."):
                raise
            raise ThrottledError(  # the vendor keeps the message and sends it again
                "the message cannot be kept now", code="webhook.not-kept", hint=error.hint, detail=error.message
            ) from error
        return Response(status_code=204)

    def _openai(self, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
        secrets = str(self._settings.get("openai.webhook-secret") or "").split()
        if not secrets:
            raise SettingsError(
                "no secret is set for the webhooks of OpenAI, so none can be trusted",
                code="webhook.no-secret",
                hint="export OPENAI_WEBHOOK_SECRET=whsec_…   (OpenAI shows it when the endpoint is made)",
            )
        event = openai_webhooks.verify(headers, body, secrets, self._clock.now())
        return event.message, event.type
