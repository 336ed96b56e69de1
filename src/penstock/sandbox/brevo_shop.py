"""Orders, products, categories and the shop's settings in the Brevo emulator; amounts are major units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.sandbox.brevo_contacts import IDENTIFIER_KINDS
from penstock.sandbox.brevo_imports import start_process
from penstock.sandbox.brevo_shop_records import Order, Product
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    cut_page,
    decode,
    format_time,
    invalid,
    to_milliseconds,
)

MAX_BATCH = 100


class _Line(msgspec.Struct, rename="camel"):
    product_id: str | int
    price: float
    quantity: float | None = None
    quantity_float: float | None = None
    variant_id: str | int | None = None


class _Order(msgspec.Struct, rename="camel", omit_defaults=True):
    id: str
    created_at: str
    updated_at: str
    status: str
    amount: float
    products: list[_Line]
    identifiers: dict[str, str | int] = {}
    billing: dict[str, Any] | None = None
    coupons: list[str] | None = None
    meta_info: dict[str, Any] | None = None
    store_id: str | None = None


class _Orders(msgspec.Struct, rename="camel"):
    orders: list[_Order]
    historical: bool = True
    notify_url: str | None = None


def create_order(state: BrevoState, request: Request) -> Answer:
    """POST /orders/status: 204; the same id again changes the order."""
    _check_enabled(state)
    body = decode(request.body, _Order)
    _check_order(body)
    _keep_order(state, body, "orders.status")
    return Answer(204)


def create_orders(state: BrevoState, request: Request) -> Answer:
    """POST /orders/status/batch: 202; they are there when the process is done."""
    _check_enabled(state)
    body = decode(request.body, _Orders)
    if not body.orders:
        raise RefusedError(400, "missing_parameter", "orders is missing")
    for order in body.orders:
        _check_order(order)

    def work() -> None:
        for order in body.orders:
            _keep_order(state, order, "orders.batch")

    process = start_process(state, "IMPORTORDERS", len(body.orders), work, request, body.notify_url)
    return Answer(202, {"batch_id": process.id, "count": len(body.orders)})


def _check_order(body: _Order) -> None:
    to_milliseconds(body.created_at, "createdAt")
    to_milliseconds(body.updated_at, "updatedAt")
    if body.amount < 0:
        raise invalid("amount must not be negative")


def _keep_order(state: BrevoState, body: _Order, operation: str) -> None:
    now = state.now()
    known = state.shop.orders.get(body.id)
    fields: dict[str, Any] = msgspec.to_builtins(body)
    contact = None
    for name, value in body.identifiers.items():
        if name in IDENTIFIER_KINDS and contact is None:
            contact = state.find(IDENTIFIER_KINDS[name], str(value))
    if known is not None and known.fields == fields:
        state.repeats[operation] += 1
    state.shop.orders[body.id] = Order(
        body.id, known.created if known else now, now, contact.id if contact else None, fields
    )
    state.world.wrote("brevo", operation, body.id, tuple(fields))


def list_orders(state: BrevoState, request: Request) -> Answer:
    """GET /orders: there is no currency on an order."""
    _check_enabled(state)
    rows = _since(list(state.shop.orders.values()), request)
    page = cut_page(rows, request, default=50, highest=100)
    return Answer(200, {"orders": [_show_order(state, one) for one in page], "count": len(rows)})


def _show_order(state: BrevoState, one: Order) -> dict[str, Any]:
    shown = dict(one.fields)
    contact = state.contacts.get(one.contact) if one.contact is not None else None
    if contact is not None:
        shown["contact_id"] = contact.id
        if contact.email:
            shown["email"] = contact.email
    return shown


def _since(rows: list[Any], request: Request) -> list[Any]:
    for name, read in (("createdSince", "created"), ("modifiedSince", "modified")):
        text = request.text(name)
        if text is not None:
            since = to_milliseconds(text, name)
            rows = [row for row in rows if getattr(row, read) > since]
    return rows


class _Product(msgspec.Struct, rename="camel", omit_defaults=True):
    id: str
    name: str | None = None
    url: str | None = None
    image_url: str | None = None
    sku: str | None = None
    price: float | None = None
    alternative_price: float | None = None
    categories: list[str] | None = None
    parent_id: str | None = None
    meta_info: dict[str, Any] | None = None
    brand: str | None = None
    description: str | None = None
    stock: float | None = None
    is_deleted: bool | None = None
    deleted_at: str | None = None
    update_enabled: bool = False


class _Category(msgspec.Struct, rename="camel", omit_defaults=True):
    id: str
    name: str | None = None
    url: str | None = None
    is_deleted: bool | None = None
    deleted_at: str | None = None
    update_enabled: bool = False


class _Products(msgspec.Struct, rename="camel"):
    products: list[_Product]
    update_enabled: bool = False


class _Categories(msgspec.Struct, rename="camel"):
    categories: list[_Category]
    update_enabled: bool = False


def create_product(state: BrevoState, request: Request) -> Answer:
    """POST /products: 201 with the id of a new one, 204 when `updateEnabled` changed a known one."""
    _check_enabled(state)
    body = decode(request.body, _Product)
    return _keep_one(state, state.shop.products, body, "products.create")


def create_category(state: BrevoState, request: Request) -> Answer:
    """POST /categories: as `/products`."""
    _check_enabled(state)
    body = decode(request.body, _Category)
    return _keep_one(state, state.shop.categories, body, "categories.create")


def _keep_one(state: BrevoState, rows: dict[str, Product], body: _Product | _Category, operation: str) -> Answer:
    known = body.id in rows
    if known and not body.update_enabled:
        raise RefusedError(400, "duplicate_parameter", f"{body.id} exists already")
    _keep(state, rows, body, operation)
    return Answer(204) if known else Answer(201, {"id": body.id})


def create_products(state: BrevoState, request: Request) -> Answer:
    """POST /products/batch: 201 with the counts; at most 100."""
    body = decode(request.body, _Products)
    return _keep_all(state, state.shop.products, list(body.products), body.update_enabled, "products.batch")


def create_categories(state: BrevoState, request: Request) -> Answer:
    """POST /categories/batch: as `/products/batch`."""
    body = decode(request.body, _Categories)
    return _keep_all(state, state.shop.categories, list(body.categories), body.update_enabled, "categories.batch")


def _keep_all(state: BrevoState, rows: dict[str, Product], given: list[Any], update: bool, operation: str) -> Answer:
    _check_enabled(state)
    if not 1 <= len(given) <= MAX_BATCH:
        raise RefusedError(400, "out_of_range", f"from 1 to {MAX_BATCH} at a time")
    known = [one for one in given if one.id in rows]
    if known and not update:
        raise RefusedError(400, "duplicate_parameter", f"{known[0].id} exists already")
    for one in given:
        _keep(state, rows, one, operation)
    return Answer(201, {"createdCount": len(given) - len(known), "updatedCount": len(known)})


def _keep(state: BrevoState, rows: dict[str, Product], body: _Product | _Category, operation: str) -> None:
    if body.id not in rows and not body.name:
        raise RefusedError(400, "missing_parameter", "name is missing")
    now = state.now()
    fields = {key: value for key, value in msgspec.to_builtins(body).items() if key != "updateEnabled"}
    known = rows.get(body.id)
    if known is not None and known.fields == {**known.fields, **fields}:
        state.repeats[operation] += 1
    rows[body.id] = Product(
        body.id, known.created if known else now, now, {**(known.fields if known else {}), **fields}
    )
    state.world.wrote("brevo", operation, body.id, tuple(fields))


def _show(one: Product) -> dict[str, Any]:
    return {
        "isDeleted": False,
        **{key: value for key, value in one.fields.items() if key != "deletedAt"},
        "createdAt": format_time(one.created),
        "modifiedAt": format_time(one.modified),
    }


def _show_product(one: Product) -> dict[str, Any]:
    pictures = {"s3ThumbAnalytics": "", "s3ThumbEditor": ""}
    return {**_show(one), **pictures}


def _page(
    state: BrevoState, request: Request, name: str, rows: dict[str, Product], show: Callable[[Product], Any], most: int
) -> Answer:
    _check_enabled(state)
    wanted, part = set(request.query.get("ids", ())), request.text("name")
    found = [
        one
        for one in _since(list(rows.values()), request)
        if (not wanted or one.id in wanted) and (part is None or part in one.fields.get("name", ""))
    ]
    page = cut_page(found, request, default=50, highest=most)
    return Answer(200, {name: [show(one) for one in page], "count": len(found)})


def list_products(state: BrevoState, request: Request) -> Answer:
    """GET /products."""
    return _page(state, request, "products", state.shop.products, _show_product, 1000)


def list_categories(state: BrevoState, request: Request) -> Answer:
    """GET /categories."""
    return _page(state, request, "categories", state.shop.categories, _show, 100)


def get_product(state: BrevoState, request: Request) -> Answer:
    """GET /products/{id}."""
    return Answer(200, _show_product(_find(state, state.shop.products, request)))


def get_category(state: BrevoState, request: Request) -> Answer:
    """GET /categories/{id}."""
    return Answer(200, _show(_find(state, state.shop.categories, request)))


def _find(state: BrevoState, rows: dict[str, Product], request: Request) -> Product:
    _check_enabled(state)
    if request.path["id"] not in rows:
        raise RefusedError(404, "document_not_found", f"{request.path['id']} does not exist")
    return rows[request.path["id"]]


def activate(state: BrevoState, _request: Request) -> Answer:
    """POST /ecommerce/activate."""
    state.behaviour.ecommerce = True
    return Answer(200, {"message": "eCommerce activation is in process"})


def get_currency(state: BrevoState, _request: Request) -> Answer:
    """GET /ecommerce/config/displayCurrency: 403 while the shop is off."""
    _check_enabled(state)
    return Answer(200, {"code": state.account.currency})


class _Currency(msgspec.Struct):
    code: str


def set_currency(state: BrevoState, request: Request) -> Answer:
    """POST /ecommerce/config/displayCurrency."""
    _check_enabled(state)
    code = decode(request.body, _Currency).code
    if len(code) != 3 or not code.isupper():
        raise invalid(f"code is not a currency: {code}")
    state.account.currency = code
    return Answer(200, {"code": code})


def _check_enabled(state: BrevoState) -> None:
    if not state.behaviour.ecommerce:
        raise RefusedError(403, "permission_denied", "eCommerce is not activated for this account")
