"""What a request to the emulated OpenAI measures: its size, what the limiter charges, and the usage that is billed."""

from __future__ import annotations

from typing import Any

from penstock.base.clock import Clock
from penstock.base.types import Usage
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.prompt import Prompt
from penstock.sandbox.tokens import PromptCache, Tokenizer

_HALF_HOUR = 1_800.0
_HALF_DAY = 43_200.0


class Meter:
    """Counts tokens and keeps the prompt cache of one emulated service."""

    def __init__(self, clock: Clock, *, fast: bool) -> None:
        self.tokenizer = Tokenizer(exact=not fast)
        self._cache = PromptCache(clock)
        self._fast = fast

    def count(self, prompt: Prompt) -> int:
        """Count a prompt: its text, four tokens around each message, three at the end, 85 for an image."""
        return self.tokenizer.count(prompt.text) + 4 * prompt.messages + 3 + 85 * prompt.images

    def check_size(self, prompt: Prompt, model: Model, limit: int | None, *, can_cut: bool = False) -> None:
        """Refuse what does not fit the context; with `can_cut`, the service shortens it instead."""
        most = model.max_input_tokens or model.context_window
        if can_cut or not most or len(prompt.text) + (limit or 0) < most:
            return
        tokens = self.count(prompt)
        if tokens > most or tokens + (limit or 0) > model.context_window:
            text = (
                f"This model's maximum context length is {model.context_window} tokens, of which at most {most} may be "
                f"input. However, your input has {tokens} tokens and {limit or 0} were asked for as output."
            )
            raise ApiError(400, text, code="context_length_exceeded", param="input")

    def usage(self, prompt: Prompt, body: dict[str, Any], model: Model, visible: int, reasoning: int = 0) -> Usage:
        """Return what a call used; prefixes of 1,024 tokens and more come from the cache the second time."""
        counted = self.count(prompt)
        cached = written = 0
        options = body.get("prompt_cache_options") or {}
        if counted >= 1024 and not self._fast and options.get("mode") != "explicit":
            partition = f"{model.id}\n{body.get('prompt_cache_key') or ''}"
            seconds = _HALF_DAY if options.get("ttl") == "12h" else _HALF_HOUR
            cached, written = self._cache.use(partition, self.tokenizer.blocks(prompt.text), seconds)
        copies = body.get("n") or 1
        return Usage(
            input=counted,
            cached=cached,
            cache_write=written if model.writes_cache else 0,
            output=(visible + reasoning) * copies,
            reasoning=reasoning * copies,
        )


def charge_of(prompt: Prompt, limit: int | None, copies: int = 1) -> int:
    """Return what the limiter charges when the request comes in: characters / 4, and the most that may be written."""
    return len(prompt.text) // 4 + (limit or 0) * copies
