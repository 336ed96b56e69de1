"""The dated catalogue of OpenAI models: prices, start limits, parameter rules and shutdown dates.

Reads `models.toml` and an optional file of the same form; says "unknown" where it does not know.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.base.errors import SettingsError
from penstock.base.types import DOLLAR, Money, Usage

BUILT_IN = Path(__file__).with_name("models.toml")

Kind = Literal["chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "unknown"]
When = Literal["yes", "no", "effort-none"]
State = Literal["live", "dying", "dead"]

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION = 1_000_000
_TIERS = {
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "standard": "standard",
    "batch": "batch",
    "flex": "flex",
    "fast": "fast",
    "priority": "fast",
    "ultrafast": "ultrafast",
}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests, tokens and images per minute and requests per day; None where unknown or without a limit."""

    rpm: float | None = None
    tpm: float | None = None
    rpd: float | None = None
    ipm: float | None = None


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens, and per minute of audio; None where none is published."""

    input: Decimal | None = None
    cached: Decimal | None = None
    write: Decimal | None = None
    output: Decimal | None = None
    minute: Decimal | None = None

    def cost(self, usage: Usage) -> Money | None:
        """Return what `usage` costs at these rates; None where a rate that it needs is missing.

        Cached and written tokens are taken to be inside the input, reasoning inside the output
        (vendor pricing page, 2026-10; that writes are inside is an assumption). Where reads or
        writes have no rate of their own they are billed as plain input.
        """
        if self.minute is not None:
            return _to_money(self.minute * Decimal(str(usage.seconds)) / 60)
        if self.input is None or usage.images or (usage.output and self.output is None):
            return None
        plain = max(usage.input - usage.cached - usage.cache_write, 0)
        total = plain * self.input + usage.output * (self.output or 0)
        total += usage.cached * (self.input if self.cached is None else self.cached)
        total += usage.cache_write * (self.input if self.write is None else self.write)
        return _to_money(total / _MILLION)


class LongRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of the whole request once its input is above `over` tokens."""

    over: int
    standard: Rates | None = None
    batch: Rates | None = None
    flex: Rates | None = None
    fast: Rates | None = None
    ultrafast: Rates | None = None
    decide: Rates | None = None


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of one period, by service tier; `decide` is the Decisions API."""

    start: date | None = msgspec.field(default=None, name="from")
    standard: Rates | None = None
    batch: Rates | None = None
    flex: Rates | None = None
    fast: Rates | None = None
    ultrafast: Rates | None = None
    decide: Rates | None = None
    long: LongRates | None = None

    def rates(self, row: str, input_tokens: int) -> Rates | None:
        """Return the rates of a tier for a request of this size, None where none is published."""
        sheet = self.long if self.long and input_tokens > self.long.over else self
        found: Rates | None = getattr(sheet, row)
        return found


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `known` is False for an id that the catalogue does not list: then every rule is a guess.

    `efforts` are those of the Responses API (empty: it does not reason); `sampling` says whether
    temperature and its kin are taken, `tools_on_chat` whether chat takes function tools;
    `limits` are by usage tier; `media` are prices that token totals cannot be billed with.
    """

    id: str
    kind: Kind = "unknown"
    apis: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    context_window: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    reads_images: bool = False
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    sampling: When = "no"
    strict_json: bool = False
    tools_on_chat: When = "no"
    stop: bool = False
    verbosity: bool = False
    limits: dict[str, Limits] = {}
    prices: tuple[Prices, ...] = ()
    media: dict[str, Decimal] = {}
    media_batch: dict[str, Decimal] = {}
    shutdown: date | None = None
    replacement: str = ""
    replacement_note: str = ""
    note: str = ""
    known: bool = True

    @property
    def decisions(self) -> bool:
        """Whether the Decisions API takes this model."""
        return "decisions" in self.apis

    @property
    def reasons(self) -> bool:
        """Whether the model reasons: developer role and `max_completion_tokens` on chat."""
        return bool(self.efforts)

    @property
    def chat_efforts(self) -> tuple[str, ...]:
        """The efforts on chat, which never takes `max` (pydantic-ai profiles, 2026-10)."""
        return tuple(effort for effort in self.efforts if effort != "max")

    def state(self, at: float) -> State:
        """Return whether the model is live, announced to end, or gone (from midnight UTC of its last date)."""
        if self.shutdown is None:
            return "live"
        return "dead" if at >= _to_time(self.shutdown) else "dying"

    def days_left(self, at: float) -> int | None:
        """Return the whole days until the shutdown, 0 once it is gone, None where no date is announced."""
        if self.shutdown is None:
            return None
        return max(timedelta(seconds=_to_time(self.shutdown) - at).days, 0)

    def advice(self, at: float) -> str:
        """Say when the model ends and what to use instead; empty for a live model."""
        if self.shutdown is None:
            return ""
        days = self.days_left(at)
        left = "is shut down since" if self.state(at) == "dead" else f"ends in {days} days, on"
        use = (
            f"use {self.replacement} {self.replacement_note}".strip() if self.replacement else "no replacement is named"
        )
        return f"{self.id} {left} {self.shutdown}; {use}"

    def prices_at(self, at: float | None = None) -> Prices | None:
        """Return the prices in force at a time (seconds since 1970), or the newest ones."""
        in_force = [one for one in self.prices if at is None or one.start is None or at >= _to_time(one.start)]
        return max(in_force, key=lambda one: one.start or date.min, default=None)


