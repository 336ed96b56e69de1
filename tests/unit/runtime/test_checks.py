"""Verdicts of the checks that `doctor` shows: one fix for each fault."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from books import put_aside
from penstock.base.clock import ManualClock
from penstock.base.errors import SettingsError
from penstock.runtime import checks
from penstock.runtime.ledger import Ledger, Settlement
from penstock.runtime.store import Store
from penstock.vendor.models import load_catalogue
from stores import KINDS, new_place


@pytest.mark.parametrize("kind", KINDS)
async def test_a_store_that_answers_is_fine_and_shows_no_password(kind: str, tmp_path: Path) -> None:
    store = await Store.open(new_place(kind, tmp_path), ManualClock())
    finding = await checks.check_store(store)
    assert finding.verdict in ("ok", "warn")
    assert "0 answers held" in finding.message
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_without_an_outcome_are_a_warning_with_what_they_may_cost(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()
    store = await Store.open(new_place(kind, tmp_path), clock)
    ledger = Ledger(store, clock)
    assert (await checks.check_ledger(ledger)).verdict == "ok"
    for _ in range(2):
        await ledger.settle(Settlement(await put_aside(ledger, 10**12), "unknown", clock.now()))
    finding = await checks.check_ledger(ledger)
    assert finding.verdict == "warn"
    assert "2 calls" in finding.message
    assert "$2.00" in finding.message
    assert "penstock cost --unknown" in finding.fix
    await store.close()


def test_a_model_is_live_ending_gone_or_not_known() -> None:
    catalogue = load_catalogue()
    now = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    assert checks.check_model(catalogue, "gpt-6-luna", now).verdict == "ok"
    unknown = checks.check_model(catalogue, "gpt-unheard-of", now)
    assert (unknown.verdict, "cost is unknown" in unknown.message) == ("warn", True)
    ending = [model for model in catalogue.all() if model.shutdown is not None]
    for model in ending:
        finding = checks.check_model(catalogue, model.id, now)
        assert finding.verdict == ("fail" if model.state(now) == "dead" else "warn")
        assert str(model.shutdown) in finding.fix


def test_a_missing_key_is_a_warning_with_the_command_that_sets_it() -> None:
    finding = checks.missing("OpenAI key", SettingsError("not set", hint="export OPENAI_API_KEY=…"))
    assert (finding.verdict, finding.fix) == ("warn", "export OPENAI_API_KEY=…")
