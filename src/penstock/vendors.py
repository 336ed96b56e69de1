"""The vendors of one workspace, or their emulators in this process: HTTP, OpenAI and Brevo, opened when first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from penstock.base.clock import Clock
from penstock.base.errors import SettingsError
from penstock.base.settings import Settings
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.vendor.ads import Ads
from penstock.vendor.conversions import Conversions
from penstock.vendor.http import Http
from penstock.vendor.openai import OpenAI

SANDBOX_OPENAI = "openai.sandbox"
"""Host name of the emulator inside this process: its answers never count as OpenAI's, even in one database."""
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
        self.http = Http(apps=self._stand_ins(folder, at_end))
        self.connections: dict[str, OpenAI] = _Connections(self)
        self._brevo: BrevoCaller | None = None

    def _stand_ins(self, folder: Path, at_end: Callable[[Callable[[], None]], Any]) -> dict[str, Any]:
        if not self.is_sandbox or self.settings.get("sandbox-url"):
            return {}
        check_sandbox_extra()
        from penstock.sandbox.brevo import build_brevo_app
        from penstock.sandbox.brevo_limits import BrevoLimits
        from penstock.sandbox.keep import load_account, save_account
        from penstock.sandbox.openai import build_openai_app
        from penstock.sandbox.world import World

        self.world = World(self.clock)
        brevo = build_brevo_app(self.world, limits=BrevoLimits(scale=SANDBOX_BREVO_SCALE))
        self.account = account = brevo.state
        path = folder / ".penstock" / "sandbox-brevo.json"
        load_account(account, path)
        at_end(lambda: save_account(account, path))
        openai = build_openai_app(self.world, tier=str(self.settings.get("openai.tier")))
        return {SANDBOX_OPENAI: openai, "api.brevo.com": brevo, **self._stand_in_ads(folder, at_end)}

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

    def _address(self, vendor: str, real: str, stand_in: str) -> str:
        url = self.settings.get("sandbox-url")
        if not self.is_sandbox:
            return str(self.settings.get(real))
        return f"{str(url).rstrip('/')}/{vendor}" if url else stand_in

    def open_openai(self) -> OpenAI:
        """Return the connection to OpenAI; raises `SettingsError` when the key is missing."""
        is_real = not self.is_sandbox
        return OpenAI(
            self.http,
            str(self.settings.require("openai.api-key")) if is_real else "sk-sandbox",
            base_url=self._address("openai/v1", "openai.base-url", f"https://{SANDBOX_OPENAI}/v1"),
            organization=self.settings.get("openai.organization") if is_real else None,
            project=self.settings.get("openai.project") if is_real else None,
            timeout=float(self.settings.get("openai.timeout")),
        )

    def open_brevo(self) -> BrevoCaller:
        """Return the one paced connection to Brevo; raises `SettingsError` when the key is missing."""
        if self._brevo is None:
            from penstock.vendor.brevo import Brevo

            client = Brevo(
                self.http,
                "xkeysib-sandbox" if self.is_sandbox else str(self.settings.require("brevo.api-key")),
                base_url=self._address("brevo/v3", "brevo.base-url", "https://api.brevo.com/v3"),
                timeout=float(self.settings.get("brevo.timeout")),
            )
            self._brevo = BrevoCaller(client, self.clock)
        return self._brevo

    def open_conversions(self, *, pixel_id: str | None = None, api_key: str | None = None) -> Conversions:
        """Return the connection to the Conversions API; an own Pixel ID or key stands over the setting.

        Raises `SettingsError` when one is missing. The emulator takes any Pixel ID of the right form.
        """
        default = SANDBOX_PIXEL if self.is_sandbox else None
        return Conversions(
            self.http,
            "sk-sandbox" if self.is_sandbox else api_key or str(self.settings.require("conversions.api-key")),
            pixel_id=pixel_id or default or str(self.settings.require("conversions.pixel-id")),
            base_url=self._address("conversions", "conversions.base-url", f"https://{SANDBOX_CONVERSIONS}"),
            timeout=float(self.settings.get("conversions.timeout")),
        )

    def open_ads(self, *, api_key: str | None = None) -> Ads:
        """Return the connection to the Ads API; raises `SettingsError` when the Advertiser key is missing."""
        key = "sk-sandbox" if self.is_sandbox else api_key or str(self.settings.require("ads.api-key"))
        return Ads(self.http, key, base_url=self._address("ads/v1", "ads.base-url", f"https://{SANDBOX_ADS}/v1"))


class _Connections(dict[str, OpenAI]):
    """Connections that are opened when they are first used, so that a flow without a call needs no key."""

    def __init__(self, vendors: Vendors) -> None:
        super().__init__()
        self._vendors = vendors

    def __missing__(self, name: str) -> OpenAI:
        if name != "openai":
            raise KeyError(name)
        self[name] = self._vendors.open_openai()
        return self[name]
