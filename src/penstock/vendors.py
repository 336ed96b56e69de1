"""The vendors of one workspace, or their emulators in this process: named connections, opened when first used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.base.addresses import find_public_addresses
from penstock.base.clock import Clock
from penstock.base.errors import InputError, SettingsError
from penstock.base.settings import Settings
from penstock.base.types import Finding
from penstock.runtime import checks
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.connections import Book, Connection
from penstock.runtime.endpoint_check import check_endpoint, label_of
from penstock.runtime.fetch import Fetcher
from penstock.runtime.keys import read_key, read_secret
from penstock.runtime.radar import SANDBOX_HOST
from penstock.vendor.ads import Ads
from penstock.vendor.conversions import Conversions
from penstock.vendor.deployments import Deployments
from penstock.vendor.http import Http
from penstock.vendor.openai import OpenAI

SANDBOX_OPENAI = SANDBOX_HOST
"""Host name of the emulator inside this process: its answers never count as OpenAI's, even in one database."""
SANDBOX_PLAIN = "plain.sandbox"
"""Host name of the emulated server that only copies OpenAI's chat."""
SANDBOX_CONVERSIONS, SANDBOX_ADS = "conversions.sandbox", "ads.sandbox"
SANDBOX_PIXEL = "SandboxPixelId00000001"
"""Pixel ID of the emulated website."""
SANDBOX_BREVO_SCALE = 6.0
"""The emulated account has the limits of Brevo's largest plan, so that a demonstration does not wait for writes."""


def check_sandbox_extra() -> None:
    """Raise `SettingsError` when what the emulators need is not installed."""
    if any(find_spec(name) is None for name in ("vaderSentiment", "uvicorn", "httptools")):
        raise SettingsError(
            "the sandbox is not installed", code="settings.extra", hint="pip install 'penstock[sandbox]'"
        )


