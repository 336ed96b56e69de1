"""`penstock events setup`, `events settings` and `events compare` in the sandbox, command after command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from penstock.base.errors import FixError, InputError
from penstock.cli.events_setup import compare, settings, setup
from penstock.cli.main import Given

PIXEL = "SandboxPixelId00000001"


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command of this part in a workspace of its own; returns stdout and stderr."""

    def call(command: click.Command, *arguments: str) -> tuple[str, str]:
        given = Given()
        given.folder = tmp_path
        command.main([*arguments, "--sandbox"], prog_name="penstock events", standalone_mode=False, obj=given)
        captured = capfd.readouterr()
        return captured.out, captured.err

    return call


def test_a_pixel_is_made_once_and_its_key_is_shown_once(run: Any) -> None:
    made = json.loads(run(setup, "pixel", "Shop", "--json")[0])
    again = json.loads(run(setup, "pixel", "Shop", "--json")[0])
    assert (made["new"], again["new"], made["pixel_id"]) == (True, False, again["pixel_id"])
    out, err = run(setup, "key", "server")
    assert out.startswith("sk-svcacct-")
    assert out.strip() not in err
    assert made["pixel_id"] in run(settings)[0]


def test_an_event_is_registered_once_and_stands_as_not_carried(run: Any) -> None:
    assert "No event is registered" in run(settings)[1]
    out, err = run(setup, "event", "order_created", "--name", "Purchases")
    assert "Purchases" in out
    assert "attach it in Ads Manager" in err
    run(setup, "event", "Quiz-done", "--custom")
    listed = json.loads(run(settings, "--json")[0])
    assert listed["setup"]["pixels"][0]["pixel_id"] == PIXEL


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("order_create",), "events.unknown-type"),
        (("quiz",), "events.unknown-type"),
        (("custom",), "events.unknown-type"),
        (("order_created", "--custom"), "events.custom-name"),
        (("-", "--custom"), "events.custom-name"),
    ],
)
def test_a_name_that_no_event_has_is_refused_before_anything_is_made(run: Any, arguments: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        run(setup, "event", *arguments)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_pixel_of_another_account_is_named_with_those_that_are_there(run: Any) -> None:
    with pytest.raises(FixError) as caught:
        run(setup, "event", "order_created", "--pixel-id", "Elsewhere")
    assert PIXEL in caught.value.hint


def test_a_comparison_of_nothing_says_so(run: Any) -> None:
    out, err = run(compare)
    assert f"Pixel ID {PIXEL}" in out
    assert "✓ pixel" in out
    assert "always fewer" in err
    found = json.loads(run(compare, "--since", "2026-11-01", "--json")[0])
    assert (found["pixel_id"], found["standings"], found["days"]) == (PIXEL, [], [])
    assert "source id" in run(compare, "--pixel-id", "cds_sandbox0001")[0]
    with pytest.raises(InputError):
        run(compare, "--since", "yesterday")
