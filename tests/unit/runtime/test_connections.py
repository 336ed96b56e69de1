"""The book of connections: what a connection may be, how it is written down, and where its key comes from."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.clock import ManualClock
from penstock.base.errors import SettingsError
from penstock.base.redact import redact
from penstock.base.settings import Settings
from penstock.runtime.connections import Book, Connection, parse_connections
from penstock.runtime.keys import FRESH_SECONDS, FreshKey, read_key, read_secret

AZURE = Connection(name="judge", kind="azure", base_url="https://me.openai.azure.com", models={"judge-1": "gpt-6-luna"})
LOCAL = Connection(name="local", kind="openai-compatible", base_url="http://127.0.0.1:9000/v1")


def open_book(folder: Path, **environ: str) -> Book:
    return Book(Settings(folder / "work", environ={"PENSTOCK_VAULT_KEY_FILE": str(folder / "keys"), **environ}))


def code_of(action: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        action(*arguments, **named)
    assert caught.value.hint
    return caught.value.code


def test_without_a_file_the_settings_describe_one_connection_of_each_vendor(tmp_path: Path) -> None:
    book = open_book(tmp_path, OPENAI_API_KEY="sk-of-settings", OPENAI_ORG_ID="org-1")
    assert book.names() == ["brevo", "conversions", "openai"]
    found = book.find("openai")
    assert (found.kind, found.url, found.organization) == ("openai", "https://api.openai.com/v1", "org-1")
    assert read_secret(found, book.settings) == "sk-of-settings"
    assert code_of(read_secret, book.find("brevo"), book.settings) == "settings.missing"


def test_a_connection_is_written_down_without_its_secret_and_found_again(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    written = book.add(AZURE, "azure-secret-key")
    text = book.path.read_text()
    assert "azure-secret" not in text
    assert tomllib.loads(text)["judge"]["secret"] == "vault"
    again = open_book(tmp_path)
    assert again.find("judge") == written
    assert read_secret(again.find("judge"), again.settings) == "azure-secret-key"
    assert "azure-secret" not in redact("It said azure-secret-key.")
    assert "azure-secret" not in str(again.find("judge").describe())


def test_removing_a_connection_removes_its_secret_and_leaves_the_rest_of_the_file_as_it_was(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    by_hand = (
        '# mine\n[first]\nkind = "openai-compatible"  # a note\nbase-url = "http://a:1/v1"\n\n'
        '# about second\n[second]\nkind="openai-compatible"\nbase-url = "http://b:1/v1"\n[second.models]\n"x" = "y"\n'
    )
    book.path.parent.mkdir(parents=True)
    book.path.write_text(by_hand)
    book.add(AZURE, "azure-secret-key")
    assert book.path.read_text().startswith(by_hand)
    book.remove("first")
    assert "# about second" in book.path.read_text()
    book.remove("judge")
    assert book.names() == ["brevo", "conversions", "openai", "second"]
    assert code_of(read_secret, msgspec.structs.replace(AZURE, secret="vault"), book.settings) == "vault.missing"
    assert code_of(book.remove, "judge") == "connection.unknown"
    assert code_of(book.remove, "openai") == "connection.of-settings"


def test_a_connection_is_replaced_only_when_asked_and_its_old_secret_does_not_stay(tmp_path: Path) -> None:
    book = open_book(tmp_path, AZURE_KEY="from-environment")
    book.add(AZURE, "azure-secret-key")
    assert code_of(book.add, AZURE, "other-key") == "connection.exists"
    book.add(msgspec.structs.replace(AZURE, secret="env:AZURE_KEY"), replace=True)
    assert read_secret(book.find("judge"), book.settings) == "from-environment"
    assert not list((tmp_path / "work" / ".penstock" / "secrets").glob("*.json"))


def test_a_change_of_the_file_by_others_is_seen(tmp_path: Path) -> None:
    one, two = open_book(tmp_path), open_book(tmp_path)
    one.add(LOCAL)
    assert two.find("local") == LOCAL
    two.remove("local")
    assert code_of(one.find, "local") == "connection.unknown"


BAD = [
    ({"kind": "azure"}, "base-url"),
    ({"kind": "openai-compatible"}, "base-url"),
    ({"base_url": "ftp://x"}, "http"),
    ({"base_url": "https://user:word@x/v1"}, "credentials"),
    ({"base_url": "https://x/v1?key=1"}, "query"),
    ({"base_url": "https://x:port/v1"}, "http"),
    ({"base_url": "https://x/\nv1"}, "http"),
    ({"secret": "sk-the-key-itself"}, "never the key itself"),
    ({"secret": "env:"}, "never the key itself"),
    ({"organization": "org\r\nx: y"}, "header"),
    ({"timeout": 0.0}, "timeout"),
    ({"timeout": -1.0}, "timeout"),
    ({"pixel_id": "123"}, "pixel-id"),
    ({"kind": "conversions"}, "Pixel ID"),
    ({"kind": "brevo", "models": {"a": "b"}}, "models"),
    ({"kind": "brevo", "organization": "x"}, "organization"),
    ({"api_version": "2026-01-01"}, "api-version"),
    ({"models": {"a": "gpt-6-luna", "b": "gpt-6-luna"}}, "gpt-6-luna"),
    ({"name": "Upper"}, "name"),
    ({"name": "../x"}, "name"),
]


@pytest.mark.parametrize(("parts", "named"), BAD)
def test_what_does_not_fit_together_is_refused_and_named(tmp_path: Path, parts: dict[str, Any], named: str) -> None:
    book = open_book(tmp_path)
    with pytest.raises(SettingsError, match=named) as caught:
        book.add(Connection(**{"name": "one", **parts}))
    assert caught.value.code == "connection.bad"
    assert not book.path.exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[one]\nkind = 'opneai'", "kind"),
        ("[one]\nurl = 'https://x'", "url"),
        ("[one]\ntimeout = 'long'", "timeout"),
        ("kind = 'openai'", "outside a table"),
        ("[one", "TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse_connections(text, Path("connections.toml"))


WORD = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=20)


@given(
    organization=WORD,
    models=st.dictionaries(WORD, WORD, max_size=3).filter(lambda them: len(set(them.values())) == len(them)),
    decisions=st.sampled_from([None, True, False]),
    timeout=st.none() | st.floats(0.1, 86_400),
)
def test_any_connection_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, organization: str, models: dict[str, str], decisions: Any, timeout: Any
) -> None:
    book = open_book(tmp_path_factory.getbasetemp())
    made = Connection(name="any", organization=organization, models=models, decisions=decisions, timeout=timeout)
    assert book.add(made, replace=True) == open_book(tmp_path_factory.getbasetemp()).find("any") == made


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"base_url": "https://me.openai.azure.com"}, "https://me.openai.azure.com/openai/v1"),
        ({"base_url": "https://me.openai.azure.com/openai/"}, "https://me.openai.azure.com/openai/v1"),
        ({"base_url": "https://me.openai.azure.com/openai/v1/"}, "https://me.openai.azure.com/openai/v1"),
        ({"base_url": "https://me.openai.azure.com", "api_version": "2025-04-01"}, "https://me.openai.azure.com/openai"),
    ],
)  # fmt: skip
def test_azure_addresses_come_in_the_form_that_the_api_wants(given: dict[str, str], url: str) -> None:
    assert Connection(name="x", kind="azure", **given).url == url  # type: ignore[arg-type]


def test_every_kind_has_its_own_defaults() -> None:
    assert (AZURE.key_header, AZURE.has_decisions, AZURE.speaks) == ("api-key", False, "responses")
    assert (LOCAL.key_header, LOCAL.has_decisions, LOCAL.speaks) == ("bearer", False, "chat")
    openai = Connection(name="x")
    assert (openai.url, openai.has_decisions, openai.speaks) == ("https://api.openai.com/v1", True, "responses")
    assert AZURE.find_model("judge-1") == AZURE.find_model("gpt-6-luna") == "gpt-6-luna"


def test_keys_come_from_the_environment_a_file_or_a_command_and_a_missing_one_says_where_it_was_looked_for(
    tmp_path: Path,
) -> None:
    book = open_book(tmp_path, MY_KEY="key-of-environment")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "key.txt").write_text("key-of-file\n")
    expected = {
        "env:MY_KEY": "key-of-environment",
        "file:key.txt": "key-of-file",
        "command:echo key-of-command": "key-of-command",
    }
    for secret, key in expected.items():
        assert read_secret(Connection(name="one", secret=secret), book.settings) == key
        assert key not in redact(f"it is {key}")
    for secret, code in {
        "env:NO_KEY": "connection.no-secret",
        "file:none.txt": "connection.no-secret",
        "": "connection.no-secret",
        "command:false": "connection.command-failed",
        "command:no-such-program-here": "connection.command-failed",
        "command:echo two words": "connection.command-failed",
        "command:echo 'unclosed": "connection.command-failed",
        "command:true": "connection.command-failed",
    }.items():
        assert code_of(read_secret, Connection(name="one", secret=secret), book.settings) == code, secret
    assert read_secret(LOCAL, book.settings) == ""


async def test_a_command_runs_again_when_its_key_is_no_longer_fresh(tmp_path: Path) -> None:
    clock = ManualClock()
    script = tmp_path / "key.sh"
    script.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\nwc -l < {tmp_path}/runs | tr -d ' '\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    key = read_key(Connection(name="one", secret=f"command:{script}"), Settings(tmp_path, environ={}), clock)
    assert isinstance(key, FreshKey)
    assert [await key(), await key()] == ["1", "1"]
    clock.advance(FRESH_SECONDS + 1)
    assert await key() == "2"


@pytest.mark.parametrize(
    ("connection", "secret", "code"),
    [
        (AZURE, None, "connection.bad"),
        (msgspec.structs.replace(LOCAL, secret="env:OPENAI_API_KEY"), None, "connection.bad"),
        (msgspec.structs.replace(LOCAL, secret="command:id"), None, "connection.bad"),
        (msgspec.structs.replace(LOCAL, secret="file:/etc/passwd"), None, "connection.bad"),
        (LOCAL, "some-secret", "address.not-public"),
        (msgspec.structs.replace(LOCAL, base_url="https://169.254.169.254/v1"), "some-secret", "address.not-public"),
        (msgspec.structs.replace(LOCAL, base_url="https://[::ffff:10.0.0.1]/v1"), "some-secret", "address.not-public"),
    ],
)
def test_a_connection_from_the_network_reaches_no_inner_address_and_no_secret_of_this_machine(
    tmp_path: Path, connection: Connection, secret: str | None, code: str
) -> None:
    book = open_book(tmp_path)
    assert code_of(book.add, connection, secret, from_network=True) == code
    assert not book.path.exists()


def test_a_connection_from_the_network_keeps_to_public_addresses_unless_loopback_is_allowed(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    public = msgspec.structs.replace(LOCAL, base_url="https://162.159.140.245/v1", name="public")
    assert book.add(public, "some-secret", from_network=True).public_only
    assert not book.add(LOCAL, "some-secret", from_network=True, allow_loopback=True).public_only
    sly = msgspec.structs.replace(public, secret="command:id", name="sly")
    assert book.add(sly, "some-secret", from_network=True).secret == "vault"
