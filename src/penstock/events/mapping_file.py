"""Reads a mapping: a YAML file, or a preset by name, with a place in the file for every mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

from penstock.base.document import Document, Kind, read_document
from penstock.base.errors import FlowError, MappingError
from penstock.base.expression import Expression, compile_value, suggest
from penstock.events.contract import Contract

PRESETS = Path(__file__).with_name("presets")
MAPPING = Kind("mapping file", "event and fields", "penstock events check --help")

_WORDS = (
    "description", "preset", "event", "event_names", "action_source", "connection", "pixel", "validate_only",
    "amount_unit", "timestamp_unit", "timezone", "phone_country_code", "automap", "translate", "fields",
)  # fmt: skip
_CHOICES = {
    "amount_unit": ("major", "minor"),
    "timestamp_unit": ("auto", "s", "ms", "us", "iso"),
}
_FLAGS = ("automap", "translate")
_OWN = (
    "id", "timestamp", "custom_event_name", "source_url", "action_source", "oppref", "landing_url", "opt_out",
    "consent",
)  # fmt: skip
"""Fields beside those of `user` and `data`; `consent` decides whether an event may be sent at all,
`landing_url` gives `oppref` where that is blank."""


class Plan(msgspec.Struct, frozen=True):
    """A mapping as it was written: what each field is made from, and what holds for all records."""

    name: str
    event: Expression
    fields: dict[str, Expression]
    own: frozenset[str] = frozenset()
    """Fields that the file itself names, beside those of its preset."""
    data: dict[str, Expression] = {}
    """Further keys of `data`, for custom events."""
    rest: Expression | None = None
    """A mapping whose keys are further keys of `data`."""
    items: tuple[dict[str, Expression], ...] | None = None
    each: Expression | None = None
    """The list that `items` describes one element of."""
    event_names: dict[str, str] = {}
    action_source: str = ""
    connection: Expression | None = None
    pixel: Expression | None = None
    validate_only: Expression | None = None
    amount_unit: str = ""
    timestamp_unit: str = "auto"
    timezone: str = ""
    phone_country_code: str = ""
    automap: bool = True
    translate: bool = False


class _Layer(NamedTuple):
    """The content of one file of the chain from the mapping down to its preset."""

    document: Document
    plain: dict[str, Any]


def read_mapping(source: Path | str, contract: Contract) -> Plan:
    """Read a mapping; raises `FlowError` with file, line, column and the nearest right word."""
    return _Reader(_find(source), contract).read()


@cache
def preset_names() -> tuple[str, ...]:
    """Return the presets that come with Penstock."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def field_names(contract: Contract) -> dict[str, str]:
    """Return what `fields:` may name: for each the rule that it follows."""
    names = dict.fromkeys(_OWN, "")
    for one in contract.user.values():
        names[one.input] = one.rule
        if one.hashed:
            names[f"{one.input}_sha256"] = "already hashed: 64 hex digits"
    names.update({name: field.rule for name, field in contract.data_fields.items()})
    return {**names, "data": "further keys of a custom event"}


def _find(source: Path | str) -> Path:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return path
    if str(source) in preset_names():
        return PRESETS / f"{source}.yaml"
    raise FlowError(
        f"there is no mapping {source}",
        code="flow.missing",
        hint=f"Give a YAML file, or a preset: {suggest(str(source), preset_names())}",
    )


