"""Token counts and the prompt cache of the emulated OpenAI."""

from __future__ import annotations

import hashlib
import math
import warnings
from array import array
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

from penstock.base.clock import Clock

CHARACTERS_PER_TOKEN = 4.4
_BLOCK = 128
_MINIMUM = 1024
_PIECE = 50_000  # characters; none makes more than four tokens, and the library takes 200,000


class Tokenizer:
    """Counts tokens: o200k ranks when `bpe_openai` is installed and `exact`, else calibrated characters."""

    def __init__(self, *, exact: bool = True) -> None:
        self._encode: Callable[[str], list[int]] | None = None
        if exact:
            self._encode = _load_ranks()

    def count(self, text: str) -> int:
        """Return the number of tokens in a text."""
        if self._encode is None:
            return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
        return len(self._tokens(text))

    def blocks(self, text: str) -> list[bytes]:
        """Cut a text into whole blocks of 128 tokens, as bytes that are equal when the tokens are."""
        if self._encode is None:
            size = round(_BLOCK * CHARACTERS_PER_TOKEN)
            return [text[at : at + size].encode() for at in range(0, len(text) - size + 1, size)]
        tokens = self._tokens(text)
        return [tokens[at : at + _BLOCK].tobytes() for at in range(0, len(tokens) - _BLOCK + 1, _BLOCK)]

    def _tokens(self, text: str) -> array[int]:
        """Encode a text; a very long one in pieces, because the library refuses it as a whole."""
        tokens: array[int] = array("I")
        for at in range(0, len(text), _PIECE):
            tokens.extend(self._encode(text[at : at + _PIECE]) if self._encode else ())
        return tokens


@cache
def _load_ranks() -> Callable[[str], list[int]] | None:
    with warnings.catch_warnings():
        # The package reads its files in a way that Python 3.11 and 3.12 call outdated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import bpe_openai
        except ImportError:
            return None
        found: Callable[[str], list[int]] = bpe_openai.get_encoding("o200k_base").encode_ordinary
        return found


class PromptCache:
    """Remembers prefixes of 1,024 tokens and more, in steps of 128, for 30 minutes or 12 hours."""

    def __init__(self, clock: Clock, *, keep: int = 50_000) -> None:
        self._clock = clock
        self._keep = keep
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def use(self, partition: str, blocks: list[bytes], ttl_seconds: float) -> tuple[int, int]:
        """Return the tokens read from the cache and those written to it, and remember the prefix."""
        if len(blocks) * _BLOCK < _MINIMUM:
            return 0, 0
        now = self._clock.now()
        digest = hashlib.blake2b(partition.encode(), digest_size=16)
        cached = 0
        for index, block in enumerate(blocks):
            digest.update(block)
            if (index + 1) * _BLOCK < _MINIMUM:
                continue
            key = digest.digest()
            if self._until.get(key, 0.0) > now:
                cached = (index + 1) * _BLOCK
            self._until[key] = max(now + ttl_seconds, self._until.get(key, 0.0))
            self._until.move_to_end(key)
        while len(self._until) > self._keep:
            self._until.popitem(last=False)
        return cached, len(blocks) * _BLOCK - cached
