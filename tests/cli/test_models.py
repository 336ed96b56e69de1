"""`penstock models` and `penstock reconcile` at the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shop import Shop

RUN = ("run", "flow.yaml", "--sandbox", "--apply-schema", "--yes")


def test_models_are_listed_with_price_end_and_replacement(penstock: Any) -> None:
    ended = penstock("models", "--sandbox")
    assert ended.code == 0
    rows = {line.split()[0]: line for line in ended.out.splitlines()}
    assert "2027-01-14" in rows["gpt-4o"]
    assert "gpt-6-luna" in rows["gpt-4o"]
    assert "gpt-4" not in rows
    assert "gpt-4" in {line.split()[0] for line in penstock("models", "--all", "--sandbox").out.splitlines()}


def test_a_list_is_narrowed_by_kind_use_and_end(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path, model="gpt-5.1")

    def names(*filters: str) -> set[str]:
        return {card["id"] for card in json.loads(penstock("models", *filters, "--sandbox", "--json").out)}

    assert "gpt-6-luna" not in names("--kind", "image")
    assert names("--kind", "moderation") == {"omni-moderation-latest"}
    assert "gpt-5.1" in names("--used")
    assert names("--used", "--ending", "--kind", "chat") == {"gpt-5.1"}


def test_a_list_warns_of_models_that_end_and_are_used(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path, model="gpt-4")
    ended = penstock("models", "--sandbox")
    assert "! gpt-4 is shut down, and is used by flow flow.yaml" in ended.err
    Shop(tmp_path, model="our-own")
    assert "! the price of our-own is not known, and it is used by flow flow.yaml" in penstock("models").err


def test_one_model_is_shown_with_the_prices_of_every_tier(penstock: Any) -> None:
    ended = penstock("models", "show", "gpt-6-luna")
    tiers = [
        line.split()[0] for line in ended.out.splitlines() if line.split()[0] in ("batch", "flex", "fast", "decide")
    ]
    assert tiers == ["batch", "flex", "fast", "decide"]
    unknown = penstock("models", "show", "mistral-large")
    assert "not in the catalogue" in unknown.out
    assert "cost is shown as unknown" in unknown.err
    assert json.loads(penstock("models", "show", "mistral-large", "--json").out)["prices"] == {}


def test_a_refresh_shows_a_difference_and_writes_it_only_when_told(tmp_path: Path, penstock: Any) -> None:
    path = tmp_path / "models.toml"
    path.write_text('[models."gpt-5.1"]  # mine\nshutdown = 2027-09-09  # from OpenAI, 2026-10-01\n')
    before = path.read_text()
    shown = penstock("models", "refresh", "--sandbox")
    assert "gpt-5.1 ends on 2027-04-01; the catalogue said 2027-09-09" in shown.out
    assert "would write: gpt-5.1: shutdown = 2027-04-01" in shown.err
    assert path.read_text() == before
    assert "wrote: gpt-5.1" in penstock("models", "refresh", "--write", "--sandbox").err
    assert path.read_text().startswith('[models."gpt-5.1"]  # mine\nshutdown = 2027-04-01  # from OpenAI, ')
    assert "lists what the catalogue says" in penstock("models", "refresh", "--sandbox").err


def test_real_limits_are_shown_and_imported(tmp_path: Path, penstock: Any) -> None:
    shown = penstock("models", "limits", "--sandbox")
    assert "Add --write" in shown.err
    assert not (tmp_path / "models.toml").exists()
    document = json.loads(penstock("models", "limits", "--write", "--sandbox", "--json").out)
    assert (document["project"], document["is_written"]) == ("proj_sandbox", True)
    assert "limits = { project = {" in (tmp_path / "models.toml").read_text()
    assert penstock("models", "limits", "--project", "proj_x", "--sandbox").code != 0


def test_a_dead_model_ends_a_run_with_its_replacement(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path, model="gpt-4")
    ended = penstock(*RUN)
    assert (ended.code, "model.shut-down" in ended.err, "gpt-5.6-sol" in ended.err) == (2, True, True)
    plan = penstock("plan", "flow.yaml", "--sandbox")
    assert "is shut down since" in plan.out
    assert plan.code == 2


def test_a_dying_model_is_named_before_the_run_begins(tmp_path: Path, penstock: Any) -> None:
    Shop(tmp_path, model="gpt-5.1")
    ended = penstock(*RUN)
    assert ended.code == 0
    assert "gpt-5.1 ends in" in ended.err


@pytest.mark.parametrize("more", [(), ("--all",), ("--json",)])
def test_reconcile_says_what_each_side_has(tmp_path: Path, penstock: Any, more: tuple[str, ...]) -> None:
    Shop(tmp_path)
    penstock(*RUN)
    ended = penstock("reconcile", "--since", "2026-01-01", "--until", "2100-01-01", "--sandbox", *more)
    assert ended.code == 0
    if "--json" in more:  # every command has an emulated vendor of its own: this one knows of no call
        (line,) = json.loads(ended.out)
        assert (line["ours"]["requests"], line["theirs"]["requests"], line["equal"]) == (6, 0, False)
        assert line["reasons"]
    else:
        assert "gpt-6-luna" in ended.out
        assert "may still be arriving" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--since", "yesterday"), "input.date"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "reconcile.dates"),
    ],
)
def test_wrong_days_are_one_clear_error(penstock: Any, arguments: tuple[str, ...], code: str) -> None:
    ended = penstock("reconcile", *arguments, "--sandbox")
    assert (ended.code, code in ended.err) == (2, True)


def test_without_an_admin_key_the_setting_is_named(penstock: Any) -> None:
    ended = penstock("reconcile")
    assert (ended.code, "OPENAI_ADMIN_KEY" in ended.err, "settings.missing" in ended.err) == (2, True, True)
