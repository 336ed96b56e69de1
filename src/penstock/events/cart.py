"""Compiles what was bought: amount, currency, items and further data, for the shape of each event type."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from penstock.base.errors import MappingError
from penstock.events import automap
from penstock.events.contract import ANY_KEY, Contract, Field
from penstock.events.draft import Draft
from penstock.events.lookup import Get, GetItem, compile_item, compile_record
from penstock.events.mapping_file import Plan
from penstock.events.money import Unit, read_currency, to_minor
from penstock.events.values import READERS, refuse, show_name


class Cart:
    """Fills `data` from a record; one instance serves all records of a mapping."""

    def __init__(self, plan: Plan, contract: Contract) -> None:
        self._digits = contract.digits
        self._unit: Unit | None = "major" if plan.amount_unit == "major" else "minor" if plan.amount_unit else None
        self._shapes = contract.shapes
        self._item_fields = contract.item
        self._item_readers = {name: READERS[one.kind] for name, one in contract.item.items() if one.kind in READERS}
        self._own_currency = not plan.items or any("currency" in part for part in plan.items)
        self._automap = plan.automap
        self._amount = self._get(plan, "amount")
        self._currency = self._get(plan, "currency")
        self._each = compile_record(plan.each) if plan.each is not None else None
        self._items = [_compile_items(part) for part in plan.items or ()]
        self._named = [
            (name, compile_record(expression), contract.data_fields[name])
            for name, expression in plan.fields.items()
            if name in contract.data_fields and name not in {"amount", "currency"}
        ]
        self._extra = [(name, compile_record(expression)) for name, expression in plan.data.items()]
        self._rest = compile_record(plan.rest) if plan.rest is not None else None

    def _get(self, plan: Plan, field: str) -> Get | None:
        expression = plan.fields.get(field)
        if expression is not None:
            get = compile_record(expression)
            return _or_blank(get, field) if plan.automap else get
        return partial(automap.find_blank, field) if plan.automap else None

    def fill(self, shape: str, record: Mapping[str, Any], draft: Draft) -> dict[str, Any]:
        """Return the data of an event of this shape."""
        fields = self._shapes[shape]
        data: dict[str, Any] = {"type": shape}
        currency = self._read_currency(record, draft)
        self._put_amount(data, currency, fields, record, draft)
        if "contents" in fields:
            items = self.read_items(currency, record, draft)
            if items:
                data["contents"] = items
                if currency and "currency" in fields and any("amount" in item for item in items):
                    data["currency"] = currency
        elif self.find_items(record, draft):
            draft.warnings.append(f"contents is not part of {shape}; it is left out [event.not-in-shape]")
        for name, get, field in self._named:
            self._put(data, name, get, field if name in fields else None, record, draft)
        for name, get in self._extra:
            self._put(data, name, get, fields.get(name, fields.get(ANY_KEY)), record, draft)
        if self._rest is not None:
            self._put_rest(data, self._rest, fields, record, draft)
        for name, field in fields.items():
            if field.required == "yes" and name not in data:
                draft.refuse(f"data.{name}", refuse("event.missing", f"is required for {shape}"))
        return data

    # money

    def _read_currency(self, record: Mapping[str, Any], draft: Draft) -> str:
        value = self._currency(record) if self._currency else None
        if value is None or value == "":
            return ""
        try:
            return read_currency(value, self._digits)
        except MappingError as error:
            draft.refuse("currency", error)
            return ""

    def _put_amount(
        self, data: dict[str, Any], currency: str, fields: Mapping[str, Field], record: Mapping[str, Any], draft: Draft
    ) -> None:
        value = self._amount(record) if self._amount else None
        if value is None or value == "" or "amount" not in fields:
            return
        if self._unit is None:  # found by automapping alone
            draft.warn(
                "amount", refuse("event.no-unit", "has no declared unit", "Write `amount_unit: major` or `minor`.")
            )
            return
        if not currency:
            if not draft.refusals or draft.refusals[-1].field != "currency":
                draft.refuse("amount", refuse("event.no-currency", "stands without a currency", "Map `currency`."))
            return
        try:
            data["amount"] = to_minor(value, self._digits[currency], self._unit)
        except MappingError as error:
            draft.refuse("amount", error)
        data["currency"] = currency

    # items

    def read_items(self, currency: str, record: Mapping[str, Any], draft: Draft) -> list[dict[str, Any]]:
        """Return the items of a record; what does not fit is left out with a warning."""
        items = []
        for number, pairs in enumerate(self.find_items(record, draft)):
            read = self._read_item(pairs, currency, number, draft)
            if read:
                items.append(read)
        return items

    def find_items(self, record: Mapping[str, Any], draft: Draft) -> list[list[tuple[str, Any]]]:
        """Return the names and values of each item, as they stand in the record."""
        if self._each is not None:
            listed = self._each(record)
            if isinstance(listed, list):
                objects = [one for one in listed if type(one) is dict]
                if not self._items:
                    return [list(one.items()) for one in objects]
                parts = self._items[0]
                return [[(name, get(one, record)) for name, get in parts] for one in objects]
            if listed is not None and listed != "":
                draft.warn("contents", refuse("event.not-a-list", "is no list of items"))
        elif len(self._items) == 1:
            columns = {name: get(None, record) for name, get in self._items[0]}
            return [list(one.items()) for one in automap.zip_items(columns)]
        elif self._items:
            return [[(name, get(None, record)) for name, get in part] for part in self._items]
        return [list(one.items()) for one in automap.find_items(record)] if self._automap else []

    def _read_item(self, pairs: list[tuple[str, Any]], currency: str, number: int, draft: Draft) -> dict[str, Any]:
        """Return one item; a value that does not fit is left out, since all of them are optional."""
        read: dict[str, Any] = {}
        own = next((value for name, value in pairs if name == "currency"), None) if self._own_currency else None
        if own is not None and own != "":
            try:
                read["currency"] = currency = read_currency(own, self._digits)
            except MappingError as error:
                draft.warn(f"contents[{number}].currency", error)
                currency = ""
        for name, value in pairs:
            if value is None or value == "" or name == "currency":
                continue
            try:
                read_value = self._item_readers.get(name)
                if read_value is not None:
                    read[name] = read_value(value)
                elif name in self._item_fields:
                    read[name] = self._item_money(value, currency)
                else:
                    raise refuse("event.unknown-key", "is no part of an item")
            except MappingError as error:
                draft.warn(f"contents[{number}].{show_name(name)}", error)
        return read

    def _item_money(self, value: Any, currency: str) -> int:
        if self._unit is None:
            raise refuse("event.no-unit", "has no declared unit", "Write `amount_unit: major` or `minor`.")
        if not currency:
            raise refuse("event.no-currency", "stands without a currency", "Map `currency`.")
        return to_minor(value, self._digits[currency], self._unit)

    def _put(
        self, data: dict[str, Any], name: str, get: Get, field: Field | None, record: Mapping[str, Any], draft: Draft
    ) -> None:
        try:
            value = get(record)
            if value is None or value == "":
                return
            if field is None:
                draft.warnings.append(f"{name} is not part of {data['type']}; it is left out [event.not-in-shape]")
            elif name != "type":
                data[name] = READERS[field.kind](value)
        except MappingError as error:
            draft.refuse(f"data.{name}", error)

    def _put_rest(
        self, data: dict[str, Any], get: Get, fields: Mapping[str, Field], record: Mapping[str, Any], draft: Draft
    ) -> None:
        """Put the keys of a mapping that no field of their own has filled; nulls are kept, as they were written."""
        found = get(record)
        for name, value in found.items() if isinstance(found, dict) else ():
            field = fields.get(name, fields.get(ANY_KEY))
            if name in data or field is None or field.kind in {"money", "currency", "contents"}:
                continue
            try:
                data[name] = READERS[field.kind](value)
            except MappingError as error:
                draft.refuse(f"data.{show_name(name)}", error)


def _compile_items(part: Mapping[str, Any]) -> list[tuple[str, GetItem]]:
    return [(name, compile_item(expression)) for name, expression in part.items()]


def _or_blank(get: Get, field: str) -> Get:
    def find(record: Mapping[str, Any]) -> Any:
        value = get(record)
        return automap.find_blank(field, record) if value is None or value == "" else value

    return find
