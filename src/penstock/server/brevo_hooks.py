"""The address that Brevo's webhooks come to: a secret path and a token, on disk before the answer, never a 5xx.

Brevo signs nothing, sends no id, tries four times again after a 429 and throws away what was answered with any other
error (developers.brevo.com, secured-webhooks and retry-mechanism, 2026).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Sequence

from starlette.responses import Response

from penstock.base.errors import AccessError, PenstockError, SettingsError, ThrottledError
from penstock.base.settings import Settings
from penstock.brevo_hooks import name_delivery
from penstock.data.brevo_payloads import is_urgent
from penstock.runtime.hooks import Hook, Hooks
from penstock.runtime.inbox import Inbox
from penstock.server.doors import Call, Door

BODY_LIMIT = 16 << 20
"""Bytes of a delivery: 500 events at most, and mails with long texts."""

Range = ipaddress.IPv4Network | ipaddress.IPv6Network


class BrevoDoor:
    """Takes deliveries of Brevo into the inbox."""

    def __init__(self, inbox: Inbox, hooks: Hooks, settings: Settings) -> None:
        """Wire it; raises `SettingsError` for address ranges that are none."""
        self._inbox = inbox
        self._hooks = hooks
        self._ranges = _read_ranges(str(settings.get("brevo.webhook-ranges") or ""))
        self._known: Sequence[Hook] = ()

    def doors(self) -> list[Door]:
        """Return the route; the secret in its path and a token stand in the place of a signature."""
        return [
            Door(
                "POST",
                "/webhooks/brevo/{secret}",
                self._take,
                "Webhooks of Brevo: 204 when the delivery is on disk, or was already; 429 when it cannot be kept now.",
                None,
                body={"application/json": {}},
                status=204,
                limit=BODY_LIMIT,
                works_while_draining=True,  # it only has to be written down
                asks_again=True,
            )
        ]

    async def _take(self, call: Call) -> Response:
        self._check_sender(call)
        try:
            hook = await self._recognise(call)
            name = name_delivery(hook.account, hook.connection, hook.type, call.body)
            await self._inbox.put("brevo", name, hook.type, call.body, urgent=is_urgent(call.body))
        except PenstockError as error:
            if not error.code.startswith("store."):
                raise
            raise ThrottledError(  # Brevo keeps the delivery and sends it again
                "the delivery cannot be kept now", code="webhook.not-kept", hint=error.hint, detail=error.message
            ) from error
        return Response(status_code=204)

    def _check_sender(self, call: Call) -> None:
        if not self._ranges:
            return
        host = call.request.client.host if call.request.client else ""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            address = None
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped is None or not any(mapped in one for one in self._ranges):
            raise AccessError(
                "the delivery comes from an address that is not Brevo's",
                code="webhook.foreign-address",
                hint="Compare brevo.webhook-ranges with Brevo's published ranges; behind a proxy leave it empty and "
                "let the proxy check.",
            )

    async def _recognise(self, call: Call) -> Hook:
        """Return whose delivery it is: every webhook is compared, so that the time tells nothing."""
        secret, token = str(call.path["secret"]), _token_of(call.request.headers.get("authorization", ""))
        hook = _find(self._known, secret)
        if hook is None or not hook.has_token(token):
            self._known = await self._hooks.list()  # it may have been made just now
            hook = _find(self._known, secret)
        if hook is None or not hook.has_token(token):
            raise AccessError(
                "the delivery does not carry what proves that it is ours",
                code="webhook.bad-token",
                hint="Only webhooks that `penstock webhooks create` made deliver here.",
            )
        return hook


def _find(hooks: Sequence[Hook], secret: str) -> Hook | None:
    found = [hook for hook in hooks if hook.has_path(secret)]
    return found[0] if found else None


def _token_of(header: str) -> str:
    """Return the token of a header: a bearer's, or the password where it had to be put into the address."""
    kind, _, text = header.partition(" ")
    if kind.lower() == "bearer":
        return text.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _read_ranges(text: str) -> list[Range]:
    try:
        return [ipaddress.ip_network(one) for one in text.replace(",", " ").split()]
    except ValueError as error:
        raise SettingsError(
            f"the setting brevo.webhook-ranges is not a list of address ranges: {error}",
            code="settings.invalid",
            hint="Such as 1.179.112.0/20 172.246.240.0/20; empty takes deliveries from everywhere.",
        ) from error
