"""Writes a Python function for each type of event of a mapping, which makes the event of a plain record at once.

The function has every path, reader and limit in its place, so that nothing is decided anew for each record. It knows
good, plain values only: where a value is missing, odd, a list or refused, it gives up and returns None, and the rules
of `mapping.py`, which explain everything, take the record over. Both give the same event (held by a property). Its
text is made from parsed paths and names of the contract, written as Python literals, never from the data of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from penstock.base.errors import MappingError
from penstock.base.expression import Expression
from penstock.events import automap
from penstock.events.cart import Cart
from penstock.events.contract import ANY_KEY, Contract, Field, Identifier
from penstock.events.draft import Draft
from penstock.events.event import Event, User
from penstock.events.identifiers import HASHERS, hash_name, hash_phone, take_hashed
from penstock.events.lookup import compile_item, compile_record, split_choices
from penstock.events.mapping_file import Plan
from penstock.events.money import read_currency, to_minor
from penstock.events.values import (
    CLEAR,
    READERS,
    find_oppref,
    names_person,
    read_flag,
    read_opaque,
    read_text,
    read_url,
)

Make = Callable[[dict[str, Any], int], Event | None]

_TOOLS: dict[str, Any] = {
    "EMPTY": {},
    "Event": Event,
    "User": User,
    "find_oppref": find_oppref,
    "names_person": names_person,
    "read_currency": read_currency,
    "read_flag": read_flag,
    "read_opaque": read_opaque,
    "read_text": read_text,
    "read_url": read_url,
    "to_minor": to_minor,
}


class Shortcuts:
    """The functions of one mapping, each written when its type first comes."""

    def __init__(
        self,
        plan: Plan,
        contract: Contract,
        cart: Cart,
        types: dict[str, str],
        moment: Callable[[Any], int],
        action_source: str,
    ) -> None:
        """Take the parts of a mapping; `types` maps its names of events to those of the contract."""
        self._parts = (plan, contract, cart, moment, action_source)
        self._type = compile_record(plan.event)
        self._types = types
        self._makes: dict[str, Make] = {}

    def build(self, record: dict[str, Any], now_ms: int) -> Event | None:
        """Return the event of a plain record; None says nothing but that the rules must look at it."""
        try:
            name = self._type(record)
            found = self._types.get(name) if type(name) is str else None
            if found is None:
                return None
            make = self._makes.get(found)
            if make is None:
                make = self._makes[found] = _Writer(*self._parts, found).write()
            return make(record, now_ms)
        except MappingError:
            return None


def can_shorten(plan: Plan) -> bool:
    """Tell whether a mapping can have shortcuts: not where it takes whole objects over as they stand."""
    return not plan.translate and plan.rest is None


class _Writer:
    """Writes the function of one type. In its text `x` is the value at hand, `words` are all texts of the event."""

    def __init__(
        self,
        plan: Plan,
        contract: Contract,
        cart: Cart,
        moment: Callable[[Any], int],
        action_source: str,
        type_: str,
    ) -> None:
        self._plan = plan
        self._contract = contract
        self._cart = cart
        self._action_source = action_source
        self._type = type_
        self._kind = contract.types[type_]
        self._head: list[str] = []
        self._lines: list[str] = []
        self._depth = 1
        self._names: dict[str, Any] = {**_TOOLS, "DIGITS": contract.digits, "read_moment": moment}
        self._parents: dict[tuple[str | int, ...], str] = {}

    def write(self) -> Make:
        """Return the function."""
        self._write_permission()
        self._write_origin()
        self._write_people()
        self._write_data()
        self._write_end()
        body = "\n".join(["def make(record, now_ms):", *self._head, *self._lines])
        exec(compile(body, f"<events of {self._plan.name}: {self._type}>", "exec"), self._names)  # noqa: S102 - no data
        make: Make = self._names["make"]
        return make

    # words of the language

    def _add(self, *lines: str) -> None:
        self._lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._add(head)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def _if_filled(self) -> Iterator[None]:
        with self._block("if x or (x is not None and x != ''):"):
            yield

    def _give_up_if(self, condition: str) -> None:
        self._add(f"if {condition}: return None")

    def _name(self, value: Any) -> str:
        """Return a name by which the function finds a value."""
        name = f"v{len(self._names)}"
        self._names[name] = value
        return name

    # values of the record

    def _look(self, field: str) -> bool:
        """Set `x` to what the record holds for a field; False, with nothing written, where nothing is mapped."""
        return self._look_at(self._plan.fields.get(field), field)

    def _look_at(self, expression: Expression | None, field: str = "") -> bool:
        fills = self._plan.automap and field in automap.NAMES
        if expression is None:
            if fills:
                self._add(f"x = {self._name(partial(automap.find_blank, field))}(record)")
            return fills
        first, *others = split_choices(expression) or [expression]
        self._add(f"x = {self._find(first)}")
        for one in others:
            self._add(f"if not x and (x is None or x == ''): x = {self._find(one)}")
        if fills:
            self._add(
                f"if not x and (x is None or x == ''): x = {self._name(partial(automap.find_blank, field))}(record)"
            )
        return True

    def _find(self, expression: Expression) -> str:
        """Return Python for the value of an expression, found in the record itself where it is a plain path."""
        path = expression.path
        if not expression.names:
            return self._name(expression.evaluate({}))
        if path is None or not all(type(part) is str for part in path):
            return f"{self._name(compile_record(expression))}(record)"
        return f"{self._parent(path[1:-1])}.get({path[-1]!r})" if len(path) > 1 else "record"

    def _parent(self, path: tuple[str | int, ...]) -> str:
        """Return the name of the object that a path leads to, looked up once for all that is in it."""
        if not path:
            return "record"
        if path not in self._parents:
            above = self._parent(path[:-1])
            name = self._parents[path] = f"p{len(self._parents)}"
            self._head += [
                f"    {name} = {above}.get({path[-1]!r})",
                f"    if not isinstance({name}, dict): {name} = EMPTY",
            ]
        return self._parents[path]

    # parts of the event

    def _write_permission(self) -> None:
        plan = self._plan
        for one in (plan.pixel, plan.connection, plan.validate_only):
            if one is not None:
                self._look_at(one)
                self._give_up_if("x is not None and x != ''")
        if self._look("consent"):
            self._give_up_if("x is None or x == '' or not read_flag(x)")

    def _write_origin(self) -> None:
        """Write id, time, names and where it came from; every text is noted, to be looked through at the end."""
        limits, kind = self._contract.limits, self._kind
        self._require("id")
        self._add("id = read_text(x)")
        self._require("timestamp")
        self._add("moment = read_moment(x)")
        age, ahead = limits["age"].value, limits["ahead"].value
        self._give_up_if(f"not now_ms - {age} <= moment <= now_ms + {ahead}")
        self._add("custom = ''")
        if kind.named:
            self._require("custom_event_name")
            self._add("custom = read_text(x)")
            fits, types = self._name(self._contract.custom_name.fullmatch), self._name(self._contract.types)
            self._give_up_if(f"not {fits}(custom) or custom.lower() in {types}")
            self._add("custom = custom.lower()")
        self._add(f"source = {kind.action_source or self._action_source!r}")
        if self._look("action_source"):
            with self._if_filled():
                self._add("source = read_text(x).lower()")
                known = {kind.action_source} if kind.action_source else set(self._contract.action_sources)
                self._give_up_if(f"source not in {self._name(known)}")
        self._write_optional("source_url", "url", "read_url", "''")
        self._give_up_if("not url and source == 'web'")
        self._write_optional("oppref", "oppref", "read_opaque", "''")
        if self._plan.fields.get("landing_url") is not None:
            with self._block("if not oppref:"):
                self._look("landing_url")
                self._add("oppref = find_oppref(x)")
        self._write_optional("opt_out", "opt_out", "read_flag", "False")

    def _require(self, field: str) -> None:
        if not self._look(field):
            self._add("x = None")
        self._give_up_if("not x and (x is None or x == '')")

    def _write_optional(self, field: str, name: str, read: str, blank: str) -> None:
        if not self._look(field):
            self._add(f"{name} = {blank}")
        else:
            self._add(f"{name} = {read}(x) if x or (x is not None and x != '') else {blank}")

    def _write_people(self) -> None:
        self._add("traces = {}", "clear = []")
        for target, one in self._contract.user.items():
            self._add(f"{target} = {'()' if one.many else repr('')}")
            if one.hashed:
                self._write_hashed(target, one)
            elif self._look(one.input):
                read: Callable[[Any], str] = CLEAR[one.kind]
                with self._if_filled():
                    if one.many:
                        self._give_up_if("type(x) is not str")
                        self._add(f"{target} = ({self._name(lru_cache(maxsize=4096)(read))}(x),)")
                    else:
                        self._add(f"{target} = {self._name(read)}(x)")

    def _write_hashed(self, target: str, one: Identifier) -> None:
        """Hash the one value of each column, as no hasher takes a list.

        The same names come again and again, so their hashes are kept.
        """
        columns = [(one.input, HASHERS[one.kind]), (f"{one.input}_sha256", take_hashed)]
        columns = [column for column in columns if column[0] in self._plan.fields]
        for field, hasher in columns:
            self._look(field)
            with self._if_filled():
                name = self._name(hasher)
                if hasher is hash_phone:
                    self._add(f"digest = {name}(x, {self._plan.phone_country_code!r})")
                elif hasher is hash_name:
                    kept = self._name(lru_cache(maxsize=4096)(hasher))
                    self._add(f"digest = {kept}(x) if type(x) is str else {name}(x)")
                else:
                    self._add(f"digest = {name}(x)")
                if len(columns) == 1:
                    self._add(f"{target} = (digest,)", f"traces[str(digest)] = {field!r}")
                else:
                    self._add(f"if digest not in {target}:")
                    self._add(f"    {target} = (*{target}, digest)", f"    traces.setdefault(str(digest), {field!r})")
                if one.kind != "name" and hasher is not take_hashed:
                    self._add("if digest != x and len(x := str(x)) > 5: clear.append(x)")

    # what was bought

    def _write_data(self) -> None:
        shape = self._kind.shape
        fields = self._contract.shapes[shape]
        self._add("words = [id, url]", f"data = {{'type': {shape!r}}}", "currency = ''")
        if self._look("currency"):
            with self._if_filled():
                self._add("currency = x if type(x) is str and x in DIGITS else read_currency(x, DIGITS)")
        if "amount" in fields and self._look("amount"):
            with self._if_filled():
                self._give_up_if("not currency" if self._plan.amount_unit else "True")
                self._add(f"data['amount'] = to_minor(x, DIGITS[currency], {self._plan.amount_unit!r})")
                self._add("data['currency'] = currency")
        if "contents" in fields:
            self._write_items(has_currency="currency" in fields)
        else:
            self._give_up_if(f"{self._name(self._has_items)}(record)")
        further = [
            (name, one, fields.get(name))
            for name, one in self._plan.fields.items()
            if name in self._contract.data_fields and name not in {"amount", "currency"}
        ]
        further += [(name, one, fields.get(name, fields.get(ANY_KEY))) for name, one in self._plan.data.items()]
        for name, expression, field in further:
            self._look_at(expression)
            with self._if_filled():
                self._write_value("data", name, field)
        for name, field in fields.items():
            if field.required == "yes":
                self._give_up_if(f"{name!r} not in data")

    def _write_value(self, into: str, name: str, field: Field | None) -> None:
        """Put `x` where it belongs, or give up where it belongs nowhere."""
        if field is not None and field.kind == "money" and into == "read":
            self._give_up_if("not currency" if self._plan.amount_unit else "True")
            self._add(f"{into}[{name!r}] = to_minor(x, DIGITS[currency], {self._plan.amount_unit!r})")
        elif field is None or name == "type" or field.kind not in READERS:
            self._add("return None")
        else:
            self._add(f"{into}[{name!r}] = x = {self._name(READERS[field.kind])}(x)")
            if field.kind in {"text", "opaque"}:
                self._add("words.append(x)")
            elif field.kind in {"text-map", "any"}:
                self._give_up_if("names_person(x, clear)")

    def _write_items(self, *, has_currency: bool) -> None:
        """Write the items of a list in the record; carts that are written otherwise are read by the rules."""
        plan = self._plan
        by_rules = f"items = {self._name(self._read_items)}(currency, record)"
        if plan.each is None or not plan.items or "currency" in plan.items[0]:
            self._add(by_rules)
            self._give_up_if("items is None or names_person(items, clear)")
        else:
            self._look_at(plan.each)
            with self._block("if isinstance(x, list):"):
                self._add("items = []")
                with self._block("for item in x:"):
                    self._write_item(plan.items[0])
            with self._block("else:"):
                self._add(by_rules)
                self._give_up_if("items is None or names_person(items, clear)")
        with self._block("if items:"):
            self._add("data['contents'] = items")
            if has_currency:
                self._add("if currency and 'currency' not in data and any('amount' in item for item in items):")
                self._add("    data['currency'] = currency")

    def _write_item(self, parts: dict[str, Expression]) -> None:
        self._add("if type(item) is not dict: continue", "read = {}")
        for name, expression in parts.items():
            path = expression.path
            if path is not None and path[0] == "item" and len(path) == 2:
                self._add(f"x = item.get({path[1]!r})")
            else:
                self._add(f"x = {self._name(compile_item(expression))}(item, record)")
            with self._if_filled():
                self._write_value("read", name, self._contract.item.get(name))
        self._add("if read: items.append(read)")

    def _read_items(self, currency: str, record: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Read a cart by the rules; None when they have anything to say about it."""
        draft = Draft()
        items = self._cart.read_items(currency, record, draft)
        return None if draft.warnings or draft.refusals else items

    def _has_items(self, record: dict[str, Any]) -> bool:
        draft = Draft()
        return bool(self._cart.find_items(record, draft) or draft.warnings)

    def _write_end(self) -> None:
        """Give up where a person may stand in the event in clear text; the rules look closer."""
        keys = [name for part in self._plan.items or () for name in part]
        self._add(f"text = '\\n'.join(words) + {' '.join(['', *keys])!r}")
        self._give_up_if("'@' in text or '%40' in text")
        with self._block("for one in clear:"):
            self._give_up_if("one in text")
        targets = list(self._contract.user)
        values = ", ".join(f"{target}={target}" for target in targets)
        self._add(f"user = User({values}) if {' or '.join(targets)} else None")
        self._add(
            f"return Event(id, {self._type!r}, moment, custom or {self._type!r}, data, custom, "
            "source, url, oppref, opt_out, user, traces)"
        )