class _Reader:
    """Reads one mapping file; `_layers` are the file and, below it, its preset."""

    def __init__(self, path: Path, contract: Contract) -> None:
        self._contract = contract
        self._names = field_names(contract)
        self._layers = list(self._chain(path))
        self._document = self._layers[0].document

    def _chain(self, path: Path) -> Iterable[_Layer]:
        document = read_document(path, MAPPING)
        self._document = document
        self._check_words(document.plain, _WORDS, ())
        yield _Layer(document, document.plain)
        below = document.plain.get("preset")
        if below is not None:
            if below not in preset_names() or path.parent == PRESETS:
                self._fail(f"there is no preset {below!r}", ("preset",), suggest(str(below), preset_names()))
            yield from self._chain(PRESETS / f"{below}.yaml")

    def read(self) -> Plan:
        merged: dict[str, Any] = {}
        for layer in reversed(self._layers):
            fields = {**merged.get("fields", {}), **self._mapping(layer.plain.get("fields"), ("fields",))}
            merged = {**merged, **layer.plain, "fields": {name: fields[name] for name in fields}}
        if "event" not in merged:
            if not merged.get("translate"):
                self._fail(
                    "it does not say which event it makes", (), f"Write `event:`, {suggest('', self._contract.types)}"
                )
            merged["event"] = "${{ record.type }}"
        fields = {name: value for name, value in merged["fields"].items() if value is not None}
        self._check_words(fields, tuple(self._names), ("fields",))
        each, items = self._items(fields.pop("contents", None))
        written = fields.pop("data", None)
        rest = self._compile(written, ("fields", "data")) if isinstance(written, str) else None
        data = {} if rest else self._mapping(written, ("fields", "data"))
        plan = Plan(
            name=self._layers[0].document.path.stem,
            event=self._event(merged["event"], merged),
            fields={name: self._compile(value, ("fields", name)) for name, value in fields.items()},
            own=frozenset(self._layers[0].plain.get("fields") or ()),
            data={name: self._compile(value, ("fields", "data", name)) for name, value in data.items()},
            rest=rest,
            items=items,
            each=each,
            event_names=self._event_names(merged.get("event_names")),
            action_source=self._action_source(merged.get("action_source")),
            connection=self._optional(merged, "connection"),
            pixel=self._optional(merged, "pixel"),
            validate_only=self._optional(merged, "validate_only"),
            **{name: self._choice(name, merged[name]) for name in _CHOICES if name in merged},  # type: ignore[arg-type]
            **{name: self._text(merged[name], name) for name in ("timezone",) if name in merged},  # type: ignore[arg-type]
            **{name: self._flag(name, merged[name]) for name in _FLAGS if name in merged},  # type: ignore[arg-type]
            phone_country_code=self._calling_code(merged.get("phone_country_code", "")),
        )
        self._check_money(plan)
        return plan

    # parts

    def _event(self, value: Any, merged: dict[str, Any]) -> Expression:
        compiled = self._compile(value, ("event",))
        known = {*self._contract.types, *(merged.get("event_names") or {})}
        if not compiled.names and value not in known:
            self._fail(f"there is no event type {value!r}", ("event",), suggest(str(value), self._contract.types))
        return compiled

    def _event_names(self, value: Any) -> dict[str, str]:
        names = self._mapping(value, ("event_names",))
        for name, kind in names.items():
            if kind not in self._contract.types:
                self._fail(
                    f"there is no event type {kind!r}", ("event_names", name), suggest(str(kind), self._contract.types)
                )
        return {str(name): str(kind) for name, kind in names.items()}

    def _action_source(self, value: Any) -> str:
        if value is not None and value not in self._contract.action_sources:
            self._fail(
                f"there is no action source {value!r}",
                ("action_source",),
                suggest(str(value), self._contract.action_sources),
            )
        return str(value or "")

    def _items(self, value: Any) -> tuple[Expression | None, tuple[dict[str, Expression], ...] | None]:
        """Read `contents`: an expression, one description with `each`, lists side by side, or a list of items."""
        at = ("fields", "contents")
        if value is None or isinstance(value, str):
            return (self._compile(value, at) if value else None), None
        parts = value if isinstance(value, list) else [value]
        items = []
        each: Expression | None = None
        for number, written in enumerate(parts):
            where = (*at, number) if isinstance(value, list) else at
            part = dict(self._mapping(written, where))
            if not isinstance(value, list) and "each" in part:
                each = self._compile(part.pop("each"), (*at, "each"))
            self._check_words(part, tuple(self._contract.item), where)
            names = {"record", "item"} if each else {"record"}
            items.append({name: self._compile(one, (*where, name), names) for name, one in part.items()})
        return each, tuple(items)

    def _calling_code(self, value: Any) -> str:
        text = str(value).removeprefix("+")
        if text and text != "included" and not (text.isascii() and text.isdigit() and 1 <= len(text) <= 3):
            self._fail(
                f"{value!r} is no country code of telephones",
                ("phone_country_code",),
                "Write digits, such as 49, or `included` where every number has its code.",
            )
        return text

    def _check_money(self, plan: Plan) -> None:
        items = plan.items or ()
        if not plan.amount_unit and ("amount" in plan.fields or any("amount" in item for item in items)):
            self._fail(
                "amounts are mapped, and their unit is not declared",
                ("fields", "amount") if "amount" in plan.fields else ("fields", "contents"),
                "Write `amount_unit: major` where 42.00 means 42 dollars, `minor` where 4200 does.",
            )

    # values

    def _compile(self, value: Any, path: tuple[Any, ...], names: Iterable[str] = ("record",)) -> Expression:
        try:
            compiled = compile_value(value)
        except MappingError as error:
            self._fail(error.message, path, error.hint)
        for name in sorted(compiled.names - set(names)):
            self._fail(f"nothing is called {name!r} here", path, suggest(name, names))
        return compiled

    def _optional(self, merged: dict[str, Any], name: str) -> Expression | None:
        value = merged.get(name)
        return None if value is None else self._compile(value, (name,))

    def _choice(self, name: str, value: Any) -> str:
        if value not in _CHOICES[name]:
            self._fail(f"{name} cannot be {value!r}", (name,), suggest(str(value), _CHOICES[name]))
        return str(value)

    def _flag(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            self._fail(f"{name} is {value!r}", (name,), "Write true or false.")
        return value

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            self._fail(f"{name} is {value!r}", (name,), "Write text.")
        return value

    def _mapping(self, value: Any, path: tuple[Any, ...]) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._fail("names and their values are expected here", path, "Write `name: value` lines, indented.")
        return value

    def _check_words(self, part: Mapping[str, Any], known: tuple[str, ...], path: tuple[Any, ...]) -> None:
        for name in part:
            if name not in known:
                self._fail(f"there is no {name!r} here", (*path, name), self._hint(str(name), known, path))

    def _hint(self, name: str, known: tuple[str, ...], path: tuple[Any, ...]) -> str:
        """Say what an older name has become, before guessing at a slip of the pen."""
        if path == ("fields",):
            older = self._contract.older
            found = older.user.get(name) or older.envelope.get(name)
            if found is not None and found.refused:
                return f"{found.refused[0].upper()}{found.refused[1:]}."
            target = found.becomes if found is not None else name
            if target in self._contract.user:
                one = self._contract.user[target]
                return f"Write {one.input}{'_sha256' if one.hashed else ''}."
            if found is not None:
                return f"Write {'timestamp' if target == 'timestamp_ms' else target}."
        return suggest(name, known)

    def _fail(self, message: str, path: tuple[Any, ...], hint: str) -> NoReturn:
        document = self._document
        for layer in self._layers if hasattr(self, "_layers") else ():
            if path and path[0] in layer.plain and (len(path) < 2 or _has(layer.plain[path[0]], path[1])):
                document = layer.document
                break
        raise FlowError(message, code="flow.mapping", hint=hint, where=document.place(path))


def _has(value: Any, part: Any) -> bool:
    return isinstance(value, dict) and part in value
