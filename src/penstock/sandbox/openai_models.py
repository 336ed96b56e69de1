"""What the emulated OpenAI knows of its models; the facts are in `openai_models.json` (compiled 2026-11-20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from penstock.sandbox.limits import Limit

DEFAULT_LIMITS = {
    "Build": Limit(rpm=5_000, tpm=1_000_000, batch_tokens=1_500_000),
    "Launch": Limit(rpm=10_000, tpm=4_000_000, batch_tokens=100_000_000),
    "Grow": Limit(rpm=15_000, tpm=40_000_000, batch_tokens=15_000_000_000),
}
"""Limits of a model whose own are not published: those of the GPT-6 pages (2026-10/11), and gpt-5.4's for batches."""


class Model(msgspec.Struct, frozen=True):
    """One model: where it is served, how much it takes, which parameters it refuses, and when it ends."""

    id: str
    kind: str
    apis: tuple[str, ...]
    snapshots: dict[str, str | None] = {}
    released: str | None = None
    shutdown: str | None = None
    context_window: int = 0
    max_input_tokens: int = 0
    max_output_tokens: int = 0
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    sampling: Literal["yes", "no", "effort-none"] = "yes"
    stop: bool = True
    strict_json: bool = True
    chat_tools: Literal["any", "effort_none_only", "responses_only"] = "any"
    chat_max_tokens: bool = False
    dimensions: int = 0
    can_shorten: bool = False
    limits: dict[str, Limit] = {}

    @property
    def family(self) -> tuple[int, int]:
        """Return the GPT generation, such as (5, 6); (0, 0) for others."""
        head = self.id.removeprefix("gpt-").split("-")[0]
        parts = head.split(".")
        if not self.id.startswith("gpt-") or not all(part.isdigit() for part in parts):
            return (0, 0)
        return int(parts[0]), int(parts[1]) if len(parts) > 1 else 0

    @property
    def writes_cache(self) -> bool:
        """Tell whether cache writes are reported and billed (5.6 and newer)."""
        return self.family >= (5, 6)

    @property
    def sees_images(self) -> bool:
        """Tell whether it takes images (o3-mini, gpt-4 and gpt-3.5-turbo read text only)."""
        return self.id not in ("o3-mini", "gpt-4", "gpt-3.5-turbo")

    @property
    def has_flex(self) -> bool:
        """Tell whether the flex tier serves it (o3, and gpt-5 or newer)."""
        return self.kind == "chat" and (self.id in ("o3", "o4-mini") or self.family >= (5, 0))


class Models:
    """The models of the emulated service, by name and by date."""

    def __init__(self, models: list[Model]) -> None:
        self.all = models
        self._by_name = {name: model for model in models for name in (model.id, *model.snapshots)}

    def find(self, name: str, now: float) -> Model | None:
        """Return the model that answers to `name` at that time; None when unknown or shut down."""
        model = self._by_name.get(name)
        return None if model is None or self.is_shut_down(model, name, now) else model

    def retired_on(self, name: str) -> str | None:
        """Return the last day of a known model or snapshot; None for an unknown or undated one."""
        model = self._by_name.get(name)
        return self.shutdown_of(model, name) if model else None

    def shutdown_of(self, model: Model, name: str) -> str | None:
        """Return the announced last day of a model or snapshot."""
        return model.snapshots.get(name) or model.shutdown

    def is_shut_down(self, model: Model, name: str, now: float) -> bool:
        """Tell whether the name is past its shutdown date (UTC)."""
        shutdown = self.shutdown_of(model, name)
        return shutdown is not None and datetime.fromtimestamp(now, UTC).date().isoformat() >= shutdown

    def limits(self, tier: str) -> Mapping[str, Limit]:
        """Return the limits per model of a usage tier, or of the nearest lower one that is published."""
        tiers = list(DEFAULT_LIMITS)
        lower = tiers[: tiers.index(tier) + 1]
        found = {}
        for model in self.all:
            known = [model.limits[name] for name in lower if name in model.limits]
            own = known[-1] if known else DEFAULT_LIMITS[tier]
            found[model.id] = msgspec.structs.replace(own, batch_tokens=DEFAULT_LIMITS[tier].batch_tokens)
        return found


def load_models() -> Models:
    """Read the facts that come with the package."""
    raw = Path(__file__).with_name("openai_models.json").read_bytes()
    return Models(msgspec.json.decode(raw, type=list[Model]))
