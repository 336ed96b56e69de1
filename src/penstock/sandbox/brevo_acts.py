"""What campaigns did with one contact, as the Brevo emulator shows it."""

from __future__ import annotations

from typing import Any

from penstock.sandbox.brevo_records import Act
from penstock.sandbox.brevo_wire import format_time

_LISTED = {
    "messagesSent": "sent",
    "delivered": "delivered",
    "hardBounces": "hardBounce",
    "softBounces": "softBounce",
    "complaints": "complaint",
}


def show_acts(acts: list[Act]) -> dict[str, Any]:
    """Return what campaigns did as the API shows it; what never happened has no field."""
    shown: dict[str, Any] = {}
    for name, kind in _LISTED.items():
        rows = [{"campaignId": act.campaign, "eventTime": format_time(act.at)} for act in acts if act.kind == kind]
        if rows:
            shown[name] = rows
    seen = {"count": 1, "ip": "127.0.0.1"}
    if opened := [act for act in acts if act.kind == "opened"]:
        shown["opened"] = [{"campaignId": act.campaign, "eventTime": format_time(act.at), **seen} for act in opened]
    if clicked := [act for act in acts if act.kind == "clicked"]:
        shown["clicked"] = [
            {"campaignId": act.campaign, "links": [{"url": act.link, "eventTime": format_time(act.at), **seen}]}
            for act in clicked
        ]
    if left := [act for act in acts if act.kind == "unsubscribed"]:
        rows = [{"campaignId": act.campaign, "eventTime": format_time(act.at), "ip": "127.0.0.1"} for act in left]
        shown["unsubscriptions"] = {"userUnsubscription": rows, "adminUnsubscription": []}
    return shown
