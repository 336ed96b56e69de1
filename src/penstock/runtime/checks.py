"""What `doctor` and a connections page both show: one check, one verdict, one fix; nothing is changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from penstock.base.errors import AccessError, PenstockError, SettingsError, ThrottledError, UnavailableError
from penstock.base.types import Finding, format_money
from penstock.runtime.ledger import Ledger
from penstock.runtime.store import Store
from penstock.vendor.models import Catalogue
from penstock.vendor.openai import OpenAI

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


async def check_openai(client: OpenAI, model: str) -> list[Finding]:
    """Ask OpenAI which models the key may use: harmless, free, and it tells the faults of a key apart."""
    try:
        listed = await client.get("/models")
    except AccessError as error:
        return [from_error("OpenAI key", error)]
    except ThrottledError as error:
        return [Finding("OpenAI", "warn", error.message, "Wait until the quota has room, then look again.")]
    except UnavailableError as error:
        fix = error.hint or "Check the base URL; a gateway may answer instead of OpenAI."
        return [Finding("OpenAI", "fail", error.message, fix)]
    except PenstockError as error:
        return [from_error("OpenAI", error)]
    names = {str(one.get("id")) for one in listed.get("data", ()) if isinstance(one, dict)}
    findings = [Finding("OpenAI key", "ok", f"accepted, {len(names)} models may be used")]
    if names and model not in names:
        findings.append(
            Finding(
                "OpenAI model", "fail", f"the key may not use {model}", "Grant it to the project, or set another model."
            )
        )
    return findings


def missing(name: str, error: SettingsError) -> Finding:
    """Return the verdict for a key that is not set."""
    return Finding(name, "warn", error.message, error.hint)
