"""An event in the making: what was found so far, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from penstock.base.errors import MappingError
from penstock.events.mapped import Refusal


class Draft:
    """Collects the parts of one event; each problem names its field and never the value."""

    __slots__ = ("clear", "refusals", "traces", "user", "warnings")

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.warnings: list[str] = []
        self.traces: dict[str, str] = {}
        self.user: dict[str, Any] = {}
        self.clear: list[str] = []
        """Identifiers as they were given: they must not turn up anywhere in the event."""

    def refuse(self, field: str, error: MappingError) -> None:
        """Note that there can be no event."""
        self.refusals.append(Refusal(error.code, field, f"{field} {error.message}", error.hint))

    def warn(self, field: str, error: MappingError) -> None:
        """Note that a value is left out."""
        hint = f" {error.hint}" if error.hint else ""
        self.warnings.append(f"{field} {error.message}; it is left out [{error.code}]{hint}")
