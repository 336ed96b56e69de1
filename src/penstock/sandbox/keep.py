"""Keeps an emulated Brevo account in a file, so that commands run one after the other see the same account."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.sandbox.brevo_attributes import Attribute
from penstock.sandbox.brevo_records import Contact
from penstock.sandbox.brevo_state import BrevoState


class _Kept(msgspec.Struct):
    attributes: list[Attribute]
    contacts: list[Contact]


def save_account(state: BrevoState, path: Path) -> None:
    """Write the attributes and contacts of the account; lists and events are not kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(_Kept(list(state.attributes.values()), state.by_creation)))
    partial.replace(path)


def load_account(state: BrevoState, path: Path) -> bool:
    """Put a kept account's attributes and contacts into `state`; returns whether there was one."""
    if not path.is_file():
        return False
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    for attribute in kept.attributes:
        state.attributes[attribute.name] = attribute
    for contact in kept.contacts:
        state.add_contact(
            contact.email or None,
            contact.attributes,
            ext_id=contact.ext_id or None,
            created_at=contact.created / 1000,
            modified_at=contact.modified / 1000,
            email_blacklisted=contact.email_blacklisted,
            sms_blacklisted=contact.sms_blacklisted,
            whatsapp_blacklisted=contact.whatsapp_blacklisted,
        )
    return True
