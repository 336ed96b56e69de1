"""A paid-call path that makes vectors by itself, refuses what a vendor would, and keeps what it sold by text."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable

from penstock.base.errors import PenstockError, RejectedError
from penstock.base.types import Usage
from penstock.operations.declare import ModelChoice
from penstock.operations.parcels import MOST_INPUTS, MOST_TOKENS
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.refusals import refused_parameter
from penstock.runtime.vectors import Held
from penstock.vendor.models import load_catalogue
from penstock.vendor.tokens import count_tokens

SMALL = "text-embedding-3-small"


def choose(model: str = SMALL, **rest: object) -> ModelChoice:
    return ModelChoice(load_catalogue().find(model), **rest)


def vector_of(text: str, size: int = 2) -> bytes:
    """The one vector of a text, as bytes of finite numbers."""
    return b"".join(
        b"\0" + hashlib.blake2b(f"{at} {text}".encode(), digest_size=2).digest() + b"\x3f" for at in range(size)
    )


def refuse(
    text: str = "bad input", status: int = 400, param: str = "input", code: str = "openai.rejected"
) -> RejectedError:
    return RejectedError(text, code=code, status=status, param=param)


class Vendor:
    """`fault` says for the texts of a call which error it ends with, `chance` how calls overtake each other."""

    def __init__(
        self,
        fault: Callable[[list[str]], PenstockError | None] = lambda _: None,
        chance: random.Random | None = None,
        size: int = 2,
        model: str = SMALL,
    ) -> None:
        self.fault = fault
        self.chance = chance
        self.size = size
        self.model = model
        self.sold: list[list[str]] = []
        self.refusals = 0
        self.known: set[str] = set()
        self.held: dict[str, Held] = {}
        self.under_way = self.most_under_way = 0
        self.asked: list[Ask] = []

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        texts = ask.body["input"]
        tokens = [count_tokens(text, SMALL) for text in texts]
        assert 0 < len(texts) <= MOST_INPUTS
        assert sum(tokens) <= MOST_TOKENS
        assert ask.prompt_tokens == sum(tokens)
        self.asked.append(ask)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        for _ in range(self.chance.randint(0, 20) if self.chance else 1):
            await asyncio.sleep(0)
        self.under_way -= 1
        error = self.fault(texts)
        if error is not None:
            self.refusals += 1
            raise error
        self.sold.append(texts)
        rows = [vector_of(text, self.size) for text in texts]
        self.held |= {text: Held(row, self.model, 1) for text, row in zip(texts, rows, strict=True)}
        return Answer(rows, Usage(sum(tokens)), sum(tokens), self.model, "default", "req_1", 0.0)

    async def recall(self, ask: Ask) -> list[Held | None]:
        return [self.held.get(text) for text in ask.body["input"]]

    def refused(self, ask: Ask) -> frozenset[str]:
        return frozenset(self.known)

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        parameter = refused_parameter(error)
        self.known |= {parameter} - {""}
        return parameter


def bad_among(bad: Iterable[str]) -> Callable[[list[str]], PenstockError | None]:
    """Refuse a call when one of its texts is bad."""
    known = set(bad)
    return lambda texts: refuse() if known.intersection(texts) else None
