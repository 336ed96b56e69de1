"""Orders, products, categories, conversations and inbound mail of the Brevo emulator as values."""

from __future__ import annotations

from typing import Any

import msgspec


class Product(msgspec.Struct):
    """One product or category; `fields` are as the API takes them, times are milliseconds."""

    id: str
    created: int
    modified: int
    fields: dict[str, Any] = {}


class Order(msgspec.Struct):
    """One order; `created` and `modified` are when the account got to know it and its last change."""

    id: str
    created: int
    modified: int
    contact: int | None
    fields: dict[str, Any] = {}


class Shop(msgspec.Struct):
    """The shop of an account."""

    products: dict[str, Product] = {}
    categories: dict[str, Product] = {}
    orders: dict[str, Order] = {}


class Mail(msgspec.Struct):
    """One mail that came in; `files` maps a download token to its name, media type and content."""

    uuid: str
    at: int
    sender: str
    recipient: str
    subject: str
    text: str
    files: dict[str, tuple[str, str, bytes]] = {}


class Inbox(msgspec.Struct):
    """What visitors and customers wrote: `messages` by id, and which conversation each visitor has."""

    messages: dict[str, dict[str, Any]] = {}
    conversations: dict[str, list[str]] = {}
    mails: dict[str, Mail] = {}
