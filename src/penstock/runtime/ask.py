"""A paid request before it is sent, and the answer to it: the values that pass through `runtime.call`."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import msgspec

from penstock.base.types import Money, Usage

_encoder = msgspec.json.Encoder(order="sorted")


class Ask(msgspec.Struct, frozen=True, dict=True):
    """One paid request: what is asked, of which model, and the worst that it can use."""

    operation: str
    version: int
    path: str
    model: str
    body: dict[str, Any]
    prompt_tokens: int
    max_output_tokens: int = 0
    likely_output_tokens: int = 0
    """What an answer usually takes, for estimates."""
    connection: str = "openai"
    tier: str = "default"

    @cached_property
    def content(self) -> bytes:
        """The request body in one canonical form: what is sent is what is addressed."""
        return _encoder.encode(self.body)

    @property
    def price_list(self) -> str:
        """Which prices hold: those of the Decisions API, or those of the model."""
        return "decide" if self.path == "/decisions" else ""

    def address(self, account: str) -> bytes:
        """Return the 16-byte address of the answer: operation, version, request and account."""
        known: tuple[str, bytes] | None = self.__dict__.get("_address")
        if known is None or known[0] != account:
            known = self.__dict__["_address"] = (account, self._digest(account))
        return known[1]

    def _digest(self, account: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{account}\n{self.operation}\n{self.version}\n{self.path}\n{self.tier}\n".encode())
        digest.update(self.content)
        return digest.digest()


class Answer(msgspec.Struct, frozen=True):
    """What came back: the decoded body, its usage and cost, who really served it, and whether it was held already."""

    content: Any
    usage: Usage
    cost: Money | None
    model: str
    tier: str
    request_id: str
    at: float
    cached: bool = False
