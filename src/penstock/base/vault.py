"""Secrets of a workspace, encrypted at rest; the key that opens them is kept outside the workspace.

AES-256-GCM, a fresh nonce for each secret, the secret's name bound to it: a sealed secret cannot be
passed off as another one, and a copied workspace shows nothing.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import re
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.base.clock import secure_bytes
from penstock.base.errors import SettingsError
from penstock.base.redact import register_secret
from penstock.base.settings import Settings

KEY_BYTES, NONCE_BYTES = 32, 12
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


class Key(msgspec.Struct, frozen=True):
    """One key; `id` is a fingerprint that tells which key sealed a secret."""

    id: str
    data: bytes


class _Sealed(msgspec.Struct, frozen=True):
    """A secret as it is stored."""

    key: str
    nonce: bytes
    sealed: bytes


class KeyRing:
    """The keys of this user, newest first: from the environment, or from a file outside the workspace."""

    def __init__(self, path: Path | None, keys: list[Key]) -> None:
        """Hold `keys`; without a `path` they come from the environment and cannot be added to."""
        self.path = path
        self.keys = keys

    @classmethod
    def open(cls, settings: Settings) -> KeyRing:
        """Read the keys; raises `SettingsError` for a bad key, or one that lies in the workspace or open to others."""
        found = settings.resolve("vault.key")
        if found.value is not None:
            if not found.origin.startswith("environment"):
                raise SettingsError(
                    f"the key of the vault is given by {found.origin}, beside the secrets that it locks",
                    code="vault.key-inside",
                    hint="export PENSTOCK_VAULT_KEY=…, and remove it there.",
                )
            return cls(None, [_read_key(part, found.origin) for part in str(found.value).split(",") if part.strip()])
        path = Path(str(settings.get("vault.key-file"))).expanduser()
        if path.resolve().is_relative_to(settings.folder.resolve()):
            raise SettingsError(
                "the key file of the vault lies inside the workspace, beside the secrets that it locks",
                code="vault.key-inside",
                hint="export PENSTOCK_VAULT_KEY_FILE=… with a path outside of it.",
                where=str(path),
            )
        return cls(path, _read_keys(path))

    def add(self) -> Key:
        """Make a new key, put it first and keep it; raises `SettingsError` when keys come from the environment."""
        data = secure_bytes(KEY_BYTES)
        if self.path is None:
            raise SettingsError(
                "the keys of the vault come from the environment: a new one is made there",
                code="vault.fixed-key",
                hint="PENSTOCK_VAULT_KEY takes several keys, newest first, with commas between them; put 32 random "
                "bytes as base64 in front, then run the same command again.",
            )
        key = Key(_fingerprint(data), data)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a key that another process adds meanwhile must not be lost
            self.keys = [key, *_read_keys(self.path)]
            lines = [base64.b64encode(each.data).decode() for each in self.keys]
            write_private(self.path, "\n".join(lines).encode() + b"\n")
        return key

    def find(self, key_id: str) -> Key | None:
        """Return the key with this id."""
        return next((key for key in self.keys if key.id == key_id), None)


class Vault:
    """The sealed secrets of one workspace, a file each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = settings.folder / ".penstock" / "secrets"

    def put(self, name: str, secret: str) -> None:
        """Seal a secret with the newest key; the first one ever makes the key."""
        ring = KeyRing.open(self._settings)
        self._write(name, secret, ring.keys[0] if ring.keys else ring.add())

    def get(self, name: str) -> str:
        """Open a secret; raises `SettingsError` when it is missing, its key is gone, or it was changed."""
        return self._open(name, KeyRing.open(self._settings))

    def remove(self, name: str) -> None:
        """Delete a secret."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        return sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def rotate(self) -> int:
        """Seal every secret anew: with a new key, or the newest of the environment; returns how many there are.

        Former keys stay in the ring, since other workspaces may need them.
        """
        ring = KeyRing.open(self._settings)
        opened = {name: self._open(name, ring) for name in self.names()}
        newest = ring.keys[0] if ring.path is None and ring.keys else ring.add()
        for name, secret in opened.items():
            self._write(name, secret, newest)
        return len(opened)

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise SettingsError(f"{name!r} cannot name a secret", code="vault.bad-name")
        return self.folder / f"{name}.json"

    def _write(self, name: str, secret: str, key: Key) -> None:
        register_secret(secret)
        nonce = secure_bytes(NONCE_BYTES)
        sealed = AESGCM(key.data).encrypt(nonce, secret.encode(), _bind(name))
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, msgspec.json.encode(_Sealed(key.id, nonce, sealed)))

    def _open(self, name: str, ring: KeyRing) -> str:
        path = self._path(name)
        again = f"Give it again: `penstock connections add {name}` with --replace."
        if not path.is_file():
            raise SettingsError(f"there is no secret of {name}", code="vault.missing", hint=again, where=str(path))
        try:
            held = msgspec.json.decode(path.read_bytes(), type=_Sealed)
            key = ring.find(held.key)
            if key is None:
                raise SettingsError(
                    f"the secret of {name} is locked with the key {held.key}, which is not on this machine",
                    code="vault.other-key",
                    hint=f"Bring that key (PENSTOCK_VAULT_KEY or PENSTOCK_VAULT_KEY_FILE). {again}",
                )
            secret = AESGCM(key.data).decrypt(held.nonce, held.sealed, _bind(name)).decode()
        except (msgspec.DecodeError, InvalidTag, ValueError) as error:
            raise SettingsError(
                f"the secret of {name} is damaged", code="vault.damaged", hint=again, where=str(path)
            ) from error
        register_secret(secret)
        return secret


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, as a whole or not at all."""
    fresh = path.with_name(f"{path.name}.{secure_bytes(6).hex()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read_keys(path: Path) -> list[Key]:
    if not path.is_file():
        return []
    if path.stat().st_mode & 0o077:
        raise SettingsError(
            "the key file of the vault can be read by others", code="vault.key-exposed", hint=f"chmod 600 {path}",
            where=str(path),
        )  # fmt: skip
    return [_read_key(line, str(path)) for line in path.read_text(encoding="ascii", errors="replace").split()]


def _read_key(text: str, origin: str) -> Key:
    register_secret(text.strip())
    try:
        data = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != KEY_BYTES:
        raise SettingsError(
            f"the key of the vault from {origin} is not 32 bytes as base64",
            code="vault.bad-key",
            hint='Make one: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"',
        )
    return Key(_fingerprint(data), data)


def _fingerprint(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=6, person=b"vault-key").hexdigest()


def _bind(name: str) -> bytes:
    return b"penstock secret\x00" + name.encode()
