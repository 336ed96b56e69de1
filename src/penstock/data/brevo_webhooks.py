"""The webhooks that Penstock has at Brevo: made, matched and removed, and never those of anybody else.

Our own are known by their address (`/webhooks/brevo/SECRET`) and their description. Brevo makes the same webhook twice
when it is asked twice, and an account holds 40 (API reference, platform quotas, 2026).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from penstock.base.errors import InputError, RejectedError, UnavailableError
from penstock.base.types import Finding
from penstock.data.brevo_contacts import Account
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.hooks import Hook, Hooks, new_secret
from penstock.vendor.brevo import LOOPBACK

Type = Literal["marketing", "transactional", "inbound", "conversations"]

MOST = 40
PATH = "/webhooks/brevo/"
DESCRIPTION = "Penstock: opt-outs, deletions, changes and feedback"
EVENTS: dict[str, tuple[str, ...]] = {
    "marketing": ("unsubscribed", "spam", "hardBounce", "contactUpdated", "contactDeleted", "listAddition"),
    "transactional": ("unsubscribed", "spam", "hardBounce"),
    "inbound": ("inboundEmailProcessed",),
}
"""What each type of webhook that the API makes is told. Those of conversations are made in Brevo's own pages."""
_OWN_PATH = re.compile(re.escape(PATH) + r"([0-9a-f]{40})/?\Z")


class Listed(msgspec.Struct, frozen=True):
    """One webhook of the account; the secret part of its address is not shown."""

    number: int
    type: str
    url: str
    events: tuple[str, ...]
    description: str
    is_own: bool
    """Whether it delivers to this workspace."""


class Made(msgspec.Struct, frozen=True):
    """What became of one webhook: `made`, `kept`, `changed`; or `by-hand`, with the address to enter at Brevo."""

    type: str
    state: Literal["made", "kept", "changed", "by-hand"]
    number: int = 0
    url: str = ""


class Webhooks:
    """The webhooks of one account."""

    def __init__(self, caller: BrevoCaller, account: Account, connection: str, hooks: Hooks) -> None:
        self._caller = caller
        self._account = account
        self._connection = connection
        self._hooks = hooks

    async def find_all(self) -> list[Listed]:
        """Return every webhook that the API shows."""
        known = await self._known()
        return [_show(one, known) for one in await self._read()]

    async def create(self, url: str, types: Sequence[Type], *, domain: str = "") -> list[Made]:
        """See to it that there is one webhook of each type that delivers to `url`; a repetition changes nothing.

        Raises `InputError` (`webhook.bad-url`, `webhook.no-domain`, `webhook.too-many`).
        """
        base = _check_url(url)
        if "inbound" in types and not domain:
            raise InputError(
                "a webhook for inbound mail needs the domain that the mail comes to",
                code="webhook.no-domain",
                hint="Add --domain reply.example.com",
            )
        listed = await self._read() if set(types) - {"conversations"} else []
        made = []
        for one in types:
            by_hand = one == "conversations"
            made.append(await (self._hand_out(base) if by_hand else self._ensure(one, base, domain, listed)))
        return made

    async def remove(self, types: Sequence[str] = ()) -> list[Listed]:
        """Delete our own webhooks, all or those of some types; returns what was deleted."""
        removed = []
        for one in await self.find_all():
            if one.is_own and (not types or one.type in types):
                await self._delete(one.number)
                removed.append(one)
        for hook in (await self._known()).values():
            if not types or hook.type in types:
                await self._hooks.remove(self._account.id, hook.type)
        return removed

    async def check(self) -> list[Finding]:
        """Tell how the webhooks stand: there, complete, and within the vendor's number."""
        listed = await self.find_all()
        own = {one.type: one for one in listed if one.is_own}
        found = [Finding("Brevo webhooks", "ok", f"{len(listed)} of {MOST} are in use, {len(own)} of them are ours")]
        fix = "penstock webhooks create --url https://…"
        found += [
            Finding(
                f"Brevo webhook {hook.type}",
                "fail",
                "it was made from here, and is gone at Brevo: opt-outs and changes come late",
                fix,
            )
            for hook in (await self._known()).values()
            if hook.type != "conversations" and hook.type not in own
        ]
        for one in own.values():
            if missing := sorted(set(EVENTS[one.type]) - set(one.events)):
                said = f"it is not told of {', '.join(missing)}"
                found.append(Finding(f"Brevo webhook {one.type}", "warn", said, fix))
        return found

    async def _ensure(self, type: str, base: str, domain: str, listed: list[dict[str, Any]]) -> Made:
        hook = (await self._known()).get(type)
        same = [one for one in listed if one.get("type") == type and _is_at(one, base)]
        exact = next((one for one in listed if hook is not None and _is_of(one, hook)), None)
        if exact is not None:
            made = await self._keep(exact, base, domain)
        elif same:
            made = await self._adopt(same[0], base, domain)
        elif len(listed) >= MOST:
            raise InputError(
                f"the account has {len(listed)} webhooks, and Brevo takes no more than {MOST}",
                code="webhook.too-many",
                hint="Delete one that nobody needs under Brevo > Settings > Webhooks; Penstock touches only its own.",
            )
        else:
            made = await self._make(type, base, domain)
            listed = await self._read(type)  # another command may have made one at the same moment
        await self._drop_doubles(type, base, listed)
        return made

    async def _keep(self, exact: dict[str, Any], base: str, domain: str) -> Made:
        """Take a webhook that is known here, and give it what it lacks; its secrets stay."""
        kind, number = str(exact["type"]), int(exact["id"])
        await self._hooks.number(self._account.id, kind, number)
        wanted = {"url": base + PATH + _secret_of(exact), **_content(kind, domain)}
        if all(_same(exact.get(name), value) for name, value in wanted.items()):
            return Made(kind, "kept", number)
        await self._caller.call("webhooks.update", path={"id": number}, body=wanted, interactive=True)
        return Made(kind, "changed", number)

    async def _adopt(self, one: dict[str, Any], base: str, domain: str) -> Made:
        """Give new secrets to a webhook that was made for this address, by a store that is no more."""
        kind, number = str(one["type"]), int(one["id"])
        body = await self._with_secrets(kind, base, domain, number)
        await self._caller.call("webhooks.update", path={"id": number}, body=body, interactive=True)
        return Made(kind, "changed", number)

    async def _make(self, type: str, base: str, domain: str) -> Made:
        body = {**await self._with_secrets(type, base, domain), "type": type}
        try:
            reply = await self._caller.call("webhooks.create", body=body, interactive=True)
            number = int(reply.content["id"])
        except UnavailableError as error:
            if not error.sent:
                raise
            found = [one for one in await self._read(type) if one.get("url") == body["url"]]
            if not found:
                raise
            number = int(found[0]["id"])
        await self._hooks.number(self._account.id, type, number)
        return Made(type, "made", number)

    async def _with_secrets(self, type: str, base: str, domain: str, number: int = 0) -> dict[str, Any]:
        """Return the body of a webhook with new secrets; they are known here before Brevo knows them."""
        path, token = new_secret(), new_secret()
        await self._hooks.save(self._account.id, type, self._connection, path, token, number)
        auth = {"type": "bearer", "token": token}
        return {"url": base + PATH + path, "auth": auth, **_content(type, domain)}

    async def _hand_out(self, base: str) -> Made:
        """Return the address of a webhook that only a person can enter; an address handed out before ends."""
        path, token = new_secret(), new_secret()
        await self._hooks.save(self._account.id, "conversations", self._connection, path, token)
        parts = urlsplit(base)
        return Made("conversations", "by-hand", url=f"{parts.scheme}://penstock:{token}@{parts.netloc}{PATH}{path}")

    async def _drop_doubles(self, type: str, base: str, listed: list[dict[str, Any]]) -> None:
        """Delete what was made twice for one address; the one that is known here stays."""
        hook = (await self._known()).get(type)
        same = [one for one in listed if one.get("type") == type and _is_at(one, base)]
        if hook is None or hook.number not in (int(one["id"]) for one in same):
            return
        for one in same:
            if int(one["id"]) != hook.number:
                await self._delete(int(one["id"]))

    async def _delete(self, number: int) -> None:
        try:
            await self._caller.call("webhooks.delete", path={"id": number}, interactive=True)
        except RejectedError as error:
            if error.code != "brevo.not-found":
                raise

    async def _read(self, type: str = "") -> list[dict[str, Any]]:
        """Return the webhooks of a type, or of all: without a type Brevo shows the transactional ones only."""
        found: dict[int, dict[str, Any]] = {}
        for one in [type] if type else EVENTS:
            try:
                reply = await self._caller.call("webhooks.list", query={"type": one}, interactive=True)
            except RejectedError as error:
                if error.code != "brevo.not-found":  # an account without any
                    raise
                continue
            found.update((int(row["id"]), row) for row in reply.content["webhooks"] if isinstance(row.get("id"), int))
        return list(found.values())

    async def _known(self) -> dict[str, Hook]:
        return {one.type: one for one in await self._hooks.list() if one.account == self._account.id}


