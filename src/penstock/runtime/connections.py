"""The book of named connections: `connections.toml` of the workspace, and where each one's secret comes from.

The file holds no secrets: they are sealed in the vault, or come from the environment, a file or a command.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from penstock.base.addresses import check_public_url
from penstock.base.errors import SettingsError
from penstock.base.settings import Settings

Kind = Literal["openai", "azure", "openai-compatible", "brevo", "conversions"]
KINDS: tuple[Kind, ...] = ("openai", "azure", "openai-compatible", "brevo", "conversions")
SPEAK_OPENAI = ("openai", "azure", "openai-compatible")
"""The kinds that operations can be sent to."""
BASE_URLS: Mapping[str, str] = {
    "openai": "https://api.openai.com/v1",
    "brevo": "https://api.brevo.com/v3",
    "conversions": "https://bzr.openai.com",
}
OF_SETTINGS = ("brevo", "conversions", "openai")
"""What the settings describe, unless the file has a connection of that name."""
FILE = "connections.toml"
VAULT = "vault"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_PLAIN = re.compile(r"[ -~]*\Z")
_SOURCES = ("env:", "file:", "command:")
_HEADER = re.compile(r"\s*\[\s*\"?([A-Za-z0-9_-]+)\"?\s*[\].]")


class Connection(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", omit_defaults=True, kw_only=True
):
    """One way to a vendor, without its secret."""

    name: str
    kind: Kind = "openai"
    base_url: str = ""
    authentication: Literal["", "bearer", "api-key"] = ""
    secret: str = ""
    """`vault`, `env:NAME`, `file:PATH`, `command:…`, or `setting:NAME` for what the settings describe."""
    organization: str = ""
    project: str = ""
    models: dict[str, str] = {}
    """What the endpoint calls a model, such as an Azure deployment, and the model of the catalogue that it is."""
    api: Literal["", "responses", "chat"] = ""
    decisions: bool | None = None
    timeout: float | None = None
    api_version: str = ""
    """Azure only: set for the form that has the deployment in the path."""
    pixel_id: str = ""
    """Conversions only: the Pixel ID."""
    public_only: bool = False
    """The address came from outside this machine: checked again at each opening, and kept to."""

    @property
    def url(self) -> str:
        """The base URL, Azure's in the form that its API wants."""
        url = (self.base_url or BASE_URLS.get(self.kind, "")).rstrip("/")
        if self.kind != "azure":
            return url
        root = url.removesuffix("/v1").removesuffix("/openai")
        return f"{root}/openai" if self.api_version else f"{root}/openai/v1"

    @property
    def key_header(self) -> Literal["bearer", "api-key"]:
        """How the key travels."""
        return self.authentication or ("api-key" if self.kind == "azure" else "bearer")

    @property
    def has_decisions(self) -> bool:
        """Whether the endpoint has the Decisions API; only OpenAI's own is assumed to."""
        return self.kind == "openai" if self.decisions is None else self.decisions

    @property
    def speaks(self) -> Literal["responses", "chat"]:
        """The API that text is asked over: servers that only imitate OpenAI mostly have chat alone."""
        return self.api or ("chat" if self.kind == "openai-compatible" or self.api_version else "responses")

    def find_model(self, name: str) -> str:
        """Return the model of the catalogue that a name means here."""
        return self.models.get(name, name)

    def describe(self) -> dict[str, Any]:
        """Return what may be shown; the secret only as where it comes from."""
        shown = {"name": self.name, "kind": self.kind, "base-url": self.url}
        return {**shown, **msgspec.to_builtins(self), "base-url": self.url, "authentication": self.key_header}


