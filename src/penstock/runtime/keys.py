"""Where the key of a connection comes from when it is needed: environment, file, vault, setting, or a command."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from pathlib import Path

from penstock.base.clock import Clock
from penstock.base.errors import SettingsError
from penstock.base.redact import redact, register_secret
from penstock.base.settings import Settings
from penstock.runtime.connections import Connection

FRESH_SECONDS = 300.0
"""A key that a command printed is used this long: tokens of identity services live for an hour or so."""
COMMAND_SECONDS = 60.0


class FreshKey:
    """Runs a command that prints a key, again whenever the last one is no longer fresh."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = asyncio.Lock()
        self._key = ""
        self._until = -1.0

    async def __call__(self) -> str:
        """Return a key that is valid now; raises `SettingsError` when the command fails."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                self._key = await asyncio.to_thread(run_command, self._connection)
                self._until = self._clock.monotonic() + FRESH_SECONDS
            return self._key


def read_key(connection: Connection, settings: Settings, clock: Clock) -> str | FreshKey:
    """Return the key of a connection, or what makes one; raises `SettingsError` that says where it was looked for."""
    return FreshKey(connection, clock) if _split(connection)[0] == "command" else read_secret(connection, settings)


def read_secret(connection: Connection, settings: Settings) -> str:
    """Return the key of a connection as it is now; empty only where a compatible server needs none."""
    source, place = _split(connection)
    if source == "setting":
        return str(settings.require(place))
    if source == "vault":
        from penstock.base.vault import Vault

        return Vault(settings).get(connection.name)
    if source == "env":
        secret = settings.environ.get(place, "").strip()
        problem, hint = f"the environment has no {place}", f"export {place}=…"
    elif source == "file":
        secret, problem, hint = _read_file(settings.folder / Path(place).expanduser())
    elif source == "command":
        return run_command(connection)
    elif connection.kind == "openai-compatible":
        return ""
    else:
        secret, problem = "", "it has none"
        hint = f"penstock connections add {connection.name} --replace …"
    if not secret:
        raise SettingsError(
            f"the secret of the connection {connection.name!r} is missing: {problem}",
            code="connection.no-secret",
            hint=hint,
        )
    register_secret(secret)
    return secret


def run_command(connection: Connection) -> str:
    """Run the command of a connection and return the key that it prints; there is no shell in between."""
    command = _split(connection)[1]
    try:
        done = subprocess.run(  # noqa: S603 - the command stands in the user's own file
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise _command_failed(connection, redact(str(said))[:300]) from None
    key = done.stdout.strip()
    if not key or any(letter.isspace() for letter in key):
        raise _command_failed(connection, "it must print the key and nothing else")
    register_secret(key)
    return key


def _split(connection: Connection) -> tuple[str, str]:
    source, _, place = connection.secret.partition(":")
    return source, place.strip()


def _read_file(path: Path) -> tuple[str, str, str]:
    try:
        return path.read_text(encoding="utf-8").strip(), f"{path} is empty", f"Write the key into {path}."
    except (OSError, UnicodeDecodeError) as error:
        return "", f"{path} cannot be read ({type(error).__name__})", f"Write the key into {path}."


def _command_failed(connection: Connection, why: str) -> SettingsError:
    return SettingsError(
        f"the command that makes the key of the connection {connection.name!r} failed: {why}",
        code="connection.command-failed",
        hint="Run it by hand: it must print the key alone, such as "
        "`az account get-access-token --query accessToken -o tsv`.",
    )