def _content(type: str, domain: str) -> dict[str, Any]:
    content: dict[str, Any] = {"description": DESCRIPTION, "events": list(EVENTS[type])}
    return {**content, "domain": domain} if type == "inbound" else content


def _check_url(url: str) -> str:
    parts = urlsplit(url.strip())
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not parts.hostname or not is_safe or parts.username is not None or parts.query or parts.fragment:
        raise InputError(
            "the address that Brevo delivers to is the https address of the service",
            code="webhook.bad-url",
            hint="Such as https://hooks.example.com, behind which `penstock serve` answers.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _secret_of(one: dict[str, Any]) -> str:
    """Return the secret part of a webhook's address; empty for one that is not of our making."""
    match = _OWN_PATH.search(urlsplit(str(one.get("url", ""))).path)
    return match[1] if match and str(one.get("description", "")).startswith("Penstock") else ""


def _is_of(one: dict[str, Any], hook: Hook) -> bool:
    secret = _secret_of(one)
    return bool(secret) and one.get("type") == hook.type and hook.has_path(secret)


def _is_at(one: dict[str, Any], base: str) -> bool:
    """Tell whether a webhook of our making delivers to this very address, which only one service can answer."""
    return bool(_secret_of(one)) and str(one["url"]).startswith(base + PATH)


def _same(given: Any, wanted: Any) -> bool:
    return sorted(given or []) == sorted(wanted) if isinstance(wanted, list) else given == wanted


def _show(one: dict[str, Any], known: dict[str, Hook]) -> Listed:
    secret = _secret_of(one)
    hook = known.get(str(one.get("type")))
    url = str(one.get("url", ""))
    return Listed(
        int(one["id"]),
        str(one.get("type", "")),
        url.replace(secret, "…") if secret else f"{urlsplit(url).scheme}://{urlsplit(url).hostname}/…",
        tuple(str(event) for event in one.get("events") or ()),
        str(one.get("description", "")),
        hook is not None and _is_of(one, hook),
    )
