"""Which handler of the Brevo emulator answers which method and path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.sandbox import brevo_account as account
from penstock.sandbox import brevo_attributes as attributes
from penstock.sandbox import brevo_campaigns as campaigns
from penstock.sandbox import brevo_consents as consents
from penstock.sandbox import brevo_contacts as contacts
from penstock.sandbox import brevo_events as events
from penstock.sandbox import brevo_exports as exports
from penstock.sandbox import brevo_images as images
from penstock.sandbox import brevo_imports as imports
from penstock.sandbox import brevo_inbox as inbox
from penstock.sandbox import brevo_lists as lists
from penstock.sandbox import brevo_sending as sending
from penstock.sandbox import brevo_shop as shop
from penstock.sandbox import brevo_templates as templates
from penstock.sandbox import brevo_webhooks as webhooks
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request

Handler = Callable[[BrevoState, Request], Answer | Awaitable[Answer]]

OPEN = ("reports.get", "images.get")
"""Operations that need no key and use up no limit: files behind addresses that nobody can guess."""

ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "account", "account.get", account.get_account),
    ("GET", "senders", "senders.list", account.list_senders),
    ("POST", "senders", "senders.create", account.create_sender),
    ("GET", "smtp/blockedContacts", "blocked.list", account.list_blocked),
    ("DELETE", "smtp/blockedContacts/{email}", "blocked.delete", account.unblock),
    ("GET", "contacts", "contacts.list", contacts.list_contacts),
    ("POST", "contacts", "contacts.create", contacts.create_contact),
    ("POST", "contacts/batch", "contacts.batch", contacts.update_batch),
    ("POST", "contacts/import", "contacts.import", imports.import_contacts),
    ("POST", "contacts/export", "contacts.export", exports.export_contacts),
    ("POST", "contacts/doubleOptinConfirmation", "contacts.doi", consents.confirm_twice),
    ("GET", "contacts/segments", "segments.list", consents.list_segments),
    ("GET", "contacts/consent-groups", "consent-groups.list", consents.list_groups),
    ("POST", "contacts/consent-groups", "consent-groups.create", consents.create_group),
    ("GET", "contacts/consent-groups/{group}", "consent-groups.get", consents.get_group),
    ("PUT", "contacts/consent-groups/{group}", "consent-groups.update", consents.update_group),
    ("PATCH", "contacts/consent-groups/{group}", "consent-groups.update", consents.update_group),
    ("DELETE", "contacts/consent-groups/{group}", "consent-groups.delete", consents.delete_group),
    ("GET", "contacts/attributes", "attributes.list", attributes.list_attributes),
    ("DELETE", "contacts/attributes/multiple-choice/{name}/{option}", "attributes.delete", attributes.delete_option),
    ("POST", "contacts/attributes/{category}/{name}", "attributes.create", attributes.create_attribute),
    ("PUT", "contacts/attributes/{category}/{name}", "attributes.update", attributes.update_attribute),
    ("DELETE", "contacts/attributes/{category}/{name}", "attributes.delete", attributes.delete_attribute),
    ("GET", "contacts/lists", "lists.list", lists.list_lists),
    ("POST", "contacts/lists", "lists.create", lists.create_list),
    ("GET", "contacts/lists/{list}", "lists.get", lists.get_list),
    ("PUT", "contacts/lists/{list}", "lists.update", lists.update_list),
    ("DELETE", "contacts/lists/{list}", "lists.delete", lists.delete_list),
    ("GET", "contacts/lists/{list}/contacts", "lists.contacts", contacts.list_members),
    ("POST", "contacts/lists/{list}/contacts/add", "lists.add", lists.add_members),
    ("POST", "contacts/lists/{list}/contacts/remove", "lists.remove", lists.remove_members),
    ("GET", "contacts/folders", "folders.list", lists.list_folders),
    ("POST", "contacts/folders", "folders.create", lists.create_folder),
    ("GET", "contacts/folders/{folder}", "folders.get", lists.get_folder),
    ("PUT", "contacts/folders/{folder}", "folders.update", lists.update_folder),
    ("DELETE", "contacts/folders/{folder}", "folders.delete", lists.delete_folder),
    ("GET", "contacts/folders/{folder}/lists", "folders.lists", lists.list_folder_lists),
    ("GET", "contacts/{identifier}", "contacts.get", contacts.get_contact),
    ("PUT", "contacts/{identifier}", "contacts.update", contacts.update_contact),
    ("DELETE", "contacts/{identifier}", "contacts.delete", contacts.delete_contact),
    ("GET", "contacts/{identifier}/campaignStats", "contacts.stats", exports.get_stats),
    ("GET", "processes", "processes.list", imports.list_processes),
    ("GET", "processes/{process}", "processes.get", imports.get_process),
    ("GET", "sandbox-reports/{process}/{token}/{file}", "reports.get", imports.get_report),
    ("GET", "events", "events.list", events.list_events),
    ("POST", "events", "events.create", events.create_event),
    ("POST", "events/batch", "events.batch", events.create_batch),
    ("GET", "webhooks", "webhooks.list", webhooks.list_webhooks),
    ("POST", "webhooks", "webhooks.create", webhooks.create_webhook),
    ("GET", "webhooks/{webhook}", "webhooks.get", webhooks.get_webhook),
    ("PUT", "webhooks/{webhook}", "webhooks.update", webhooks.update_webhook),
    ("DELETE", "webhooks/{webhook}", "webhooks.delete", webhooks.delete_webhook),
    ("GET", "emailCampaigns", "campaigns.list", campaigns.list_campaigns),
    ("POST", "emailCampaigns", "campaigns.create", campaigns.create_campaign),
    ("POST", "emailCampaigns/images", "images.upload", images.upload_image),
    ("GET", "sandbox-images/{file}", "images.get", images.get_image),
    ("GET", "emailCampaigns/{campaign}", "campaigns.get", campaigns.get_campaign),
    ("PUT", "emailCampaigns/{campaign}", "campaigns.update", campaigns.update_campaign),
    ("DELETE", "emailCampaigns/{campaign}", "campaigns.delete", campaigns.delete_campaign),
    ("POST", "emailCampaigns/{campaign}/sendNow", "campaigns.send", sending.send_now),
    ("POST", "emailCampaigns/{campaign}/sendTest", "campaigns.test", campaigns.send_test),
    ("PUT", "emailCampaigns/{campaign}/status", "campaigns.status", sending.change_status),
    ("GET", "emailCampaigns/{campaign}/abTestCampaignResult", "campaigns.result", sending.get_test_result),
    ("POST", "emailCampaigns/{campaign}/exportRecipients", "campaigns.export", sending.export_recipients),
    ("GET", "emailCampaigns/{campaign}/sharedUrl", "campaigns.share", campaigns.share),
    ("GET", "smtp/templates", "templates.list", templates.list_templates),
    ("POST", "smtp/templates", "templates.create", templates.create_template),
    ("GET", "smtp/templates/{template}", "templates.get", templates.get_template),
    ("PUT", "smtp/templates/{template}", "templates.update", templates.update_template),
    ("DELETE", "smtp/templates/{template}", "templates.delete", templates.delete_template),
    ("POST", "smtp/templates/{template}/sendTest", "templates.test", templates.send_test),
    ("POST", "smtp/template/preview", "templates.preview", templates.preview),
    ("GET", "orders", "orders.list", shop.list_orders),
    ("POST", "orders/status", "orders.status", shop.create_order),
    ("POST", "orders/status/batch", "orders.batch", shop.create_orders),
    ("GET", "products", "products.list", shop.list_products),
    ("POST", "products", "products.create", shop.create_product),
    ("POST", "products/batch", "products.batch", shop.create_products),
    ("GET", "products/{id}", "products.get", shop.get_product),
    ("GET", "categories", "categories.list", shop.list_categories),
    ("POST", "categories", "categories.create", shop.create_category),
    ("POST", "categories/batch", "categories.batch", shop.create_categories),
    ("GET", "categories/{id}", "categories.get", shop.get_category),
    ("POST", "ecommerce/activate", "ecommerce.activate", shop.activate),
    ("GET", "ecommerce/config/displayCurrency", "ecommerce.currency", shop.get_currency),
    ("POST", "ecommerce/config/displayCurrency", "ecommerce.set-currency", shop.set_currency),
    ("GET", "conversations/messages/{message}", "conversations.get", inbox.get_message),
    ("GET", "inbound/events", "inbound.list", inbox.list_mails),
    ("GET", "inbound/events/{uuid}", "inbound.get", inbox.get_mail),
    ("GET", "inbound/attachments/{token}", "inbound.file", inbox.get_file),
)


class _Route(NamedTuple):
    pattern: tuple[str, ...]
    methods: dict[str, tuple[str, Handler]]

    def match(self, parts: list[str]) -> dict[str, str] | None:
        """Return the named parts of the path, or None when it is another path."""
        found = {}
        for expected, part in zip(self.pattern, parts, strict=True):
            if expected[0] == "{":
                found[expected[1:-1]] = part
            elif expected != part:
                return None
        return found


class Routes:
    """The table, ready for look-ups; of two patterns that fit, the first in the table is taken."""

    def __init__(self) -> None:
        self._by_length: dict[int, list[_Route]] = {}
        for method, path, operation, handler in ROUTES:
            pattern = tuple(path.split("/"))
            same_length = self._by_length.setdefault(len(pattern), [])
            route = next((route for route in same_length if route.pattern == pattern), None)
            if route is None:
                route = _Route(pattern, {})
                same_length.append(route)
            route.methods[method] = operation, handler

    def match(self, method: str, parts: list[str]) -> tuple[str, Handler, dict[str, str]]:
        """Return the operation, its handler and the named parts of a path."""
        for route in self._by_length.get(len(parts), ()):
            names = route.match(parts)
            if names is not None:
                operation, handler = route.methods.get(method, ("unknown", _refuse_method))
                return operation, handler, names
        return "unknown", _refuse_path, {}


def _refuse_method(_state: BrevoState, request: Request) -> Answer:
    raise RefusedError(405, "method_not_allowed", f"{request.method} Method is not allowed on this path")


def _refuse_path(_state: BrevoState, request: Request) -> Answer:
    raise RefusedError(404, "document_not_found", f"Unknown path /{'/'.join(request.parts)}")
