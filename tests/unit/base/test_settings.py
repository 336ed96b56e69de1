"""Settings: where they are looked for, in which order, and what a wrong one gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import SettingsError
from penstock.base.redact import redact
from penstock.base.settings import SETTINGS, Settings


def test_the_command_line_comes_before_the_environment_the_file_and_the_default(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("model = 'from-file'\n[budget]\nrun = 3\n")
    environ = {"PENSTOCK_MODEL": "from-environment"}
    assert Settings(tmp_path, {"model": "given"}, environ).get("model") == "given"
    assert Settings(tmp_path, {}, environ).get("model") == "from-environment"
    assert Settings(tmp_path, {}, {}).get("model") == "from-file"
    assert Settings(tmp_path / "elsewhere", {}, {}).get("model") == "gpt-6-luna"
    assert Settings(tmp_path, {}, {}).get("budget.run") == 3.0


def test_a_missing_setting_says_every_place_in_order(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(tmp_path, {}, {}).require("openai.api-key")
    message = caught.value.message
    places = [message.index(part) for part in ("command line", "OPENAI_API_KEY", "penstock.toml")]
    assert places == sorted(places)
    assert "export OPENAI_API_KEY" in caught.value.hint


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(tmp_path, {}, {}).get("modle")
    assert (caught.value.code, caught.value.hint) == ("settings.unknown", "Did you mean model?")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in-flight", "many"),
        ("budget.run", "nan"),
        ("budget.run", "-1"),
        ("budget.run", "inf"),
        ("sandbox", "perhaps"),
        ("sandbox-url", "localhost:8089"),
    ],
)
def test_a_value_of_the_wrong_kind_names_its_origin(tmp_path: Path, name: str, value: Any) -> None:
    setting = next(one for one in SETTINGS if one.name == name)
    with pytest.raises(SettingsError) as caught:
        Settings(tmp_path, {}, {setting.env: value}).get(name)
    assert caught.value.code == "settings.invalid"
    assert name in caught.value.message
    assert setting.env in caught.value.message


def test_secrets_are_shown_as_a_mark_and_removed_from_any_text(tmp_path: Path) -> None:
    found = Settings(tmp_path, {}, {"BREVO_API_KEY": "an-odd-key-without-a-prefix"}).resolve("brevo.api-key")
    assert "odd-key" not in found.shown()
    assert redact("the key an-odd-key-without-a-prefix was refused") == "the key [key] was refused"


def test_every_setting_has_help_and_a_name_of_its_own() -> None:
    assert all(setting.help.endswith(".") for setting in SETTINGS)
    assert len({setting.name for setting in SETTINGS}) == len({setting.env for setting in SETTINGS}) == len(SETTINGS)
