"""Every setting declared once, and resolved with a trace of where it was looked for."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from penstock.base.errors import SettingsError
from penstock.base.redact import mask_key, register_secret

Kind = Literal["text", "number", "money", "flag", "url"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in files and commands, its environment variable, default and help."""

    name: str
    kind: Kind
    help: str
    env: str
    default: Any = None
    secret: bool = False
    repair: str = ""


def _setting(name: str, kind: Kind, help: str, **rest: Any) -> Setting:
    env = rest.pop("env", "PENSTOCK_" + name.upper().replace(".", "_").replace("-", "_"))
    return Setting(name, kind, help, env, **rest)


SETTINGS: tuple[Setting, ...] = (
    _setting(
        "openai.api-key",
        "text",
        "Key of the OpenAI project.",
        env="OPENAI_API_KEY",
        secret=True,
        repair="export OPENAI_API_KEY=…   (or run in the sandbox: add --sandbox)",
    ),
    _setting(
        "openai.base-url", "url", "Where OpenAI is reached.", env="OPENAI_BASE_URL", default="https://api.openai.com/v1"
    ),
    _setting("openai.organization", "text", "Organisation that calls are billed to.", env="OPENAI_ORG_ID"),
    _setting("openai.project", "text", "Project that calls are billed to.", env="OPENAI_PROJECT_ID"),
    _setting(
        "openai.webhook-secret",
        "text",
        "Secret of the webhook endpoint at OpenAI; while it is rotated, both with a space between.",
        env="OPENAI_WEBHOOK_SECRET",
        secret=True,
    ),
    _setting(
        "openai.admin-key",
        "text",
        "Admin key of the organisation, for `reconcile` and `models limits` only.",
        env="OPENAI_ADMIN_KEY",
        secret=True,
        repair="export OPENAI_ADMIN_KEY=sk-admin-…   (an owner of the organisation makes it; project keys cannot)",
    ),
    _setting("openai.timeout", "number", "Seconds to wait for an answer.", default=120.0),
    _setting("openai.tier", "text", "Usage tier whose limits are assumed until a reply states them.", default="Build"),
    _setting(
        "brevo.api-key",
        "text",
        "Key of the Brevo account.",
        env="BREVO_API_KEY",
        secret=True,
        repair="export BREVO_API_KEY=…   (or run in the sandbox: add --sandbox)",
    ),
    _setting(
        "openai.decisions",
        "flag",
        "Whether the endpoint has the Decisions API; without it answers come as structured output.",
        default=True,
    ),
    _setting("brevo.base-url", "url", "Where Brevo is reached.", default="https://api.brevo.com/v3"),
    _setting("brevo.timeout", "number", "Seconds to wait for an answer.", default=60.0),
    _setting("brevo.key-name", "text", "What Brevo calls the API key; changes that it made are not heard as news."),
    _setting("brevo.webhook-ranges", "text", "Address ranges that Brevo's webhooks come from; empty: from anywhere."),
    _setting(
        "brevo.feedback-event", "text", "Custom event of Brevo that brings feedback.", default="feedback_received"
    ),
    _setting(
        "brevo.reconcile-minutes",
        "number",
        "Minutes between readings that find what no webhook told; 0 for none.",
        default=15.0,
    ),
    _setting(
        "feedback.webhook-secret",
        "text",
        "What senders of feedback sign it with; while it is rotated, both with a space between.",
        secret=True,
    ),
    _setting("images.folder", "text", "Folder of your web server that pictures of campaigns are put into."),
    _setting("images.url", "url", "Public https address of that folder, from which Brevo fetches them."),
    _setting(
        "conversions.api-key",
        "text",
        "Conversions key of the OpenAI ad account; an Advertiser or platform key looks the same and is refused.",
        env="OPENAI_CONVERSIONS_API_KEY",
        secret=True,
        repair="export OPENAI_CONVERSIONS_API_KEY=…   (Ads Manager, Conversions; or run in the sandbox: add --sandbox)",
    ),
    _setting(
        "conversions.pixel-id",
        "text",
        "Pixel ID that events go to; never the source id, which begins with cds_.",
        repair="export PENSTOCK_CONVERSIONS_PIXEL_ID=…   (`penstock events settings` lists them)",
    ),
    _setting("conversions.base-url", "url", "Where the Conversions API is reached.", default="https://bzr.openai.com"),
    _setting("conversions.timeout", "number", "Seconds to wait for an answer.", default=30.0),
    _setting("conversions.action-source", "text", "Where events happened, unless a mapping says so.", default="web"),
    _setting(
        "conversions.integration-source", "text", "Name that OpenAI knows this integration by.", default="penstock"
    ),
    _setting("events.batch-size", "number", "Events that send a batch, 1,000 at most.", default=1000),
    _setting("events.batch-seconds", "number", "Seconds after which the oldest event sends a batch.", default=300.0),
    _setting("events.batch-bytes", "number", "Bytes of events that send a batch.", default=1_000_000),
    _setting("events.in-flight", "number", "Batches under way at once to one Pixel ID.", default=4),
    _setting(
        "events.queue-limit",
        "number",
        "Events that may wait; more are refused, and who sent them keeps them.",
        default=10_000_000,
    ),
    _setting("events.memory-days", "number", "Days in which the same event is recognised and sent once.", default=30.0),
    _setting("events.keep-days", "number", "Days that the body of an event is kept after its end.", default=7.0),
    _setting(
        "ads.api-key",
        "text",
        "Advertiser key of the OpenAI ad account, for set-up and comparison.",
        env="OPENAI_ADS_API_KEY",
        secret=True,
        repair="export OPENAI_ADS_API_KEY=…   (Ads Manager, Settings; or run in the sandbox: add --sandbox)",
    ),
    _setting("ads.base-url", "url", "Where the Ads API is reached.", default="https://api.ads.openai.com/v1"),
    _setting(
        "database-url",
        "text",
        "Where state is kept: a PostgreSQL URL, or empty for a file in the workspace.",
        secret=True,
    ),
    _setting("connection", "text", "Named connection that calls go over.", default="openai"),
    _setting(
        "vault.key",
        "text",
        "Keys of the secrets that the workspace holds, newest first, each 32 bytes as base64; environment only.",
        secret=True,
    ),
    _setting(
        "vault.key-file",
        "text",
        "File with those keys where the environment has none; made when first needed, outside the workspace.",
        default="~/.config/penstock/vault.keys",
    ),
    _setting("model", "text", "Model for judgements and text.", default="gpt-6-luna"),
    _setting("model.embedding", "text", "Model that turns texts into vectors.", default="text-embedding-3-small"),
    _setting("model.image", "text", "Model that draws and edits pictures.", default="gpt-image-2"),
    _setting("model.speech", "text", "Model that reads texts aloud.", default="gpt-4o-mini-tts"),
    _setting("model.transcription", "text", "Model that writes down speech.", default="gpt-transcribe"),
    _setting("model.moderation", "text", "Model that judges harmful content; free.", default="omni-moderation-latest"),
    _setting(
        "replace-ended",
        "flag",
        "Use the named replacement of a model that is shut down, and say so; otherwise that is an error.",
        default=False,
    ),
    _setting("in-flight", "number", "Calls under way at once, at most.", default=64),
    _setting("budget.run", "money", "Dollars that one run may cost."),
    _setting("budget.flow", "money", "Dollars that one flow may cost over all of its runs."),
    _setting("budget.day", "money", "Dollars that one day (UTC) may cost."),
    _setting("budget.month", "money", "Dollars that one month (UTC) may cost."),
    _setting("ask-above", "money", "Ask before a run that is estimated to cost more dollars than this.", default=1.0),
    _setting("answers.keep-days", "number", "Days that answers are kept; empty keeps them until `forget`."),
    _setting("worker", "text", "Name of this worker among several on one PostgreSQL database.", default="main"),
    _setting("sandbox", "flag", "Use the emulated vendors instead of the real ones.", default=False),
    _setting("sandbox-url", "url", "A running `penstock sandbox up`, instead of one inside this process."),
)

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setting's value, where it came from, and every place that was looked at, in order."""

    setting: Setting
    value: Any
    origin: str
    looked: tuple[str, ...]

    def shown(self) -> str:
        """Return the value for people; a secret only as first letters and fingerprint."""
        if self.value is None:
            return "(not set)"
        return mask_key(str(self.value)) if self.setting.secret else str(self.value)


