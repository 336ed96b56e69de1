"""Attributes of an account as a flow uses them: checked, created where missing, never changed or deleted.

Options of a category are added only where the attribute is the connector's own: made by it, or named with its prefix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from penstock.base.errors import RejectedError
from penstock.base.types import Change, Finding
from penstock.data.brevo_schema import (
    NAME,
    TYPE_OF_KIND,
    Attribute,
    Wish,
    check_field,
    read_attributes,
    with_options,
)
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

OWNED_PREFIXES = ("PENSTOCK_", "SENTIMENT_", "AI_")
SCHEMA_SECONDS = 900.0
_CHOICES = ("category", "multiple-choice")


class Schema:
    """The attributes of one account, as a flow uses them."""

    def __init__(self, caller: BrevoCaller, effects: Effects, wishes: Mapping[str, Wish]) -> None:
        self._caller = caller
        self._effects = effects
        self._wishes = {name.upper(): wish for name, wish in wishes.items()}
        self._attributes: dict[str, Attribute] = {}
        self._made: set[str] = set()
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def read(self, *, fresh: bool = False) -> dict[str, Attribute]:
        """Return the attributes of the account, at most a quarter of an hour old."""
        async with self._reading:
            now = self._caller.clock.monotonic()
            if fresh or self._read_at is None or now - self._read_at > SCHEMA_SECONDS:
                reply = await self._caller.call("attributes.list", interactive=True)
                self._attributes, self._read_at = read_attributes(reply.content), now
                self._made = {one.name for one in await self._effects.known("attribute") if one.state == "confirmed"}
            return self._attributes

    def is_owned(self, name: str) -> bool:
        """Tell whether an attribute is the connector's: made by it, or named with one of its prefixes."""
        return name in self._made or name.startswith(OWNED_PREFIXES)

    async def check(self, fields: Mapping[str, str]) -> list[Finding]:
        """Say of each attribute whether values of its kind ("" where not known) can be written; writes nothing."""
        attributes = await self.read(fresh=True)
        found = []
        for name, kind in fields.items():
            wish = self._wish(name, kind)
            finding = check_field(name, wish.kind, attributes)
            found.append(self._check_options(attributes[name], wish) if finding.verdict == "ok" else finding)
        return found

    def _wish(self, name: str, kind: str) -> Wish:
        wish = self._wishes.get(name, Wish())
        return Wish(wish.kind or ("category" if wish.options else kind), wish.options)

    def _check_options(self, attribute: Attribute, wish: Wish) -> Finding:
        label = f"Brevo attribute {attribute.name}"
        takes = f"takes {wish.kind} values" if wish.kind else "what the flow writes is not known yet"
        missing = [option for option in wish.options if not attribute.has_option(option)]
        if not missing:
            return Finding(label, "ok", f"{attribute.name} is of type {attribute.type}; {takes}")
        message = f"{attribute.name} lacks the options {', '.join(missing)}"
        body = with_options(attribute, missing)
        if not isinstance(body, dict):
            return Finding(label, "fail", body.message, body.hint)
        if not self.is_owned(attribute.name):
            fix = "Add them in Brevo: Penstock adds options only to attributes that it made, or with its prefix."
            return Finding(label, "fail", message, fix)
        return Finding(label, "warn", message, "They are added with --apply-schema, or before they are first used.")

    async def create(self, fields: Mapping[str, str]) -> list[str]:
        """Create the attributes and options that the account lacks; returns the names of the attributes."""
        attributes = await self.read(fresh=True)
        created = []
        for name, kind in fields.items():
            wish = self._wish(name, kind)
            if name in attributes:
                await self._add_options({name: [one for one in wish.options if not attributes[name].has_option(one)]})
            elif check_field(name, wish.kind, {name: _pretend(name, wish)}).verdict == "ok":
                await self._create_one(name, wish)
                created.append(name)
        await self.read(fresh=True)
        return created

    async def _create_one(self, name: str, wish: Wish) -> None:
        type_wanted = TYPE_OF_KIND.get(wish.kind, "text")
        category = "category" if type_wanted == "category" else "normal"
        body: dict[str, Any] = {"type": type_wanted}
        if type_wanted == "category":
            body = {"enumeration": [{"value": n, "label": label} for n, label in enumerate(wish.options, 1)]}
        elif type_wanted == "multiple-choice":
            body["multiCategoryOptions"] = list(wish.options)

        async def make() -> str:
            path = {"category": category, "name": name}
            await self._caller.call("attributes.create", path=path, body=body, interactive=True)
            return name

        try:
            await self._effects.once("attribute", name, make, partial(self._find, name))
        except RejectedError:  # the answer to a first attempt was lost, or somebody made it meanwhile
            if await self._find(name) is None:
                raise
        else:
            if await self._find(name) is None:  # made by us once, and deleted in Brevo since
                await self._effects.forget("attribute", name)
                await self._effects.once("attribute", name, make, partial(self._find, name))

    async def _find(self, name: str) -> str | None:
        return name if name in await self.read(fresh=True) else None

    async def register_options(self, changes: Sequence[Change]) -> None:
        """Add the labels that changes need to categories of the connector's own; Brevo drops unknown ones."""
        attributes = await self.read()
        missing: dict[str, list[str]] = {}
        for change in changes:
            for name, value in change.fields.items():
                attribute = attributes.get(name.upper())
                if attribute is not None and self.is_owned(attribute.name):
                    for label in _labels(attribute, value):
                        if not attribute.has_option(label) and label not in missing.setdefault(attribute.name, []):
                            missing[attribute.name].append(label)
        await self._add_options(missing)
        if any(missing.values()):
            await self.read(fresh=True)

    async def _add_options(self, missing: Mapping[str, list[str]]) -> None:
        for name, labels in missing.items():
            attribute = self._attributes[name]
            body = with_options(attribute, labels) if labels and self.is_owned(name) else None
            if isinstance(body, dict):
                path = {"category": attribute.category, "name": name}
                with suppress(RejectedError):  # what needed the option is then refused by name
                    await self._caller.call("attributes.update", path=path, body=body, interactive=True)


def _labels(attribute: Attribute, value: Any) -> list[str]:
    if value in (None, "") or attribute.type not in _CHOICES:
        return []
    if attribute.type == "category":
        return [value] if isinstance(value, str) else []
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if isinstance(part, str)] if isinstance(parts, (list, tuple)) else []


def _pretend(name: str, wish: Wish) -> Attribute:
    return Attribute(name, "normal" if NAME.fullmatch(name) else "", TYPE_OF_KIND.get(wish.kind, "text"))
