"""Looks at a Brevo account by harmless calls: whose it is, what the key may do, which features and limits it has.

Reads are asked for one row. Whether something may be written is told by a body that lacks what is required: it is
refused for that (400) where the key may write, and for the key (403) where it may not. Rules: API reference and help
centre (key permissions), 2026.
"""

from __future__ import annotations

from penstock.base.errors import AccessError, PenstockError, RejectedError
from penstock.base.types import Finding
from penstock.data.brevo_source import read_account
from penstock.runtime.brevo_calls import BrevoCaller, Headroom

READS: dict[str, str] = {
    "contacts": "contacts.list",
    "attributes": "attributes.list",
    "lists": "lists.list",
    "segments": "segments.list",
    "events": "events.list",
    "campaigns": "campaigns.list",
    "templates": "templates.list",
    "webhooks": "webhooks.list",
}
WRITES: dict[str, str] = {"contacts": "contacts.create", "events": "events.create"}

TIERS = {10: "General", 20: "Advanced", 60: "Extended"}
"""Calls per second to contacts, by what the rate guide (August 2026) calls the plan's limits."""

LOW_SHARE = 0.1


async def check_account(caller: BrevoCaller, label: str) -> list[Finding]:
    """Look at the account behind a key; costs a dozen calls of its limits, and changes nothing."""
    try:
        account = await read_account(caller, at_once=True)
    except PenstockError as error:
        return [Finding(f"{label} key", "fail", error.message, error.hint)]
    accepted = f"accepted by account {account.name or account.id}, plan {account.plan}"
    findings = [Finding(f"{label} key", "ok", accepted)]
    try:
        findings.append(await _check_permissions(caller, label))
        findings.append(await _check_shop(caller, label))
        findings.append(await _check_groups(caller, label))
    except PenstockError as error:
        findings.append(Finding(label, "fail", error.message, error.hint))
    return [*findings, *_check_limits(caller, label)]


async def _check_permissions(caller: BrevoCaller, label: str) -> Finding:
    missing = [f"read {what}" for what, operation in READS.items() if not await _may_read(caller, operation)]
    missing += [f"write {what}" for what, operation in WRITES.items() if not await _may_write(caller, operation)]
    if not missing:
        may = f"the key reads {', '.join(READS)} and writes {', '.join(WRITES)}"
        return Finding(f"{label} permissions", "ok", may)
    fix = "Give the restricted key these rights at Brevo (Settings, SMTP & API), or leave out what needs them."
    return Finding(f"{label} permissions", "warn", f"the key may not {', '.join(missing)}", fix)


async def _may_read(caller: BrevoCaller, operation: str) -> bool:
    query = {} if operation in ("attributes.list", "webhooks.list") else {"limit": 1}
    try:
        await caller.call(operation, query=query, interactive=True, at_once=True)
    except AccessError:
        return False
    except RejectedError:  # there is none of it, which Brevo answers with 404 for webhooks
        return True
    return True


async def _may_write(caller: BrevoCaller, operation: str) -> bool:
    try:
        await caller.call(operation, body={}, interactive=True, at_once=True)
    except AccessError:
        return False
    except RejectedError:
        return True
    return True


async def _check_shop(caller: BrevoCaller, label: str) -> Finding:
    try:
        currency = (await caller.call("ecommerce.currency", interactive=True, at_once=True)).content.get("code")
    except AccessError:
        return Finding(f"{label} shop", "ok", "e-commerce is off: there are no orders and products")
    return Finding(f"{label} shop", "ok", f"e-commerce is on, amounts are in {currency}")


async def _check_groups(caller: BrevoCaller, label: str) -> Finding:
    try:
        reply = await caller.call("consent-groups.list", query={"limit": 50}, interactive=True, at_once=True)
    except AccessError:
        return Finding(f"{label} consent groups", "ok", "off: blocklists and unsubscribed lists say who objects")
    return Finding(f"{label} consent groups", "ok", f"on, {len(reply.content['consentGroups'])} groups")


def _check_limits(caller: BrevoCaller, label: str) -> list[Finding]:
    """Say what is left of each group of endpoints that was asked, and which plan its limits are those of."""
    left = caller.headroom()
    contacts = left["contacts"]
    per_second = round(contacts.limit if contacts.seconds <= 1 else contacts.limit / 3600)
    tier = TIERS.get(per_second, f"{per_second} calls per second to contacts") if contacts.stated else "not stated"
    stated = {name: one for name, one in left.items() if one.stated}
    low = [name for name, one in stated.items() if one.seconds > 1 and one.left < LOW_SHARE * one.limit]
    text = ", ".join(f"{name} {_show(one)}" for name, one in stated.items()) or "Brevo stated none"
    fix = "Something else uses this account's calls; they are renewed within the hour." if low else ""
    return [Finding(f"{label} limits", "warn" if low else "ok", f"plan limits: {tier}; left: {text}", fix)]


def _show(one: Headroom) -> str:
    return f"{one.left:,.0f} of {one.limit:,.0f} per {'second' if one.seconds <= 1 else 'hour'}"
