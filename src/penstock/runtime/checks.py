"""What `doctor` and a connections page both show: one check, one verdict, one fix; nothing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from penstock.base.errors import PenstockError, SettingsError
from penstock.base.types import Finding, format_money
from penstock.runtime.ledger import Ledger
from penstock.runtime.store import Store
from penstock.vendor.ads import Pixel
from penstock.vendor.conversions import Conversions, Verdict
from penstock.vendor.models import Catalogue

ENOUGH_BYTES = 500 * 1024 * 1024


def from_error(name: str, error: PenstockError) -> Finding:
    """Turn the error of a check into its verdict."""
    return Finding(name, "fail", error.message, error.hint)


async def check_store(store: Store) -> Finding:
    """Look whether the store answers and the disk has room."""
    rows = await store.read("count_answers")
    held = f"{store.place}, {int(rows[0][0]):,} answers held"
    if "://" in store.place:
        return Finding("store", "ok", held)
    free = shutil.disk_usage(Path(store.place).parent).free
    if free < ENOUGH_BYTES:
        return Finding("store", "warn", f"{held}; only {free >> 20} MiB free on its disk", "Free some space.")
    return Finding("store", "ok", f"{held}; {free >> 30} GiB free on its disk")


async def check_ledger(ledger: Ledger) -> Finding:
    """Look for calls whose outcome is not known."""
    count, amount = (await ledger.store.read("count_unknown_calls"))[0]
    if count:
        return Finding(
            "calls",
            "warn",
            f"{count:,} calls have no known outcome; up to {format_money(int(amount or 0))} may be billed",
            "`penstock cost --unknown` lists them with the ids that OpenAI can look up.",
        )
    return Finding("calls", "ok", "every call has a known outcome")


def check_model(catalogue: Catalogue, model: str, at: float) -> Finding:
    """Look whether the chosen model is alive, and its price known."""
    found = catalogue.find(model)
    if not found.known:
        return Finding("model", "warn", f"{model} is not in the catalogue: its cost is unknown",
                       "Check the name, or describe it in a models.toml of your own.")  # fmt: skip
    state = found.state(at)
    if state == "live":
        return Finding("model", "ok", f"{model} is live")
    return Finding("model", "fail" if state == "dead" else "warn", f"{model} is {state}", found.advice(at))


def write_probe(now: float) -> bytes:
    """Return an event that every contract takes; it is sent with `validate_only`, so that nothing is saved."""
    return msgspec.json.encode(
        {
            "id": "penstock-doctor",
            "type": "lead_created",
            "timestamp_ms": round(now * 1000),
            "action_source": "other",
            "data": {"type": "customer_action"},
        }
    )


async def check_conversions(
    client: Conversions,
    now: float,
    *,
    kinds: Mapping[str, Callable[[], Awaitable[object]]],
    pixels: Callable[[], Awaitable[list[Pixel]]] | None = None,
) -> list[Finding]:
    """Validate one event, which saves nothing, and tell the known causes of a refusal apart.

    `kinds` are harmless calls that succeed only with a key of another kind (they are made when the scope is missing);
    `pixels` lists the sources of the ad account, where its key is set.
    """
    verdict = await client.send([write_probe(now)], validate_only=True)
    error = verdict.error
    if error is None:
        return [Finding("Conversions key", "ok", f"accepted for the Pixel ID {client.pixel_id}; nothing was saved")]
    if verdict.kind == "pixel" and pixels is not None:
        return [await _explain_pixel(client.pixel_id, error, pixels)]
    if error.code == "conversions.missing-scope":
        return [await _explain_key(error, kinds)]
    return [_explain_verdict(verdict, error)]


async def _explain_key(error: PenstockError, kinds: Mapping[str, Callable[[], Awaitable[object]]]) -> Finding:
    for kind, call in kinds.items():
        try:
            await call()
        except PenstockError:
            continue
        fix = "Put the Conversions key there instead: Ads Manager, Conversions, or `penstock events setup key NAME`."
        return Finding("Conversions key", "fail", f"this is {kind}: it may not write events", fix)
    return Finding(
        "Conversions key",
        "fail",
        f"the key lacks the scope to write events, and is of no other kind: {error.message}",
        "Make a new Conversions key; when that lacks the scope too, OpenAI must open the ad account for it.",
    )


async def _explain_pixel(pixel_id: str, error: PenstockError, pixels: Callable[[], Awaitable[list[Pixel]]]) -> Finding:
    try:
        known = await pixels()
    except PenstockError:
        return from_error("Conversions pixel", error)
    for one in known:
        if pixel_id == one.source_id:
            fix = f"Set conversions.pixel-id to {one.pixel_id}."
            return Finding("Conversions pixel", "fail", f"{pixel_id} is the source id of {one.name!r}", fix)
        if pixel_id == one.pixel_id:
            fix = "Use a Conversions key of this ad account: penstock events setup key NAME"
            return Finding("Conversions pixel", "fail", f"the key is not of the ad account of {pixel_id}", fix)
    listed = ", ".join(f"{one.pixel_id} ({one.name})" for one in known[:5]) or "none"
    return Finding("Conversions pixel", "fail", error.message, f"Set conversions.pixel-id to one of: {listed}.")


def _explain_verdict(verdict: Verdict, error: PenstockError) -> Finding:
    if verdict.kind in ("throttled", "unavailable"):
        fix = error.hint or "Look again later; events that wait are kept and sent then."
        return Finding("Conversions", "warn" if verdict.kind == "throttled" else "fail", error.message, fix)
    if verdict.kind == "rejected":
        fix = "The contract may have changed: look for a newer version, and keep the answer that is shown."
        return Finding("Conversions", "fail", f"a plain event was refused: {error.message}", fix)
    if verdict.kind == "unknown":
        fix = "Check conversions.base-url: what answers there is not OpenAI, or a gateway changed the answer."
        return Finding("Conversions", "fail", error.message, fix)
    return from_error("Conversions key" if verdict.status == 401 else "Conversions", error)


def missing(name: str, error: SettingsError) -> Finding:
    """Return the verdict for a key that is not set."""
    return Finding(name, "warn", error.message, error.hint)
