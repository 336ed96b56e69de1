"""What is kept of runs: counts, items, effects, dead letters, and everything that a page comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.base.types import Problem, Source
from penstock.flows.model import Flow

_encode = msgspec.json.Encoder(order="sorted").encode


class Counts(msgspec.Struct):
    """What became of the records of one run; every record read is in exactly one of the first eight."""

    unchanged: int = 0
    judged: int = 0
    filtered: int = 0
    duplicates: int = 0
    """Records that say again what another one with the same key says."""
    objected: int = 0
    """Records of people who object to this use of their data."""
    forgotten: int = 0
    """Records of people who were forgotten."""
    failed: int = 0
    rejected: int = 0
    """Rows that could not even be read."""
    pages: int = 0
    calls: int = 0
    cached: int = 0
    """Answers that were held already and cost nothing."""
    cost: int = 0
    saved: int = 0
    """What the held answers had cost when they were bought."""
    tokens: int = 0
    planned: int = 0
    """Writes that differ from what the target holds."""
    written: int = 0
    refused: int = 0
    """Writes that the target will never take."""
    expired: int = 0
    """Results that were too old to count: judged anew, or contacts whose values are cleared."""

    def __add__(self, other: Counts) -> Counts:
        names = self.__struct_fields__
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def read(self) -> int:
        """Records and broken rows that the source gave."""
        left_out = self.filtered + self.duplicates + self.objected + self.forgotten
        return self.unchanged + self.judged + left_out + self.failed + self.rejected


class Position(msgspec.Struct):
    """Where the source goes on, and what was counted up to there."""

    source: dict[str, Any] | None
    counts: Counts


class RunRow(msgspec.Struct):
    """One run of a flow."""

    id: str
    flow: str
    definition_hash: str
    path: str
    source: str
    state: str
    session: str
    started_at: float
    ended_at: float | None
    position: Position | None
    counts: Counts
    problem: str

    def is_of(self, flow: Flow, source: Source) -> bool:
        """Tell whether the run was started with this flow as it is now, on this source."""
        return (self.definition_hash, self.source) == (flow.hash, source.identity())


class Item(msgspec.Struct, frozen=True):
    """What is known of one record: the fingerprint of each step and the result of each."""

    key: str
    owner: str
    fingerprint: bytes
    state: str
    output: dict[str, Any]
    dated: float | None
    answers: str
    place: str
    run: str = ""
    """The run that judged it."""
    at: float = 0.0
    """When it was judged."""
    made: dict[str, str] = {}
    """By step, what made the result: operation and version, a bar, the model."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter: what failed, where, why, and the record to try again."""

    id: int
    run: str
    stage: str
    key: str
    place: str
    problem: Problem
    record: dict[str, Any]
    at: float


class Effect(msgspec.Struct, frozen=True):
    """One intended write: `wanted` is the hash of match and fields."""

    kind: str
    target: str
    match: dict[str, Any]
    fields: dict[str, Any]
    wanted: bytes
    confirmed_fields: dict[str, Any] | None = None
    state: str = "planned"
    attempts: int = 0
    problem: str = ""
    is_first: bool = False
    """Whether nothing was ever sent to this target, as known when it is about to be sent."""

    @property
    def is_removal(self) -> bool:
        """Tell whether it takes a contact off our lists; nothing is to be done for one who was never put on any."""
        return self.kind == "list" and not self.fields.get("member")

    @property
    def is_clearing(self) -> bool:
        """Tell whether it only takes away what was written before."""
        return self.is_removal or (
            self.kind in ("attributes", "row") and all(value is None for value in self.fields.values())
        )


class PlannedWrites(msgspec.Struct, frozen=True):
    """What a page makes one sink hold.

    `make` is called inside the transaction with the kept results of `owners`; it returns
    effects, and letters about what cannot be built.
    """

    sink: str
    owners: list[str]
    make: Callable[[dict[str, list[Item]]], tuple[list[Effect], list[Letter]]]
    objected: list[Effect] = []
    """What the targets of people who object would be without our values."""
    is_clearing: bool = False
    """Whether those values are taken away, or only nothing more is written."""


class FinishedPage(msgspec.Struct, frozen=True):
    """Everything that a page comes to."""

    run: str
    items: list[Item]
    letters: list[Letter]
    writes: list[PlannedWrites]
    at: float


def hash_effect(match: dict[str, Any], fields: dict[str, Any]) -> bytes:
    """Return the hash that tells whether a target already holds this."""
    return hashlib.blake2b(_encode([match, fields]), digest_size=16).digest()
