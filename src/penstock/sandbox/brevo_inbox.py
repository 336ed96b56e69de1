"""Conversations and inbound mail of the Brevo emulator: they reach a connector by webhook, and little can be read."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from penstock.sandbox.brevo_records import Contact
from penstock.sandbox.brevo_shop_records import Mail
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    format_time,
    read_number,
    to_milliseconds,
)

MAX_EVENTS = 500
_MONTH = 30 * 86_400_000
EVENTS = ("conversationStarted", "conversationFragment", "conversationTranscript")


def say(state: BrevoState, contact: Contact, text: str, *, agent: bool = False, ends: bool = False) -> str:
    """Let a visitor or an agent write in the contact's conversation; returns the id of the message."""
    visitor = f"visitor{contact.id}"
    known = state.inbox.conversations.setdefault(visitor, [])
    number = f"message{state.next_id('message')}"
    message = {
        "id": number,
        "type": "agent" if agent else "visitor",
        "text": text,
        "html": f"<p>{text}</p>",
        "visitorId": visitor,
        "createdAt": state.now(),
        "isPushed": False,
        "isTrigger": False,
        "receivedFrom": "Sandbox" if agent else "",
    }
    known.append(number)
    state.inbox.messages[number] = message
    event = "conversationStarted" if len(known) == 1 else "conversationFragment"
    _tell(state, event, contact, [number])
    if ends:
        _tell(state, "conversationTranscript", contact, known)
        del state.inbox.conversations[visitor]
    return number


def _tell(state: BrevoState, event: str, contact: Contact, numbers: list[str]) -> None:
    messages = [state.inbox.messages[number] for number in numbers]
    payload: dict[str, Any] = {
        "eventName": event,
        "conversationId": f"conversation{contact.id}",
        "visitor": {
            "id": f"visitor{contact.id}",
            "displayedName": contact.attributes.get("FIRSTNAME", "Visitor"),
            "isBanned": False,
            "contactId": contact.id,
            "attributes": {"EMAIL": contact.email, **contact.attributes},
            "formattedAttributes": {"EMAIL": contact.email},
            "emailBlacklisted": contact.email_blacklisted,
        },
        "agent": {"id": "agent1", "name": "Sandbox"},
    }
    payload.update({"messages": messages} if event != "conversationStarted" else {"message": messages[0]})
    state.outbox.fire("conversations", event, payload)


def receive_mail(
    state: BrevoState,
    sender: str,
    recipient: str,
    subject: str,
    text: str,
    files: dict[str, tuple[str, bytes]] | None = None,
) -> str:
    """Let a mail arrive at a domain that is set up for inbound mail; returns its uuid."""
    uuid = f"00000000-0000-4000-8000-{state.next_id('mail'):012x}"
    kept = {
        base64.urlsafe_b64encode(f"{uuid}/{name}".encode()).decode(): (name, media, content)
        for name, (media, content) in (files or {}).items()
    }
    mail = Mail(uuid, state.now(), sender, recipient, subject, text, kept)
    state.inbox.mails[uuid] = mail
    state.outbox.fire("inbound", "inboundEmailProcessed", {"items": [_parse(mail)]}, recipient.rpartition("@")[2])
    return uuid


def _parse(mail: Mail) -> dict[str, Any]:
    address = {"Name": "", "Address": mail.recipient}
    return {
        "Uuid": [mail.uuid],
        "MessageId": f"<{mail.uuid}@sandbox.example>",
        "InReplyTo": None,
        "From": {"Name": "", "Address": mail.sender},
        "To": [address],
        "Cc": [],
        "ReplyTo": None,
        "SentAtDate": format_datetime(datetime.fromtimestamp(mail.at / 1000, UTC)),
        "Subject": mail.subject,
        "RawTextBody": mail.text,
        "RawHtmlBody": f"<p>{mail.text}</p>",
        "ExtractedMarkdownMessage": mail.text,
        "ExtractedMarkdownSignature": None,
        "SpamScore": 0.1,
        "Headers": {"From": mail.sender, "To": mail.recipient, "Subject": mail.subject},
        "Attachments": [
            {
                "Name": name,
                "ContentType": media,
                "ContentLength": len(content),
                "ContentID": name,
                "DownloadToken": token,
            }
            for token, (name, media, content) in mail.files.items()
        ],
    }


def get_message(state: BrevoState, request: Request) -> Answer:
    """GET /conversations/messages/{message}: only for those who know its id."""
    message = state.inbox.messages.get(request.path["message"])
    if message is None:
        raise RefusedError(404, "document_not_found", "Message does not exist")
    return Answer(200, message)


def list_mails(state: BrevoState, request: Request) -> Answer:
    """GET /inbound/events: metadata of the last thirty days."""
    start, end = request.text("startDate"), request.text("endDate")
    low = state.now() - _MONTH if start is None else to_milliseconds(start, "startDate")
    high = state.now() if end is None else to_milliseconds(end, "endDate") + 86_399_999
    if start is not None and high - low > _MONTH + 86_400_000:
        raise RefusedError(400, "out_of_range", "the window is longer than 30 days")
    sender = request.text("sender")
    rows = [one for one in state.inbox.mails.values() if low <= one.at <= high and sender in (None, one.sender)]
    limit, offset = read_number(request, "limit", 100, MAX_EVENTS), read_number(request, "offset", 0)
    if request.text("sort") != "asc":
        rows.reverse()
    shown = [
        {"uuid": one.uuid, "date": format_time(one.at), "sender": one.sender, "recipient": one.recipient}
        for one in rows[offset : offset + limit]
    ]
    return Answer(200, {"events": shown})


def get_mail(state: BrevoState, request: Request) -> Answer:
    """GET /inbound/events/{uuid}."""
    mail = state.inbox.mails.get(request.path["uuid"])
    if mail is None:
        raise RefusedError(404, "document_not_found", "Event does not exist")
    shown = {
        "receivedAt": format_time(mail.at),
        "deliveredAt": format_time(mail.at),
        "recipient": mail.recipient,
        "sender": mail.sender,
        "messageId": f"<{mail.uuid}@sandbox.example>",
        "subject": mail.subject,
        "attachments": [
            {"name": name, "contentType": media, "contentId": name, "contentLength": len(content)}
            for name, media, content in mail.files.values()
        ],
        "logs": [{"date": format_time(mail.at), "type": "received"}],
    }
    return Answer(200, shown)


def get_file(state: BrevoState, request: Request) -> Answer:
    """GET /inbound/attachments/{token}."""
    for mail in state.inbox.mails.values():
        if request.path["token"] in mail.files:
            _, media, content = mail.files[request.path["token"]]
            return Answer(200, raw=content, media=media)
    raise RefusedError(404, "document_not_found", "Attachment does not exist")
