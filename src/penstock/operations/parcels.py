"""Texts on their way into embeddings calls: checked, counted, and packed to the vendor's three limits.

Limits: contract of 2026-11-20, section 2.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from penstock.base.errors import InputError, PenstockError
from penstock.operations.declare import ModelChoice
from penstock.runtime.ask import Ask
from penstock.vendor.models import Model
from penstock.vendor.tokens import count_tokens, is_exact

VERSION = 1
MOST_INPUTS, MOST_TOKENS = 2048, 300_000
"""Texts and tokens of one call."""
_ESTIMATED_SHARE = 0.75
"""How full a call is made where tokens are only estimated; a call that is too large all the same is split."""


class Room(NamedTuple):
    """How much goes into one call."""

    inputs: int
    tokens: int


class Item:
    """One text: its tokens, the number of the call that it travels in, and what became of it."""

    __slots__ = ("data", "error", "parcel", "text", "tokens")

    def __init__(self, text: str, tokens: int = 0) -> None:
        self.text = text
        self.tokens = tokens
        self.parcel = 0
        self.data: bytes | None = None
        self.error: PenstockError | None = None


class Packer:
    """Fills calls with texts in their order; true while a call is partly filled. `number` is that call's, from 1 on."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._items: list[Item] = []
        self._tokens = 0
        self.number = 1

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Item) -> list[Item]:
        """Put a text into the call that is being filled; returns a call that is full because of it, or nothing."""
        full: list[Item] = []
        if self._items and (len(self._items) >= self._room.inputs or self._tokens + item.tokens > self._room.tokens):
            full = self.take()
        self._items.append(item)
        self._tokens += item.tokens
        item.parcel = self.number
        return full

    def take(self) -> list[Item]:
        """Return the call as far as it is filled, and begin the next one."""
        items, self._items, self._tokens = self._items, [], 0
        self.number += 1
        return items


def choose_room(choice: ModelChoice) -> Room:
    """Return how full a call is made, which depends on how well tokens can be counted here."""
    share = 1.0 if _counts_exactly(choice.model) else _ESTIMATED_SHARE
    return Room(MOST_INPUTS, int(MOST_TOKENS * share))


def check_text(item: Item) -> None:
    """Note why a text can never be embedded, if that is so."""
    text: Any = item.text  # rows of real data hold anything
    if not isinstance(text, str):
        item.error = InputError(
            f"a {type(text).__name__} is no text", code="embed.no-text", hint="Give texts, or leave it out."
        )
    elif not text:
        item.error = InputError(
            "an empty text has no vector", code="embed.empty-text", hint="Leave out records without a text."
        )
    elif not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            item.error = InputError(
                "the text holds half of a character",
                code="embed.bad-text",
                hint="Read the file as UTF-8, or cut the text elsewhere.",
            )


def measure(item: Item, choice: ModelChoice) -> None:
    """Count the tokens of a text; note when it is certainly too long for the model."""
    item.tokens = count_tokens(item.text, choice.model.id)
    most = choice.model.max_input_tokens
    if most is not None and item.tokens > most and _counts_exactly(choice.model):
        item.error = InputError(
            f"the text has {item.tokens:,} tokens, {choice.model.id} takes {most:,}",
            code="embed.too-long",
            hint="Split it, or embed a summary of it.",
        )


def _counts_exactly(model: Model) -> bool:
    return model.known and is_exact()


def make_ask(
    choice: ModelChoice, texts: Sequence[str], tokens: int, dimensions: int | None, refused: frozenset[str]
) -> Ask:
    """Return the request for the vectors of some texts, without the parameters that are refused.

    Raises `InputError` when the choice is strict and the model has a fixed size.
    """
    model = choice.model
    body = {"model": model.id, "input": list(texts), "encoding_format": "base64", "dimensions": dimensions}
    is_fixed = model.known and not model.id.startswith("text-embedding-3-")
    warnings: tuple[str, ...] = ()
    if dimensions is not None and (is_fixed or "dimensions" in refused):
        if choice.strict:
            raise InputError(
                f"dimensions: {model.id} has a fixed size",
                code="embed.fixed-size",
                hint="Leave it out, or use text-embedding-3-small.",
            )
        warnings = (f"dimensions: {model.id} has a fixed size; they were left out",)
        body["dimensions"] = None
    if "encoding_format" in refused:  # the vectors then come as numbers, which are the same
        body["encoding_format"] = None
    return Ask(
        "embed",
        VERSION,
        "/embeddings",
        model.id,
        {name: value for name, value in body.items() if value is not None},
        tokens,
        connection=choice.connection,
        reply="vectors",
        warnings=warnings,
    )
