"""The Brevo endpoints that Penstock uses: path, allowed query parameters, rate-limit family, safe repetition.

Vendor rules: API reference and rate-limit guide (August 2026), changelog up to 2026-11-01.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Retry = Literal["never", "unsent", "safe"]
"""`never`: asked once, whatever comes back; only what never left this machine is asked again.
`unsent`: repeat only what provably was not done (not connected, refused as too fast).
`safe`: the same request twice leaves the same state, so timeouts and server errors are repeated too."""


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint: how it is called, which statuses are good, and how it may be repeated."""

    method: str
    path: str
    family: str
    good: tuple[int, ...] = (200,)
    retry: Retry = "safe"
    query: frozenset[str] = frozenset()
    collection: str = ""


class Family(msgspec.Struct, frozen=True):
    """The published limits of one group of endpoints on the general plan: calls by seconds.

    What a reply's headers state replaces them, so that faster plans are used in full.
    """

    limits: tuple[tuple[int, int], ...]


_SECOND, _HOUR = 1, 3600

FAMILIES: dict[str, Family] = {
    "contacts": Family(((10, _SECOND), (36_000, _HOUR))),
    "events": Family(((10, _SECOND), (36_000, _HOUR))),
    "orders": Family(((5, _SECOND), (18_000, _HOUR))),
    "products": Family(((2, _SECOND), (7_200, _HOUR))),
    # The rate guide has no row for these: each starts at the remainder's limit and learns from its own headers.
    "imports": Family(((100, _HOUR),)),
    "event-reads": Family(((100, _HOUR),)),
    "event-batches": Family(((100, _HOUR),)),
    "order-batches": Family(((100, _HOUR),)),
    "product-batches": Family(((100, _HOUR),)),
    "rest": Family(((100, _HOUR),)),
    "templates": Family(((300, _HOUR),)),
}

_PAGING = frozenset({"limit", "offset", "sort"})
_CHANGES = _PAGING | {"modifiedSince", "createdSince"}

