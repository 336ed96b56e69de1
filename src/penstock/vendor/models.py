"""The dated catalogue of OpenAI models: prices, start limits, parameter rules and shutdown dates.

Reads `models.toml` and an optional file of the same form; says "unknown" where it does not know.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.base.errors import SettingsError
from penstock.base.types import Money, Usage
from penstock.vendor.prices import Period, Prices, Sheet, find_sheet, list_periods, to_time

BUILT_IN = Path(__file__).with_name("models.toml")

Kind = Literal["chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "unknown"]
When = Literal["yes", "no", "effort-none"]
State = Literal["live", "dying", "dead"]

PROJECT = "project"
"""Stands in place of a usage tier for limits that were imported from the project itself."""

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests, tokens and images per minute, requests per day and input tokens queued in batches; None: unknown."""

    rpm: float | None = None
    tpm: float | None = None
    rpd: float | None = None
    ipm: float | None = None
    batch: float | None = None


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `known` is False for an id that the catalogue does not list: then every rule is a guess.

    `efforts` are those of the Responses API (empty: it does not reason); `sampling` says whether
    temperature and its kin are taken, `tools_on_chat` whether chat takes function tools;
    `limits` are by usage tier; those under `project` are the project's own and come before all others.
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
        return "dead" if at >= to_time(self.shutdown) else "dying"

    def days_left(self, at: float) -> int | None:
        """Return the whole days until the shutdown, 0 once it is gone, None where no date is announced."""
        if self.shutdown is None:
            return None
        return max(timedelta(seconds=to_time(self.shutdown) - at).days, 0)

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
        in_force = [one for one in self.prices if at is None or one.start is None or at >= to_time(one.start)]
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
        self._regional = Fraction(file.regional or 1)
        self._tiers = {name.casefold(): dollars for name, dollars in file.tiers.items()}
        self._classes = file.limits
        self._tables = file.models
        self._models: dict[str, Model] = {}
        self._sheets: dict[tuple[str, str, str], tuple[Period, ...]] = {}

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
        """Return the limits to begin with: the project's own where they were imported, else those of a usage tier.

        All None where nothing is published.
        A tier that the model's page does not list takes the best listed one that costs no more
        credit: the five tiers until 2026-10-08 and the three since then are matched by their price.
        """
        by_tier = {name.casefold(): limits for name, limits in self.find(model_id).limits.items()}
        wanted = PROJECT if PROJECT in by_tier else tier.casefold()
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
        sheet = self._sheet(model_id, at, tier, operation, usage.input)
        cost = sheet.cost(usage) if sheet else None
        return self._in_region(cost) if regional else cost

    def worst_case(
        self,
        model_id: str,
        tier: str,
        prompt_tokens: int,
        max_output_tokens: int,
        operation: str = "",
        *,
        seconds: float = 0.0,
        characters: int = 0,
        at: float | None = None,
        regional: bool = False,
    ) -> Money | None:
        """Return the most that a request can cost: no cache hit, all of it written, all output used.

        `seconds` of audio and `characters` to be spoken count for models that bill by them. With tier
        `auto` the project's own default tier may be the fast one, so the dearer counts. None where the
        price is unknown.
        """
        dearest: Money | None = None
        for each in ("default", "fast") if tier == "auto" else (tier,):
            sheet = self._sheet(model_id, at, each, operation, prompt_tokens)
            cost = sheet.worst(prompt_tokens, max_output_tokens, seconds, characters) if sheet else None
            if cost is not None and (dearest is None or cost > dearest):
                dearest = cost
        return self._in_region(dearest) if regional else dearest

    def _sheet(self, model_id: str, at: float | None, tier: str, operation: str, input_tokens: int) -> Sheet | None:
        key = (model_id, tier, operation)
        periods = self._sheets.get(key)
        if periods is None:
            periods = self._sheets[key] = list_periods(self.find(model_id).prices, tier, operation)
        return find_sheet(periods, at, input_tokens)

    def _in_region(self, cost: Money | None) -> Money | None:
        return None if cost is None else -(-cost * self._regional.numerator // self._regional.denominator)

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