class Vendors:
    """Opens connections with the keys and addresses of the settings."""

    def __init__(
        self, settings: Settings, clock: Clock, folder: Path, at_end: Callable[[Callable[[], None]], Any]
    ) -> None:
        """Prepare; `at_end` is given what must be done when the workspace is closed."""
        self.settings = settings
        self.clock = clock
        self.is_sandbox = bool(settings.get("sandbox"))
        self.world: Any = None
        """The emulators' shared world, when they run inside this process."""
        self.account: Any = None
        """State of the emulated Brevo account, when it runs inside this process."""
        self.ad_account: Any = None
        """State of the emulated OpenAI ad account, when it runs inside this process."""
        self.deployments: dict[str, str] = {}
        """Deployments of the emulated Azure, when it runs inside this process."""
        self.http = Http(apps=self._stand_ins(folder, at_end))
        self.book = Book(settings, self._forget)
        self.connections: dict[str, OpenAI] = _Connections(self)
        self._brevo: dict[str, BrevoCaller] = {}
        self._pinned: list[Http] = []

    def _stand_ins(self, folder: Path, at_end: Callable[[Callable[[], None]], Any]) -> dict[str, Any]:
        if not self.is_sandbox or self.settings.get("sandbox-url"):
            return {}
        check_sandbox_extra()
        from penstock.sandbox.brevo import build_brevo_app
        from penstock.sandbox.brevo_limits import BrevoLimits
        from penstock.sandbox.keep import load_account, save_account
        from penstock.sandbox.openai import build_openai_app
        from penstock.sandbox.openai_azure import AzureDoor
        from penstock.sandbox.world import World

        self.world = World(self.clock)
        brevo = build_brevo_app(self.world, limits=BrevoLimits(scale=SANDBOX_BREVO_SCALE))
        self.account = account = brevo.state
        path = folder / ".penstock" / "sandbox-brevo.json"
        load_account(account, path)
        at_end(lambda: save_account(account, path))
        openai = AzureDoor(build_openai_app(self.world, tier=str(self.settings.get("openai.tier"))))
        self.deployments = openai.deployments
        plain = build_openai_app(self.world, plain=True)
        return {
            SANDBOX_OPENAI: openai,
            SANDBOX_PLAIN: plain,
            "api.brevo.com": brevo,
            **self._stand_in_ads(folder, at_end),
        }

    def _stand_in_ads(self, folder: Path, at_end: Callable[[Callable[[], None]], Any]) -> dict[str, Any]:
        from penstock.sandbox.conversions import build_conversions_app
        from penstock.sandbox.conversions_ads import build_ads_app
        from penstock.sandbox.conversions_keep import load_ad_account, save_ad_account

        conversions = build_conversions_app(self.world)
        self.ad_account = account = conversions.state
        path = folder / ".penstock" / "sandbox-ads.json"
        load_ad_account(account, path)
        at_end(lambda: save_ad_account(account, path))
        return {SANDBOX_CONVERSIONS: conversions, SANDBOX_ADS: build_ads_app(account)}

    async def close(self) -> None:
        """Close every pool."""
        for http in (self.http, *self._pinned):
            await http.close()

    def _forget(self, name: str) -> None:
        """Let go of what was opened under a name that now means something else."""
        self.connections.pop(name, None)
        self._brevo.pop(name, None)

    def _stand_in(self, vendor: str, host: str) -> str:
        """Return where an emulator answers: on the served sandbox, or inside this process."""
        url = self.settings.get("sandbox-url")
        return f"{str(url).rstrip('/')}/{vendor}" if url else f"https://{host}"

    def _reach(self, connection: Connection) -> Http:
        """Return the pool for a connection; one from outside keeps to the public addresses that it has now."""
        if not connection.public_only:
            return self.http
        addresses = find_public_addresses(connection.url)
        http = Http(pins={urlsplit(connection.url).hostname or "": addresses[0]})
        self._pinned.append(http)
        return http

    def open_openai(self, name: str = "openai") -> OpenAI:
        """Return a connection that takes operations; raises `SettingsError` when there is none, or no key."""
        connection = self.book.find_for_calls(name)
        names = Deployments({model: own for own, model in connection.models.items()}, connection.api_version)
        timeout = connection.timeout or float(self.settings.get("openai.timeout"))
        if self.is_sandbox:
            return self._open_emulated(connection, names, timeout)
        return OpenAI(
            self._reach(connection),
            read_key(connection, self.settings, self.clock),
            base_url=connection.url,
            organization=connection.organization or None,
            project=connection.project or None,
            timeout=timeout,
            name=name,
            key_header=connection.key_header,
            deployments=names,
        )

    def open_admin(self, name: str = "openai") -> Any:
        """Return the organisation's view at a connection's endpoint; raises `SettingsError` without an admin key."""
        from penstock.vendor.admin import Admin

        connection = self.book.find_for_calls(name)
        if self.is_sandbox:
            return Admin(self.http, "sk-admin-sandbox", base_url=self._stand_in("openai", SANDBOX_OPENAI) + "/v1")
        key = str(self.settings.require("openai.admin-key"))
        return Admin(self._reach(connection), key, base_url=connection.url)

    def _open_emulated(self, connection: Connection, names: Deployments, timeout: float) -> OpenAI:
        """Return the emulator in place of a connection's own endpoint, in the same form."""
        path = "/v1" if connection.kind != "azure" or not connection.api_version else ""
        is_plain = connection.kind == "openai-compatible"
        root = self._stand_in("plain", SANDBOX_PLAIN) if is_plain else self._stand_in("openai", SANDBOX_OPENAI)
        if connection.kind == "azure":
            self.deployments.update(connection.models)
        else:
            names = Deployments()  # the emulator knows models by their own names
        return OpenAI(
            self.http,
            "sk-sandbox",
            base_url=root + path,
            timeout=timeout,
            name=connection.name,
            key_header=connection.key_header,
            deployments=names,
        )

    async def fetch_file(self, url: str, most_bytes: int) -> bytes:
        """Return the file behind a public URL; in the sandbox nothing outside is asked for.

        Raises `InputError` for what cannot be fetched, `UnavailableError` where no answer came.
        """
        if self.is_sandbox:
            raise InputError(
                "the sandbox fetches nothing from outside",
                code="file.not-fetched",
                hint="Give the file itself: a path, base64 or a data URL.",
            )
        return await Fetcher().fetch(url, most_bytes)

    def open_brevo(self, name: str = "brevo") -> BrevoCaller:
        """Return the one paced connection to a Brevo account; raises `SettingsError` when the key is missing."""
        if name not in self._brevo:
            from penstock.vendor.brevo import Brevo

            connection = self._find(name, "brevo")
            client = Brevo(
                self.http,
                "xkeysib-sandbox" if self.is_sandbox else read_secret(connection, self.settings),
                base_url=self._stand_in("brevo", "api.brevo.com") + "/v3" if self.is_sandbox else connection.url,
                timeout=connection.timeout or float(self.settings.get("brevo.timeout")),
            )
            self._brevo[name] = BrevoCaller(client, self.clock)
        return self._brevo[name]

    def open_conversions(
        self, *, name: str = "conversions", pixel_id: str | None = None, api_key: str | None = None
    ) -> Conversions:
        """Return a connection to the Conversions API; an own Pixel ID or key stands over the connection's.

        Raises `SettingsError` when one is missing. The emulator takes any Pixel ID of the right form.
        """
        connection = self._find(name, "conversions")
        return Conversions(
            self.http if self.is_sandbox else self._reach(connection),
            "sk-sandbox" if self.is_sandbox else api_key or read_secret(connection, self.settings),
            pixel_id=self.choose_pixel(pixel_id, name=name),
            base_url=self._stand_in("conversions", SANDBOX_CONVERSIONS) if self.is_sandbox else connection.url,
            timeout=connection.timeout or float(self.settings.get("conversions.timeout")),
        )

    def choose_pixel(self, pixel_id: str | None = None, *, name: str = "conversions") -> str:
        """Return the Pixel ID that is meant: the given one, else the connection's; raises `SettingsError` without."""
        own = pixel_id or self._find(name, "conversions").pixel_id or (SANDBOX_PIXEL if self.is_sandbox else None)
        return own or str(self.settings.require("conversions.pixel-id"))

    def _find(self, name: str, kind: str) -> Connection:
        connection = self.book.find(name)
        if connection.kind != kind:
            raise SettingsError(
                f"the connection {name!r} is of the kind {connection.kind}, not {kind}",
                code="connection.wrong-kind",
                hint="`penstock connections list` shows the kind of each.",
            )
        return connection

    async def check(self, name: str, model: str) -> list[Finding]:
        """Test a connection by a harmless real call and name the fault; `model` is the one that calls would ask.

        Raises `SettingsError` where there is no such connection, or no key for it.
        """
        connection = self.book.find(name)
        if connection.kind == "conversions":
            return await self.check_conversions(name)
        if connection.kind == "brevo":
            from penstock.data.brevo_doctor import check_account

            return await check_account(self.open_brevo(name), label_of(name))
        return await check_endpoint(self.open_openai(name), connection, connection.find_model(model))

    async def check_conversions(self, name: str = "conversions") -> list[Finding]:
        """Look whether events would be taken, and if not, which of the known causes it is; nothing is saved.

        Raises `SettingsError` where key or Pixel ID is missing.
        """
        client = self.open_conversions(name=name)
        kinds: dict[str, Callable[[], Awaitable[object]]] = {}
        if not self.is_sandbox:
            key = read_secret(self._find(name, "conversions"), self.settings)
            kinds["an Advertiser key"] = self.open_ads(api_key=key).account
            kinds["a key of the OpenAI platform"] = partial(OpenAI(self.http, key).get, "/models")
        has_ads = self.is_sandbox or bool(self.settings.get("ads.api-key"))
        pixels = self.open_ads().pixels if has_ads else None
        return await checks.check_conversions(client, self.clock.now(), kinds=kinds, pixels=pixels)

    def open_ads(self, *, api_key: str | None = None) -> Ads:
        """Return the connection to the Ads API; raises `SettingsError` when the Advertiser key is missing."""
        key = "sk-sandbox" if self.is_sandbox else api_key or str(self.settings.require("ads.api-key"))
        url = self._stand_in("ads", SANDBOX_ADS) + "/v1" if self.is_sandbox else str(self.settings.get("ads.base-url"))
        return Ads(self.http, key, base_url=url)


class _Connections(dict[str, OpenAI]):
    """Connections that are opened when they are first used, so that a flow without a call needs no key."""

    def __init__(self, vendors: Vendors) -> None:
        super().__init__()
        self._vendors = vendors

    def __missing__(self, name: str) -> OpenAI:
        self[name] = self._vendors.open_openai(name)
        return self[name]
