"""Which column of an order log is what: as told, else by the names that shops use, and said aloud."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.errors import InputError
from penstock.features.customer_value.orders import OrderColumns
from penstock.features.customer_value.wishes import ColumnWishes

USUAL: dict[str, tuple[str, ...]] = {
    "contact": (
        "customer", "customerid", "email", "customeremail", "identifiersemailid", "emailid", "contactid", "clientid",
        "userid", "client", "user", "contact", "buyer", "buyerid", "extid", "member", "memberid",
    ),
    "date": (
        "date", "orderedat", "orderdate", "createdat", "purchasedat", "purchasedate", "paidat", "processedat",
        "timestamp", "datetime", "time", "day", "invoicedate", "transactiondate",
    ),
    "value": (
        "value", "amount", "total", "ordertotal", "totalprice", "grandtotal", "ordervalue", "revenue", "price",
        "spend", "sales", "subtotal",
    ),
    "currency": ("currency", "currencycode", "ordercurrency"),
    "order": ("orderid", "order", "ordernumber", "orderno", "transactionid", "invoiceid", "invoice", "id"),
}  # fmt: skip
NEEDED = ("contact", "date")


def guess_columns(fields: Sequence[str], told: ColumnWishes) -> tuple[OrderColumns, list[str]]:
    """Return the columns, and a sentence for each that was guessed; raises `InputError` where one is missing."""
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in reversed(fields)}
    found: dict[str, str] = {}
    said: list[str] = []
    for what, usual in USUAL.items():
        name = getattr(told, what)
        if name and name not in fields:
            raise InputError(
                f"the order log has no column {name!r}", code="orders.column", hint=f"It has {', '.join(fields)}."
            )
        if not name:
            name = next((plain[one] for one in usual if one in plain and plain[one] not in found.values()), "")
            if name and name != what:
                said.append(f"{what} is taken from the column {name!r}")
            elif not name and what in NEEDED:
                raise InputError(
                    f"no column of the order log looks like the {'customer' if what == 'contact' else what}",
                    code="orders.column",
                    hint=f"Name it: --{what} COLUMN, or `columns: {{ {what}: … }}`. It has {', '.join(fields)}.",
                )
        found[what] = name
    return OrderColumns(
        found["contact"], found["date"], found["value"] or None, found["currency"] or None, found["order"] or None,
        told.format or None,
    ), said  # fmt: skip