class Book:
    """The connections of one workspace: those of the file, and those that the settings describe."""

    def __init__(self, settings: Settings, on_change: Callable[[str], None] = lambda _: None) -> None:
        """Read from the folder of `settings`; `on_change` hears the name of what this book has changed."""
        self.settings = settings
        self.path = settings.folder / FILE
        self._on_change = on_change
        self._read_at: tuple[int, int] | None = None
        self._held: dict[str, Connection] = {}

    def names(self) -> list[str]:
        """Return the names of all connections."""
        return sorted({*OF_SETTINGS, *self._file()})

    def find(self, name: str) -> Connection:
        """Return a connection; raises `SettingsError` for one that does not exist."""
        found = self._file().get(name) or self._of_settings(name)
        if found is None:
            raise SettingsError(
                f"there is no connection {name!r} (known: {', '.join(self.names())})",
                code="connection.unknown",
                hint=f"penstock connections add {name}" if _NAME.match(name) else "`penstock connections list`",
            )
        return found

    def find_for_calls(self, name: str) -> Connection:
        """Return a connection that operations can be sent over; raises `SettingsError` for one of another kind."""
        found = self.find(name)
        if found.kind not in SPEAK_OPENAI:
            raise SettingsError(
                f"the connection {name!r} is of the kind {found.kind}, which answers no operations",
                code="connection.wrong-kind",
                hint=f"Name one of the kinds {', '.join(SPEAK_OPENAI)}: `penstock connections list`.",
            )
        return found

    def add(
        self,
        connection: Connection,
        secret: str | None = None,
        *,
        replace: bool = False,
        from_network: bool = False,
        allow_loopback: bool = False,
    ) -> Connection:
        """Write a connection down, its secret into the vault; returns it as written.

        `from_network` says that it was described by a caller over HTTP: its address must be public and its
        secret given with it, so that nobody can have a secret of this machine sent elsewhere.
        Raises `SettingsError` for what does not fit together.
        """
        if secret is not None:
            connection = msgspec.structs.replace(connection, secret=VAULT)
        if from_network:
            connection = _guard(connection, secret, allow_loopback)
        check_connection(connection)
        if secret is not None and not secret.strip():
            raise _wrong(connection, "the secret is empty")
        with self._lock():
            if connection.name in self._file() and not replace:
                raise SettingsError(
                    f"there is a connection {connection.name!r} already",
                    code="connection.exists",
                    hint="Add --replace to describe it anew, or choose another name.",
                )
            if secret is not None:
                self._vault().put(connection.name, secret.strip())
            else:
                self._vault().remove(connection.name)
            self._write({**self._file(), connection.name: connection}, connection.name)
        self._on_change(connection.name)
        return connection

    def remove(self, name: str) -> None:
        """Strike a connection out, and its secret from the vault; raises `SettingsError` when it is not in the file."""
        with self._lock():
            rest = dict(self._file())
            if name not in rest:
                self.find(name)
                raise SettingsError(
                    f"the connection {name!r} comes from the settings, not from {FILE}",
                    code="connection.of-settings",
                    hint=f"`penstock settings where {name}.api-key` says what to remove.",
                )
            del rest[name]
            self._write(rest, name)
            self._vault().remove(name)
        self._on_change(name)

    def _vault(self) -> Any:
        from penstock.base.vault import Vault  # brings the ciphers, which few commands need

        return Vault(self.settings)

    def _of_settings(self, name: str) -> Connection | None:
        get = self.settings.get
        if name == "openai":
            return Connection(
                name=name,
                base_url=str(get("openai.base-url")),
                secret=f"setting:{name}.api-key",
                organization=str(get("openai.organization") or ""),
                project=str(get("openai.project") or ""),
                decisions=bool(get("openai.decisions")),
                timeout=float(get("openai.timeout")),
            )
        if name == "brevo":
            url, timeout = str(get("brevo.base-url")), float(get("brevo.timeout"))
            return Connection(name=name, kind="brevo", base_url=url, secret=f"setting:{name}.api-key", timeout=timeout)
        if name == "conversions":
            return Connection(
                name=name,
                kind="conversions",
                base_url=str(get("conversions.base-url")),
                secret=f"setting:{name}.api-key",
                pixel_id=str(get("conversions.pixel-id") or ""),
                timeout=float(get("conversions.timeout")),
            )
        return None

    def _file(self) -> dict[str, Connection]:
        """Read the file, when it is another one than last time."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._read_at, self._held = None, {}
            return self._held
        mark = (state.st_mtime_ns, state.st_ino)
        if mark != self._read_at:
            self._held = parse_connections(self.path.read_text(encoding="utf-8", errors="replace"), self.path)
            self._read_at = mark
        return self._held

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep others from writing the file meanwhile."""
        place = self.settings.folder / ".penstock"
        place.mkdir(parents=True, exist_ok=True)
        with (place / "connections.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._read_at = None
            yield

    def _write(self, wanted: Mapping[str, Connection], changed: str) -> None:
        """Replace one table of the file and leave the others as they were written, comments included."""
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        text = _without(text, changed)
        if changed in wanted:
            text = f"{text.rstrip()}\n\n{_to_toml(wanted[changed])}".lstrip()
        if parse_connections(text, self.path) != wanted:
            raise SettingsError(
                f"{FILE} is written in a way that cannot be changed safely",
                code="connection.by-hand",
                hint=f"Change the table [{changed}] by hand.",
                where=str(self.path),
            )
        fresh = self.path.with_name(f"{FILE}.{os.getpid()}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)
        self._read_at = None


def parse_connections(text: str, path: Path) -> dict[str, Connection]:
    """Read the tables of a connections file; raises `SettingsError` that names table and key."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}", where=str(path)) from error
    found = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{path.name}: {name!r} stands outside a table", code="connection.bad", where=str(path))
        try:
            connection = msgspec.convert({**table, "name": name}, Connection)
        except msgspec.ValidationError as error:
            known = ", ".join(field.encode_name for field in msgspec.structs.fields(Connection)[1:])
            raise SettingsError(
                f"{path.name}, connection {name!r}: {error}",
                code="connection.bad",
                hint=f"A connection has: {known}.",
                where=str(path),
            ) from error
        check_connection(connection)
        found[name] = connection
    return found


def check_connection(connection: Connection) -> None:
    """Raise `SettingsError` where the parts of a connection do not fit together."""
    if not _NAME.match(connection.name):
        raise _wrong(connection, "a name is a lower-case letter, then letters, digits and hyphens, at most 64")
    _check_url(connection)
    _check_secret_source(connection)
    for part in ("organization", "project", "api_version", "pixel_id"):
        if not _PLAIN.match(getattr(connection, part)):
            raise _wrong(connection, f"{part.replace('_', '-')} holds characters that no header can carry")
    if connection.timeout is not None and not 0 < connection.timeout <= 86_400:
        raise _wrong(connection, "timeout is in seconds, more than 0 and at most a day")
    is_openai = connection.kind in SPEAK_OPENAI
    allowed = {
        "organization": connection.kind in ("openai", "openai-compatible"),
        "project": connection.kind in ("openai", "openai-compatible"),
        "models": is_openai,
        "api": is_openai,
        "decisions": is_openai,
        "authentication": is_openai,
        "api_version": connection.kind == "azure",
        "pixel_id": connection.kind == "conversions",
    }
    for part, may in allowed.items():
        if not may and getattr(connection, part) not in ("", None, {}):
            raise _wrong(connection, f"the kind {connection.kind} has no {part.replace('_', '-')}")
    if connection.kind == "conversions" and not connection.pixel_id:
        raise _wrong(connection, "the kind conversions needs the Pixel ID: pixel-id")
    doubled = [model for model in connection.models.values() if list(connection.models.values()).count(model) > 1]
    if doubled:
        raise _wrong(
            connection,
            f"two names stand for {doubled[0]}",
            "Make a connection for each: every deployment has a quota of its own.",
        )


def _check_url(connection: Connection) -> None:
    if not connection.url:
        raise _wrong(connection, f"the kind {connection.kind} needs a base-url", "Add --base-url https://…")
    try:
        parts = urlsplit(connection.url)
        is_good = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or not _PLAIN.match(connection.url) or " " in connection.url:
        raise _wrong(connection, "base-url is no http(s) address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong(connection, "base-url has neither credentials nor a query; keys are given as the secret")


def _check_secret_source(connection: Connection) -> None:
    secret = connection.secret
    if secret in ("", VAULT) or secret.startswith("setting:"):
        return
    if not secret.startswith(_SOURCES) or not secret.partition(":")[2].strip():
        raise _wrong(
            connection,
            "secret says where the key comes from, and is never the key itself",
            "Write env:NAME, file:PATH, command:COMMAND, or let `penstock connections add` seal it in the vault.",
        )


def _guard(connection: Connection, secret: str | None, allow_loopback: bool) -> Connection:
    if secret is None and connection.kind != "openai-compatible":
        raise _wrong(connection, "its secret must be given with it")
    if secret is None and connection.secret:
        raise _wrong(connection, "over the network a secret is given as such, not as a place on this machine")
    check_connection(connection)
    if connection.base_url:
        check_public_url(connection.url, allow_loopback=allow_loopback)
    return msgspec.structs.replace(connection, public_only=bool(connection.base_url) and not allow_loopback)


def _wrong(connection: Connection, what: str, hint: str = "") -> SettingsError:
    return SettingsError(
        f"the connection {connection.name!r} cannot be used: {what}",
        code="connection.bad",
        hint=hint or "`penstock connections add --help` explains every part.",
    )


def _without(text: str, name: str) -> str:
    """Cut the table of a connection, with its sub-tables, out of a file."""
    kept: list[str] = []
    notes: list[str] = []
    is_inside = False
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header is not None:
            is_inside = header[1] == name
            kept += [] if is_inside else notes  # they stand over the next table, and are about it
            notes = []
        if not is_inside:
            kept.append(line)
        elif line.strip() and not line.lstrip().startswith("#"):
            notes = []
        else:
            notes.append(line)
    return "".join(kept)


def _to_toml(connection: Connection) -> str:
    lines = [f"[{connection.name}]"]
    for name, value in msgspec.to_builtins(connection).items():
        if name != "name":
            lines.append(f"{name} = {_to_value(value)}")
    return "\n".join(lines) + "\n"


def _to_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {json.dumps(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