@dataclass(slots=True)
class Settings:
    """Resolves settings: command line, environment, `penstock.toml` of the workspace, default."""

    folder: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _file: dict[str, Any] | None = None

    def resolve(self, name: str) -> Resolved:
        """Look a setting up; raises `SettingsError` for an unknown name or a value of the wrong kind."""
        setting = BY_NAME.get(name)
        if setting is None:
            raise SettingsError(f"there is no setting {name!r}", code="settings.unknown", hint=_nearest(name))
        looked: list[str] = []
        for origin, value in self._places(setting):
            looked.append(origin)
            if value is not None and value != "":
                converted = _convert(setting, value, origin)
                if setting.secret:
                    register_secret(str(converted))
                return Resolved(setting, converted, origin, tuple(looked))
        return Resolved(setting, setting.default, "default", (*looked, "default"))

    def get(self, name: str) -> Any:
        """Return the value, or the default."""
        return self.resolve(name).value

    def require(self, name: str) -> Any:
        """Return the value; raises `SettingsError` that says where it was looked for."""
        found = self.resolve(name)
        if found.value is None:
            places = ", then ".join(found.looked[:-1])
            raise SettingsError(
                f"the setting {name} is missing; looked at {places}",
                code="settings.missing",
                hint=found.setting.repair or f"export {found.setting.env}=…",
            )
        return found.value

    def _places(self, setting: Setting) -> list[tuple[str, Any]]:
        return [
            ("command line", self.overrides.get(setting.name)),
            (f"environment {setting.env}", self.environ.get(setting.env)),
            (f"{self.folder.name or '.'}/penstock.toml", self._from_file(setting)),
        ]

    def _from_file(self, setting: Setting) -> Any:
        if self._file is None:
            self._file = _read_file(self.folder / "penstock.toml")
        whole = self._file.get(setting.name)  # "model.image" in quotes, beside a `model` that is no table
        if whole is not None and not isinstance(whole, dict):
            return whole
        node: Any = self._file
        for part in setting.name.split("."):
            if not isinstance(node, dict):
                return None
            node = node.get(part)
        return None if isinstance(node, dict) else node


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}", where=str(path)) from error


def _convert(setting: Setting, value: Any, origin: str) -> Any:
    try:
        if setting.kind in ("number", "money"):
            return _to_number(value)
        if setting.kind == "flag":
            return _to_flag(value)
        if setting.kind == "url" and not str(value).startswith(("http://", "https://")):
            raise ValueError("a URL starts with https:// or http://")
        return str(value)
    except ValueError as error:
        raise SettingsError(
            f"the setting {setting.name} from {origin} is not a {setting.kind}: {error}",
            hint=f"{setting.help} Change it with {setting.env}=…",
        ) from error


def _to_number(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1e12:  # also refuses NaN
        raise ValueError(f"{value!r} is not between 0 and 10^12")
    return number


def _to_flag(value: Any) -> bool:
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{value!r} is neither yes nor no")


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, BY_NAME, n=1)
    return f"Did you mean {close[0]}?" if close else "`penstock settings show` lists them all."
