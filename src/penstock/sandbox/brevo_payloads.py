"""What the emulated Brevo's marketing webhooks say: names in snake case, and times of three zones in one payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.sandbox.brevo_wire import format_stamps

if TYPE_CHECKING:
    from penstock.sandbox.brevo_records import Act, Contact
    from penstock.sandbox.brevo_state import BrevoState

_CAMPAIGN = {
    "delivered": ("delivered", "delivered"),
    "opened": ("opened", "opened"),
    "clicked": ("click", "click"),
    "hardBounce": ("hardBounce", "hard_bounce"),
    "softBounce": ("softBounce", "soft_bounce"),
    "complaint": ("spam", "spam"),
    "unsubscribed": ("unsubscribed", "unsubscribe"),
}


def tell(state: BrevoState, event: str, name: str, contact: Contact, **details: Any) -> None:
    """Fire a webhook about a contact; only changes and additions tell which key caused them."""
    arrays = state.behaviour.payload_arrays
    payload: dict[str, Any] = {
        "email": [contact.email] if arrays else contact.email,
        "event": name,
        "key": contact.ext_id or str(contact.id),
        **details,
        **format_stamps(state.now()),
    }
    if arrays and "content" in details:
        payload["content"] = [details["content"]]
    if name in ("contact_updated", "list_addition"):
        payload["api_key_name"] = state.actor
    state.outbox.fire("marketing", event, payload)


def tell_campaign(state: BrevoState, act: Act, contact: Contact, campaign: dict[str, Any]) -> None:
    """Fire a webhook about what happened between a campaign and a contact."""
    event, name = _CAMPAIGN[act.kind]
    stamps = format_stamps(act.at)
    payload: dict[str, Any] = {
        "email": [contact.email] if state.behaviour.payload_arrays else contact.email,
        "event": state.behaviour.opt_out_event if act.kind == "unsubscribed" else name,
        "camp_id": act.campaign,
        "campaign name": campaign.get("name", ""),
        "date_sent": stamps["date"],
        "date_event": stamps["date"],
        "ts_sent": stamps["ts"],
        "ts_event": stamps["ts"],
        "ts": format_stamps(state.now())["ts"],
        "tag": campaign.get("tag", ""),
    }
    if act.kind == "unsubscribed":
        payload["list_id"] = list(contact.lists)
    if act.kind == "clicked":
        payload["URL"] = act.link
    if act.kind in ("hardBounce", "softBounce"):
        payload["reason"] = "550 mailbox unavailable" if act.kind == "hardBounce" else "452 mailbox full"
    state.outbox.fire("marketing", event, payload)