class CatalogueFile(msgspec.Struct, forbid_unknown_fields=True):
    """A catalogue file as it is parsed; every part may be missing in an override."""

    compiled: date | None = None
    regional: Decimal | None = None
    sources: dict[str, str] = {}
    tiers: dict[str, int] = {}
    limits: dict[str, dict[str, Limits]] = {}
    models: dict[str, dict[str, Any]] = {}

    def with_override(self, other: CatalogueFile) -> CatalogueFile:
        """Return this file with the keys of `other` laid over it, model by model."""
        models = {name: {**self.models.get(name, {}), **table} for name, table in other.models.items()}
        return CatalogueFile(
            other.compiled or self.compiled,
            other.regional or self.regional,
            {**self.sources, **other.sources},
            {**self.tiers, **other.tiers},
            {**self.limits, **other.limits},
            {**self.models, **models},
        )


class Catalogue:
    """All models of the built-in file and of the user's."""

    def __init__(self, file: CatalogueFile) -> None:
        """Take a whole file. Models are built when asked for: start-up pays only for those it uses."""
        self.compiled = file.compiled
        self._regional = file.regional or Decimal(1)
        self._tiers = {name.casefold(): dollars for name, dollars in file.tiers.items()}
        self._classes = file.limits
        self._tables = file.models
        self._models: dict[str, Model] = {}

    def find(self, model_id: str) -> Model:
        """Return the model with this id, or of which it is a dated snapshot; else one with `known` False."""
        found = self._models.get(model_id)
        if found is None:
            found = self._models[model_id] = self._build(self._home(model_id))
        return found

    def all(self) -> list[Model]:
        """Return every model, in the order of the file."""
        return [self.find(name) for name in self._tables]

    def start_limits(self, model_id: str, tier: str) -> Limits:
        """Return the limits to begin with for a usage tier; all None where nothing is published.

        A tier that the model's page does not list takes the best listed one that costs no more
        credit: the five tiers until 2026-10-08 and the three since then are matched by their price.
        """
        by_tier = {name.casefold(): limits for name, limits in self.find(model_id).limits.items()}
        wanted = tier.casefold()
        if wanted in by_tier:
            return by_tier[wanted]
        paid = self._tiers.get(wanted, -1)
        within = [name for name in by_tier if self._tiers.get(name, 0) <= paid]
        return by_tier[max(within, key=lambda name: self._tiers.get(name, 0))] if within else Limits()

    def price(
        self,
        model_id: str,
        at: float | None,
        tier: str,
        usage: Usage,
        *,
        operation: str = "",
        regional: bool = False,
    ) -> Money | None:
        """Return what an answer cost in picodollars, exactly; None where that is unknown, never zero.

        `tier` is the service tier that the answer states. `at` is the time of the call (None: today's
        prices). Operation `decide` is the Decisions API: whether it bills its cache is contradicted
        (price map 0.01 read and 0.125 write, a guide says nothing, 2026-10), so reads are charged as
        plain input and writes at the write price: the invoice is at most this.
        """
        prices = self.find(model_id).prices_at(at)
        row = _TIERS.get(tier)
        if operation == "decide":
            row = "decide" if row == "standard" else None
        rates = prices.rates(row, usage.input) if prices and row else None
        cost = rates.cost(usage) if rates else None
        return _to_money(cost * self._regional / DOLLAR) if regional and cost is not None else cost

    def worst_case(
        self,
        model_id: str,
        tier: str,
        prompt_tokens: int,
        max_output_tokens: int,
        operation: str = "",
        *,
        at: float | None = None,
        regional: bool = False,
    ) -> Money | None:
        """Return the most that a request can cost: no cache hit, all of it written, all output used.

        With tier `auto` the project's own default tier may be the fast one, so the dearer counts.
        None where the price is unknown.
        """
        usages = (
            Usage(input=prompt_tokens, output=max_output_tokens),
            Usage(input=prompt_tokens, cache_write=prompt_tokens, output=max_output_tokens),
        )
        tiers = ("default", "fast") if tier == "auto" else (tier,)
        costs = [
            self.price(model_id, at, each, usage, operation=operation, regional=regional)
            for each in tiers
            for usage in usages
        ]
        return max((cost for cost in costs if cost is not None), default=None)

    def _home(self, model_id: str) -> str:
        if model_id in self._tables:
            return model_id
        families = [name for name, table in self._tables.items() if model_id in table.get("snapshots", ())]
        family = families[0] if families else _DATED.sub("", model_id)
        return family if family in self._tables else model_id

    def _build(self, model_id: str) -> Model:
        if model_id not in self._tables:
            return Model(id=model_id, known=False)
        table = self._table(model_id, ())
        limits = table.get("limits", {})
        if isinstance(limits, str):
            limits = self._classes[limits]
        return msgspec.convert({**table, "id": model_id, "limits": limits}, Model)

    def _table(self, model_id: str, seen: tuple[str, ...]) -> dict[str, Any]:
        own = self._tables[model_id]
        if "like" not in own:
            return own
        if own["like"] in (*seen, model_id):
            raise ValueError(f"`like` leads back to {model_id}")
        inherited = {**self._table(own["like"], (*seen, model_id)), "snapshots": ()}
        return {**inherited, **{key: value for key, value in own.items() if key != "like"}}


