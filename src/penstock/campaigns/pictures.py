"""Where pictures lie so that Brevo can fetch them: a folder of the merchant's own web server, or the sandbox."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from penstock.base.errors import SettingsError, StoppedError, UnavailableError
from penstock.data.brevo_images import Publish
from penstock.vendors import Vendors

SANDBOX_SITE = "https://pictures.sandbox.example"


def make_publish(vendors: Vendors) -> Publish:
    """Return what puts a file where Brevo can fetch it; raises `SettingsError` when used while no place is set."""

    async def publish(name: str, content: bytes) -> str:
        if vendors.is_sandbox:
            return await _give_to_sandbox(vendors, name, content)
        folder, url = vendors.settings.get("images.folder"), vendors.settings.get("images.url")
        if not folder or not url:
            raise SettingsError(
                "Brevo fetches pictures from a public address, and no place for them is set",
                code="settings.missing",
                hint="export PENSTOCK_IMAGES_FOLDER=/var/www/shop/mail PENSTOCK_IMAGES_URL=https://shop.example/mail",
            )
        _write(Path(str(folder)), name, content)
        return f"{str(url).rstrip('/')}/{name}"

    return publish


def _write(folder: Path, name: str, content: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)
    except OSError as error:
        raise StoppedError(
            f"the picture cannot be written to {folder}: {error.strerror}",
            code="images.not-written",
            hint="Set images.folder to a folder that this user may write to.",
        ) from error


async def _give_to_sandbox(vendors: Vendors, name: str, content: bytes) -> str:
    """Tell the emulated Brevo what it would find at an address: it fetches nothing from outside."""
    url = f"{SANDBOX_SITE}/{name}"
    if vendors.account is not None:
        vendors.account.hosted[url] = content
        return url
    body = msgspec.json.encode({"url": url, "content": base64.b64encode(content).decode()})
    address = f"{str(vendors.settings.get('sandbox-url')).rstrip('/')}/_sandbox/brevo/hosted"
    reply = await vendors.http.send("POST", address, headers={"content-type": "application/json"}, body=body)
    if reply.status >= 300:
        raise UnavailableError("the sandbox took no picture", code="sandbox.refused", status=reply.status)
    return url
