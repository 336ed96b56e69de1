"""Exports of contacts from the Brevo emulator, and what campaigns did with one contact."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from penstock.sandbox.brevo_acts import show_acts
from penstock.sandbox.brevo_contacts import find_contact
from penstock.sandbox.brevo_imports import start_process
from penstock.sandbox.brevo_records import Contact, Query
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, decode, format_time, invalid, to_milliseconds

MAX_WINDOW = timedelta(days=90)


class _Filter(msgspec.Struct, rename="camel"):
    action_for_contacts: str | None = None
    action_for_email_campaigns: str | None = None
    list_id: int | None = None
    segment_id: int | None = None
    email_campaign_id: int | None = None


class _Export(msgspec.Struct, rename="camel"):
    custom_contact_filter: _Filter
    export_attributes: list[str] = []
    export_mandatory_attributes: bool = True
    export_subscription_status: list[str] = []
    export_metadata: list[str] = []
    notify_url: str | None = None


_CAMPAIGN_ACTIONS = {
    "openers": "opened",
    "clickers": "clicked",
    "unsubscribed": "unsubscribed",
    "hardBounces": "hardBounce",
    "softBounces": "softBounce",
}


def export_contacts(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/export: 202 with the process; its `export_url` is a CSV file once it is done."""
    body = decode(request.body, _Export)
    wanted = _read_filter(state, body.custom_contact_filter)
    known = {name.upper(): name for name in state.attributes}
    names = [known[name.upper()] for name in body.export_attributes if name.upper() in known]
    if not names and not body.export_mandatory_attributes:
        raise RefusedError(400, "missing_parameter", "exportAttributes is missing")

    def work() -> None:
        rows = [contact for contact in state.by_creation if wanted(contact)]
        process.file = _write(body, names, rows)

    process = start_process(state, "EXPORTUSER", len(state.contacts), work, request, body.notify_url)
    return Answer(202, {"processId": process.id})


def _read_filter(state: BrevoState, given: _Filter) -> Callable[[Contact], bool]:
    members = _read_members(state, given)
    action = given.action_for_contacts
    if action == "allContacts":
        return members
    if action == "subscribed":
        return lambda one: members(one) and not one.email_blacklisted
    if action == "unsubscribed":
        return lambda one: members(one) and one.email_blacklisted
    if action == "unsubscribedPerList":
        if given.list_id is None and given.segment_id is None:
            raise RefusedError(400, "missing_parameter", "listId or segmentId is missing")
        return lambda one: given.list_id in one.unsubscribed
    kind = _CAMPAIGN_ACTIONS.get(given.action_for_email_campaigns or "")
    if kind is None or given.email_campaign_id is None:
        raise invalid("customContactFilter has no known action")
    return lambda one: any(
        act.kind == kind and act.campaign == given.email_campaign_id for act in state.acts.get(one.id, ())
    )


def _read_members(state: BrevoState, given: _Filter) -> Callable[[Contact], bool]:
    if given.list_id is not None:
        number = state.find_list(str(given.list_id)).id
        return lambda one: number in one.lists
    if given.segment_id is not None:
        segment = state.segments.get(given.segment_id)
        if segment is None:
            raise invalid("Segment id does not exist")
        rows, _ = state.select(Query(equals=((segment.attribute, segment.value),)))
        inside = {one.id for one in rows}
        return lambda one: one.id in inside
    return lambda _: True


def _write(body: _Export, names: list[str], rows: list[Contact]) -> str:
    columns: dict[str, Callable[[Contact], Any]] = {}
    if body.export_mandatory_attributes:
        columns = {
            "CONTACT ID": lambda one: one.id,
            "EMAIL": lambda one: one.email,
            "ADDED_TIME": lambda one: format_time(one.created),
            "MODIFIED_TIME": lambda one: format_time(one.modified),
        }
    columns.update({name: _reader(name) for name in names})
    if "email_marketing" in body.export_subscription_status:
        columns["EMAIL_MARKETING"] = lambda one: "unsubscribed" if one.email_blacklisted else "subscribed"
    if "sms_marketing" in body.export_subscription_status:
        columns["SMS_MARKETING"] = lambda one: "unsubscribed" if one.sms_blacklisted else "subscribed"
    if "listIds" in body.export_metadata:
        columns["LIST_IDS"] = lambda one: ",".join(str(number) for number in one.lists)
    output = io.StringIO()
    writer = csv.writer(output, delimiter=";", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([read(one) for read in columns.values()] for one in rows)
    return output.getvalue()


def _reader(name: str) -> Callable[[Contact], Any]:
    return lambda one: one.attributes.get(name, "")


def get_stats(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/{identifier}/campaignStats: of the last 90 days unless a window is given."""
    contact = find_contact(state, request)
    start, end = request.text("startDate"), request.text("endDate")
    if (start is None) != (end is None):
        raise RefusedError(400, "missing_parameter", "startDate and endDate come together")
    if start is None or end is None:
        day = datetime.fromtimestamp(state.now() / 1000, UTC) - MAX_WINDOW
        low, high = round(day.timestamp() * 1000), state.now()
    else:
        low, high = to_milliseconds(start, "startDate"), to_milliseconds(end, "endDate") + 86_399_999
        if high - low > (MAX_WINDOW + timedelta(days=1)).total_seconds() * 1000:
            raise invalid("the window is longer than 90 days")
    return Answer(200, show_acts([act for act in state.acts.get(contact.id, ()) if low <= act.at <= high]))
