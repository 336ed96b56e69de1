"""Keeps an open workspace's knowledge of its vendor true: its models and their ends, real limits, and the books.

changes = await workspace.upkeep.refresh()
lines = await workspace.upkeep.reconcile(date(2026, 11, 1), date(2026, 11, 20))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError, SettingsError
from penstock.base.settings import Settings
from penstock.flows.uses import find_uses
from penstock.runtime.radar import is_vendor
from penstock.runtime.reconcile import Line, reconcile
from penstock.runtime.store import Store
from penstock.vendor.models import Catalogue, Limits, Model, load_catalogue
from penstock.vendor.overrides import Change, Facts, Merged, compare_listed, limit_facts, merge, to_facts
from penstock.vendor.tokens import encoding_of, is_assumed
from penstock.vendors import Vendors


class Card(msgspec.Struct, frozen=True):
    """One model as people look at it. Prices are dollars by tier and unit: a million tokens or characters, a minute."""

    id: str
    kind: str
    known: bool
    state: str
    shutdown: date | None
    days_left: int | None
    replacement: str
    apis: tuple[str, ...]
    context_window: int | None
    max_output_tokens: int | None
    efforts: tuple[str, ...]
    encoding: str
    prices: dict[str, dict[str, float]]
    limits: Limits
    used_by: tuple[str, ...]
    note: str


class Refreshed(msgspec.Struct, frozen=True):
    """What the vendor lists differently, and what was or would be written to the models file."""

    host: str
    changes: list[Change]
    file: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    is_written: bool


class Imported(msgspec.Struct, frozen=True):
    """The limits that a project really has, and what was or would be written to the models file."""

    project: str
    limits: dict[str, Limits]
    file: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    is_written: bool


class Upkeep:
    """What a workspace knows of models, and how it is compared with what the vendor says."""

    def __init__(
        self, folder: Path, settings: Settings, clock: Clock, catalogue: Catalogue, vendors: Vendors, store: Store
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._catalogue = catalogue
        self._vendors = vendors
        self._store = store

    def list_models(self) -> list[Card]:
        """Return a card of every model of the catalogue, and of every other one that is used here."""
        uses = self._uses()
        listed = self._catalogue.all()
        known = {model.id for model in listed}
        others = [self._catalogue.find(name) for name in uses if name not in known]
        return [self._card(model, uses) for model in (*listed, *others)]

    def show_model(self, name: str) -> Card:
        """Return the card of one model; an unknown one has no prices and no limits."""
        return self._card(self._catalogue.find(name), self._uses())

    async def refresh(self, *, write: bool = False) -> Refreshed:
        """Compare `GET /models` with the catalogue; with `write`, put changed dates into the models file.

        Raises `SettingsError` where another server than OpenAI answers: its list says nothing about OpenAI's.
        """
        client = self._vendors.open_openai()
        if not is_vendor(client.host) and not self._vendors.is_sandbox:
            raise SettingsError(
                f"{client.host} is not OpenAI: its list of models says nothing about OpenAI's",
                code="models.other-server",
                hint="Describe its models in models.toml yourself.",
            )
        listed = (await client.get("/models")).get("data") or []
        changes = compare_listed(self._catalogue, listed, self._clock.now())
        merged = self._merge(to_facts(self._catalogue, changes), write)
        return Refreshed(client.host, changes, str(self._file), merged.written, merged.kept, write)

    async def import_limits(self, project: str = "", *, write: bool = False) -> Imported:
        """Read the real limits of a project (default: that of the connection); with `write`, start from them.

        Needs the admin key. Raises `InputError` when it is not clear which project is meant.
        """
        admin = self._vendors.open_admin()
        project = project or self._projects().get("openai", "")
        if not project:
            found = await admin.projects()
            if len(found) != 1:
                names = ", ".join(f"{one.id} ({one.name})" for one in found) or "none"
                raise InputError(
                    f"it is not clear which project is meant (there are: {names})",
                    code="models.which-project",
                    hint="Add --project proj_…, or set OPENAI_PROJECT_ID.",
                )
            project = found[0].id
        limits = await admin.rate_limits(project)
        merged = self._merge(limit_facts(self._catalogue, limits), write)
        return Imported(project, limits, str(self._file), merged.written, merged.kept, write)

    async def reconcile(self, since: date, until: date, project: str = "") -> list[Line]:
        """Compare the ledger with the vendor's books from `since` on and before `until` (UTC); needs the admin key.

        Raises `InputError` for days in the wrong order.
        """
        if until <= since:
            raise InputError(
                f"no day lies from {since} on and before {until}",
                code="reconcile.dates",
                hint="Give the earlier day as --since.",
            )
        return await reconcile(
            self._store,
            self._vendors.open_admin(),
            since,
            until,
            projects=self._projects(),
            model_of=self._model_of,
            project=project,
            now=self._clock.now(),
        )

    @property
    def _file(self) -> Path:
        return self._folder / "models.toml"

    def _uses(self) -> dict[str, list[str]]:
        return find_uses(self._folder, self._settings, self._model_of)

    def _model_of(self, name: str) -> str:
        return self._catalogue.find(name).id

    def _projects(self) -> dict[str, str]:
        """Return the project of each connection that OpenAI itself bills; empty where it is not stated."""
        book = self._vendors.book
        found = [book.find(name) for name in book.names()]
        return {one.name: one.project for one in found if one.kind == "openai"}

    def _card(self, model: Model, uses: Mapping[str, list[str]]) -> Card:
        now = self._clock.now()
        return Card(
            id=model.id,
            kind=model.kind,
            known=model.known,
            state=model.state(now),
            shutdown=model.shutdown,
            days_left=model.days_left(now),
            replacement=f"{model.replacement} {model.replacement_note}".strip(),
            apis=model.apis,
            context_window=model.context_window or model.max_input_tokens,
            max_output_tokens=model.max_output_tokens,
            efforts=model.efforts,
            encoding=encoding_of(model.id) + (" (assumed)" if is_assumed(model.id) else ""),
            prices=dict(_prices(model, now)),
            limits=self._catalogue.start_limits(model.id, str(self._settings.get("openai.tier"))),
            used_by=tuple(uses.get(model.id, ())),
            note=model.note,
        )

    def _merge(self, facts: Facts, write: bool) -> Merged:
        """Merge facts into the models file; it is put in place only when it still reads as a catalogue."""
        path = self._file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        merged = merge(text, facts, datetime.fromtimestamp(self._clock.now(), UTC).date())
        if write and merged.written:
            draft = path.with_name(".models.toml.new")
            draft.write_text(merged.text, encoding="utf-8")
            load_catalogue(draft)
            draft.replace(path)
        return merged


def _prices(model: Model, at: float) -> Iterator[tuple[str, dict[str, float]]]:
    prices = model.prices_at(at)
    for tier in ("standard", "batch", "flex", "fast", "ultrafast", "decide"):
        rates = getattr(prices, tier, None)
        if rates is not None:
            yield tier, {name: float(rate) for name, rate in msgspec.structs.asdict(rates).items() if rate is not None}
