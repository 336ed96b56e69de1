"""What a run, a page and a plan work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.base.clock import Clock
from penstock.base.types import Sink, SnapshotSink, Source
from penstock.flows.model import Target
from penstock.flows.roads import Road
from penstock.operations.declare import ModelChoice
from penstock.operations.files import Fetch
from penstock.runtime.call import Caller
from penstock.runtime.modes import Ways
from penstock.vendor.models import Limits

PAGE = 500
"""Records of one page: the unit that is kept and resumed."""


@dataclass(slots=True)
class Bench:
    """What a run works with, wired by the workspace."""

    clock: Clock
    caller: Caller
    choice: ModelChoice
    source: Source
    joins: dict[str, Source]
    sinks: list[tuple[Target, Sink | SnapshotSink]]
    ways: Ways
    in_flight: int = 64
    limits: Limits = field(default_factory=Limits)
    """What is assumed of the vendor's limits, for estimates."""
    others: Mapping[str, ModelChoice] = field(default_factory=dict)
    """Which model answers where a step's operation is of another kind than text, by kind."""
    road: Road | None = None
    """How answers are bought, None for at once."""
    fetch: Fetch | None = None
    """What gets files behind URLs."""
    is_whole: bool = False
    """Whether unchanged records are read too, where the source could leave them out."""
