"""The two ends of a flow: sources that records come from, and sinks that results go to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.errors import FlowError, InputError, MappingError, SettingsError
from penstock.base.types import Sink, SnapshotSink, Source
from penstock.flows.effects import find_match
from penstock.flows.model import Flow, Target
from penstock.flows.sinking import wish_of
from penstock.runtime.effects import Effects
from penstock.runtime.store import Store
from penstock.vendors import Vendors

if TYPE_CHECKING:
    from penstock.flows.made import Means
    from penstock.flows.predicting import PredictionMaker


async def fill_sandbox(account: Any, flow: Flow, source: Source) -> None:
    """Give the emulated Brevo account the contacts that a flow writes to, once; an account of people's own stays."""
    from penstock.sandbox.brevo_wire import RefusedError

    if flow.source_kind == "brevo" or flow.name in account.invented or (account.contacts and not account.invented):
        return
    known: set[str] = set()
    for target in flow.targets:
        if target.kind != "brevo" or not target.match.names <= {"record"}:
            continue
        async for page in source.pages():
            for record in page.records:
                with suppress(MappingError, RefusedError):  # a record without a proper address
                    email = str(find_match(target, {"record": record.data}).get("email") or "")
                    if email and email not in known:
                        known.add(email)
                        account.add_contact(email)
    if known:
        account.invented.append(flow.name)


async def open_source(
    vendors: Vendors, store: Store, flow: Flow, kind: str, options: Mapping[str, Any], *path: str, means: Means
) -> Source:
    """Open a source; a wrong option is a `FlowError` at its place in the file."""
    try:
        if kind == "segments":
            return await _open_segments(vendors, store, flow, options, means, *path)
        if kind == "predictions":
            return await _open_predictions(vendors, store, flow, options, *path)
        return await _build_source(vendors, store, flow.folder, kind, options)
    except InputError as error:
        raise FlowError(
            error.message, code=error.code, hint=error.hint, where=flow.document.place((*path, kind))
        ) from error


async def _open_segments(
    vendors: Vendors, store: Store, flow: Flow, options: Mapping[str, Any], means: Means, *path: str
) -> Source:
    from penstock.flows.made import MadeSource
    from penstock.flows.segment_options import read_options
    from penstock.flows.segmenting import SegmentMaker

    part, place = read_options(options), "/".join(path)
    ((kind, given),) = part.customers.items()
    name = flow.name if place == "source" else f"{flow.name}/{place}"
    source = await _build_source(vendors, store, flow.folder, kind, given)
    maker = SegmentMaker(store, vendors.clock, flow, part, source, means, name=name, made_as=f"{flow.name}/{place}")
    return await MadeSource.open(store, vendors.clock, flow.name, place, maker)


async def _open_predictions(
    vendors: Vendors, store: Store, flow: Flow, options: Mapping[str, Any], *path: str
) -> Source:
    from penstock.flows.made import MadeSource

    place = "/".join(path)
    name = flow.name if place == "source" else f"{flow.name}/{place}"
    maker = open_forecaster(vendors, store, name, flow.folder, options)
    return await MadeSource.open(store, vendors.clock, flow.name, place, maker)


def open_forecaster(
    vendors: Vendors, store: Store, name: str, folder: Path, options: Mapping[str, Any]
) -> PredictionMaker:
    """Return what makes predictions by these options; what it makes is kept as `name` for the next run."""
    from penstock.features.customer_value.wishes import read_wishes
    from penstock.flows.predicting import PredictionMaker

    async def open_orders(kind: str, given: Mapping[str, Any]) -> Source:
        return await _build_source(vendors, store, folder, kind, given)

    return PredictionMaker(store, vendors.clock, name, read_wishes(options), folder, open_orders)


async def _build_source(vendors: Vendors, store: Store, folder: Path, kind: str, options: Mapping[str, Any]) -> Source:
    if kind == "files":
        from penstock.data.files import files_source

        return files_source(options, folder)
    if kind == "sql":
        from penstock.data.sql import sql_source

        return sql_source(_with_environment(vendors, options), folder)
    if kind == "trends":
        from penstock.flows.trending import TrendSource

        return TrendSource(store, vendors.clock.now(), options)
    if kind == "feedback":
        from penstock.data.feedback import feedback_source

        return feedback_source(options, store)
    from penstock.data.brevo_objects import open_brevo_source
    from penstock.data.brevo_source import read_account

    known = dict(options)
    caller = vendors.open_brevo(str(known.pop("connection", "brevo")))
    return open_brevo_source(caller, await read_account(caller), known, vendors.clock.now())


async def open_sink(vendors: Vendors, flow: Flow, target: Target, store: Store) -> Sink | SnapshotSink:
    """Open the sink of a target; what is sent later waits in `store`."""
    part = target.part
    if target.kind == "conversions":
        from penstock.deliveries import Deliveries
        from penstock.event_sink import EventSink, load_events_mapping

        deliveries = Deliveries(store, vendors.clock, vendors.settings, vendors)
        name = str(part.mapping)
        path = flow.folder / name
        place = flow.document.place(("sink", "conversions", "mapping"))
        mapping = load_events_mapping(deliveries, str(path) if path.suffix in (".yaml", ".yml") else name, place)
        return EventSink(deliveries, mapping, name, flow.name)
    if target.kind == "folder":
        from penstock.data.files import folder_sink

        return folder_sink({"path": part.path}, flow.folder)
    if target.kind == "files":
        from penstock.data.files import files_sink

        return files_sink({"path": part.path}, flow.folder)
    if target.kind == "sql":
        from penstock.data.sql import sql_sink

        options = {"url": part.url, "table": part.table, "create": part.create}
        return sql_sink(_with_environment(vendors, options), flow.folder)
    from penstock.data.brevo import BrevoSink, Wish, read_account

    caller = vendors.open_brevo(part.connection)
    account = await read_account(caller)
    return BrevoSink(
        caller,
        account,
        Effects(store, vendors.clock, f"brevo:{account.id}"),
        create_contacts=part.create_contacts and not _is_read_from(flow, part.connection),
        wishes={name: Wish(*wish_of(given)) for name, given in part.attributes.items()},
        lists={name: wish_of(given)[1] for name, given in part.lists.items()},
    )


def _is_read_from(flow: Flow, connection: str) -> bool:
    """Tell whether the records come from the same account: whoever is missing there was deleted meanwhile."""
    return flow.source_kind == "brevo" and str(flow.source_options.get("connection") or "brevo") == connection


def _with_environment(vendors: Vendors, options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `${NAME}` in a database URL by the environment's value, so that no password stands in a flow."""

    def look_up(match: re.Match[str]) -> str:
        value = vendors.settings.environ.get(match[1])
        if not value:
            raise SettingsError(
                f"the flow names ${{{match[1]}}}, which is not set in the environment",
                code="settings.missing",
                hint=f"export {match[1]}=…",
            )
        return value

    return {
        name: re.sub(r"\$\{(\w+)\}", look_up, value) if name == "url" and isinstance(value, str) else value
        for name, value in options.items()
    }
