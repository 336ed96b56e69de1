"""How the emulated Brevo behaves where the vendor's documents leave it open, or where accounts differ."""

from __future__ import annotations

from typing import Literal

import msgspec


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that can be switched, also while the account is in use. Times are in seconds.

    Accounts differ: `synthetic_addresses` gives contacts without an email address one at mailin-sms.com, as old
    accounts have; `per_list_unsubscription` shows `listUnsubscribed`; `consent_groups` and `ecommerce` are features
    that answer 403 while they are off.

    Undocumented: `duplicate_code` is the spelling of a conflict on update; `unknown_attributes` of a single write are
    dropped or refused; `import_identifiers` lets rows of a JSON import be keyed by EXT_ID or a phone number;
    `import_webhooks` fires webhooks for imports; `event_contacts` lets events with `contact_properties` create
    contacts; `contact_batch` says whether the deprecated `POST /contacts/batch` still works; `payload_arrays` sends
    `email` and `content` of webhooks as arrays; `batch_shape` is how batched webhooks are wrapped; `opt_out_event` is
    what an unsubscription is called in a payload.

    Pace: a write is seen by reads after `visible_after`; a contact answers 425 for `busy_seconds` after its creation;
    a process starts after `import_delay` and does `import_rows_per_second`; events of a batch are seen after
    `event_delay`; a webhook leaves at any moment within `webhook_spread`, so that the order is not kept; a campaign
    goes out in `send_seconds`. Beyond `keep_events` the oldest are forgotten.
    """

    synthetic_addresses: bool = False
    per_list_unsubscription: bool = False
    consent_groups: bool = False
    ecommerce: bool = True
    duplicate_code: Literal["invalid_parameter", "duplicate_parameter"] = "invalid_parameter"
    unknown_attributes: Literal["drop", "refuse"] = "drop"
    import_identifiers: bool = True
    import_webhooks: bool = True
    event_contacts: bool = False
    contact_batch: Literal["gone", "works"] = "gone"
    payload_arrays: bool = False
    batch_shape: Literal["array", "object"] = "array"
    opt_out_event: Literal["unsubscribe", "unsubscribed"] = "unsubscribe"
    visible_after: float = 0.0
    busy_seconds: float = 0.0
    import_delay: float = 1.0
    import_rows_per_second: float = 2_000.0
    event_delay: float = 2.0
    webhook_spread: float = 1.0
    send_seconds: float = 60.0
    keep_events: int = 1_000_000