def load_catalogue(override: Path | None = None) -> Catalogue:
    """Return the built-in catalogue, with the user's file laid over it model by model.

    Raises `SettingsError` that names the model and the key when the file is wrong.
    """
    return _built_in() if override is None else _with_override(override)


@cache
def _read_built_in() -> CatalogueFile:
    return _read(BUILT_IN)


@cache
def _built_in() -> Catalogue:
    return Catalogue(_read_built_in())


def _read(path: Path) -> CatalogueFile:
    tables = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    return msgspec.convert(tables, CatalogueFile)


def _with_override(path: Path) -> Catalogue:
    try:
        own = _read(path)
    except (OSError, ValueError) as error:
        raise _wrong(path, f"cannot be read: {error}") from error
    catalogue = Catalogue(_read_built_in().with_override(own))
    for name in own.models:
        try:
            catalogue.find(name)
        except KeyError as error:
            raise _wrong(path, f"refers to {error} in model {name!r}, which is not defined") from error
        except (ValueError, TypeError) as error:
            raise _wrong(path, f"is wrong at model {name!r}: {error}") from error
    return catalogue


def _wrong(path: Path, what: str) -> SettingsError:
    return SettingsError(
        f"the model catalogue {path.name} {what}",
        code="settings.catalogue",
        hint=f'Write it like {BUILT_IN}; put ids with a dot in quotes, as in [models."gpt-6.1-sol"].',
        where=str(path),
    )


def _to_money(dollars: Decimal) -> Money:
    return int((dollars * DOLLAR).to_integral_value(ROUND_CEILING))


def _to_time(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