ENDPOINTS: dict[str, Endpoint] = {
    "account.get": Endpoint("GET", "/account", "rest"),
    "contacts.list": Endpoint(
        "GET",
        "/contacts",
        "contacts",
        query=_PAGING | {"modifiedSince", "createdSince", "ids", "listIds", "segmentId", "filter"},
        collection="contacts",
    ),
    "contacts.get": Endpoint("GET", "/contacts/{identifier}", "contacts", query=frozenset({"identifierType"})),
    "contacts.create": Endpoint("POST", "/contacts", "contacts", good=(201, 204)),
    "contacts.update": Endpoint(
        "PUT", "/contacts/{identifier}", "contacts", good=(200, 204), query=frozenset({"identifierType"})
    ),
    "contacts.import": Endpoint("POST", "/contacts/import", "imports", good=(202,)),
    "attributes.list": Endpoint("GET", "/contacts/attributes", "contacts", collection="attributes"),
    "attributes.create": Endpoint("POST", "/contacts/attributes/{category}/{name}", "contacts", good=(201, 204)),
    "attributes.update": Endpoint("PUT", "/contacts/attributes/{category}/{name}", "contacts", good=(200, 204)),
    "folders.list": Endpoint("GET", "/contacts/folders", "contacts", query=_PAGING, collection="folders"),
    "folders.create": Endpoint("POST", "/contacts/folders", "contacts", good=(201,), retry="unsent"),
    "folders.lists": Endpoint("GET", "/contacts/folders/{id}/lists", "contacts", query=_PAGING, collection="lists"),
    "lists.create": Endpoint("POST", "/contacts/lists", "contacts", good=(201,), retry="unsent"),
    "lists.add": Endpoint("POST", "/contacts/lists/{id}/contacts/add", "contacts", good=(200, 201)),
    "lists.remove": Endpoint("POST", "/contacts/lists/{id}/contacts/remove", "contacts", good=(200, 201)),
    "processes.list": Endpoint("GET", "/processes", "rest", query=_PAGING, collection="processes"),
    "processes.get": Endpoint("GET", "/processes/{id}", "rest"),
    "events.create": Endpoint("POST", "/events", "events", good=(200, 202, 204), retry="unsent"),
    "events.batch": Endpoint("POST", "/events/batch", "event-batches", good=(202, 207), retry="unsent"),
    "orders.status": Endpoint("POST", "/orders/status", "orders", good=(200, 204)),
    "orders.batch": Endpoint("POST", "/orders/status/batch", "order-batches", good=(202,)),
    "products.create": Endpoint("POST", "/products", "products", good=(200, 201, 204)),
    "products.batch": Endpoint("POST", "/products/batch", "product-batches", good=(200, 201, 204)),
    "events.list": Endpoint(
        "GET",
        "/events",
        "event-reads",
        query=_PAGING | {"contact_id", "event_name", "startDate", "endDate"},
        collection="events",
    ),
    "senders.list": Endpoint("GET", "/senders", "rest", collection="senders"),
    "campaigns.list": Endpoint(
        "GET",
        "/emailCampaigns",
        "rest",
        query=_PAGING | {"type", "status", "statistics", "startDate", "endDate", "excludeHtmlContent"},
        collection="campaigns",
    ),
    "campaigns.create": Endpoint("POST", "/emailCampaigns", "rest", good=(201,), retry="unsent"),
    "campaigns.get": Endpoint(
        "GET", "/emailCampaigns/{id}", "rest", query=frozenset({"statistics", "excludeHtmlContent"})
    ),
    "campaigns.update": Endpoint("PUT", "/emailCampaigns/{id}", "rest", good=(204,)),
    "campaigns.send": Endpoint("POST", "/emailCampaigns/{id}/sendNow", "rest", good=(204,), retry="never"),
    "campaigns.test": Endpoint("POST", "/emailCampaigns/{id}/sendTest", "rest", good=(204,), retry="never"),
    "campaigns.status": Endpoint("PUT", "/emailCampaigns/{id}/status", "rest", good=(204,)),
    "campaigns.result": Endpoint("GET", "/emailCampaigns/{id}/abTestCampaignResult", "rest"),
    "images.upload": Endpoint("POST", "/emailCampaigns/images", "rest", good=(201,), retry="unsent"),
    "templates.list": Endpoint(
        "GET", "/smtp/templates", "templates", query=_PAGING | {"templateStatus"}, collection="templates"
    ),
    "templates.create": Endpoint("POST", "/smtp/templates", "templates", good=(201,), retry="unsent"),
    "templates.get": Endpoint("GET", "/smtp/templates/{id}", "templates"),
    "templates.update": Endpoint("PUT", "/smtp/templates/{id}", "templates", good=(204,)),
    "templates.preview": Endpoint("POST", "/smtp/template/preview", "templates"),
    "lists.list": Endpoint("GET", "/contacts/lists", "contacts", query=_PAGING, collection="lists"),
    "lists.get": Endpoint("GET", "/contacts/lists/{id}", "contacts"),
    "segments.list": Endpoint("GET", "/contacts/segments", "contacts", query=_PAGING, collection="segments"),
    "lists.contacts": Endpoint(
        "GET",
        "/contacts/lists/{id}/contacts",
        "contacts",
        query=_PAGING | {"modifiedSince"},
        collection="contacts",
    ),
    "consent-groups.list": Endpoint(
        "GET", "/contacts/consent-groups", "contacts", query=_PAGING, collection="consentGroups"
    ),
    "orders.list": Endpoint("GET", "/orders", "rest", query=_CHANGES, collection="orders"),
    "products.list": Endpoint("GET", "/products", "rest", query=_CHANGES, collection="products"),
    "categories.list": Endpoint("GET", "/categories", "rest", query=_CHANGES, collection="categories"),
    "ecommerce.currency": Endpoint("GET", "/ecommerce/config/displayCurrency", "rest"),
    "webhooks.list": Endpoint("GET", "/webhooks", "rest", query=frozenset({"type", "sort"}), collection="webhooks"),
    "webhooks.create": Endpoint("POST", "/webhooks", "rest", good=(201,), retry="unsent"),
    "webhooks.update": Endpoint("PUT", "/webhooks/{id}", "rest", good=(204,)),
    "webhooks.delete": Endpoint("DELETE", "/webhooks/{id}", "rest", good=(204,)),
}
