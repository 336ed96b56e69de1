"""Secrets at rest: sealed, bound to their names, rotated, and the key never beside them."""

from __future__ import annotations

import base64
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import SettingsError
from penstock.base.settings import Settings
from penstock.base.vault import KeyRing, Vault

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def settings(tmp_path: Path, folder: str = "work", **environ: str) -> Settings:
    given = {"PENSTOCK_VAULT_KEY_FILE": str(tmp_path / "keys" / "vault.keys"), **environ}
    return Settings(tmp_path / folder, environ=given)


def code_of(action: object, *arguments: str) -> str:
    with pytest.raises(SettingsError) as caught:
        action(*arguments)  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.code


def test_a_secret_comes_back_and_neither_it_nor_the_key_lies_in_the_workspace(tmp_path: Path) -> None:
    vault = Vault(settings(tmp_path))
    vault.put("azure", "a-very-secret-token")
    assert vault.get("azure") == "a-very-secret-token"
    assert vault.names() == ["azure"]
    key = (tmp_path / "keys" / "vault.keys").read_text().strip()
    for path in (tmp_path / "work").rglob("*"):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes()
            assert key.encode() not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys" / "vault.keys").stat().st_mode & 0o077 == 0


@given(secret=st.text(max_size=200))
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    vault = Vault(settings(tmp_path_factory.getbasetemp(), PENSTOCK_VAULT_KEY=OLD))
    vault.put("any", secret)
    assert vault.get("any") == secret


def test_equal_secrets_look_different_and_one_cannot_stand_in_for_another(tmp_path: Path) -> None:
    vault = Vault(settings(tmp_path))
    vault.put("one", "same-secret")
    vault.put("two", "same-secret")
    one, two = vault.folder / "one.json", vault.folder / "two.json"
    assert one.read_bytes() != two.read_bytes()
    shutil.copy(one, two)
    assert code_of(vault.get, "two") == "vault.damaged"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    vault = Vault(settings(tmp_path))
    vault.put("one", "some-secret")
    path = vault.folder / "one.json"
    content = path.read_text()
    at = content.index('"sealed":"') + 12
    path.write_text(content[:at] + ("A" if content[at] != "A" else "B") + content[at + 1 :])
    assert code_of(vault.get, "one") == "vault.damaged"
    path.write_text("{}")
    assert code_of(vault.get, "one") == "vault.damaged"


def test_first_secrets_that_are_sealed_at_the_same_time_all_stay_readable(tmp_path: Path) -> None:
    vault = Vault(settings(tmp_path))
    names = [f"name-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: vault.put(name, f"secret of {name}"), names))
    assert [vault.get(name) for name in names] == [f"secret of {name}" for name in names]


def test_a_copied_workspace_says_which_key_is_missing(tmp_path: Path) -> None:
    Vault(settings(tmp_path, PENSTOCK_VAULT_KEY=OLD)).put("one", "some-secret")
    other = Vault(settings(tmp_path, PENSTOCK_VAULT_KEY=NEW))
    assert code_of(other.get, "one") == "vault.other-key"
    assert code_of(other.get, "none") == "vault.missing"


def test_rotation_locks_everything_with_a_new_key_and_keeps_the_old_one_for_other_workspaces(tmp_path: Path) -> None:
    vault, other = Vault(settings(tmp_path)), Vault(settings(tmp_path, "other"))
    for name in ("one", "two"):
        vault.put(name, f"secret-of-{name}")
    other.put("three", "secret-of-three")
    before = {path.name: path.read_bytes() for path in vault.folder.iterdir()}
    assert vault.rotate() == 2
    assert all(path.read_bytes() != before[path.name] for path in vault.folder.iterdir())
    assert [vault.get(name) for name in ("one", "two")] == ["secret-of-one", "secret-of-two"]
    assert other.get("three") == "secret-of-three"
    ring = KeyRing.open(settings(tmp_path))
    assert len({key.id for key in ring.keys}) == 2


def test_rotation_with_keys_of_the_environment_uses_the_first_of_them(tmp_path: Path) -> None:
    Vault(settings(tmp_path, PENSTOCK_VAULT_KEY=OLD)).put("one", "some-secret")
    assert Vault(settings(tmp_path, PENSTOCK_VAULT_KEY=f"{NEW},{OLD}")).rotate() == 1
    assert Vault(settings(tmp_path, PENSTOCK_VAULT_KEY=NEW)).get("one") == "some-secret"


def test_a_key_is_refused_inside_the_workspace_open_to_others_or_of_the_wrong_length(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    inside = Vault(settings(tmp_path, PENSTOCK_VAULT_KEY_FILE=str(tmp_path / "work" / "keys")))
    assert code_of(inside.put, "one", "x") == "vault.key-inside"
    (tmp_path / "work" / "penstock.toml").write_text(f'[vault]\nkey = "{OLD}"\n')
    assert code_of(Vault(settings(tmp_path)).put, "one", "x") == "vault.key-inside"
    (tmp_path / "work" / "penstock.toml").unlink()
    assert code_of(Vault(settings(tmp_path, PENSTOCK_VAULT_KEY="c2hvcnQ=")).put, "one", "x") == "vault.bad-key"
    vault = Vault(settings(tmp_path))
    vault.put("one", "x")
    (tmp_path / "keys" / "vault.keys").chmod(0o644)
    assert code_of(vault.get, "one") == "vault.key-exposed"


@pytest.mark.parametrize("name", ["", "../one", "One", "a/b", ".", "x" * 65])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name"):
        Vault(settings(tmp_path)).put(name, "x")
