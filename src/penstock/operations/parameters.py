"""One set of wishes for every text model, translated to what the model and the endpoint take.

What cannot be honoured is refused when the call is strict, otherwise left out or replaced with
a warning; nothing is lost silently. Rules: parameter matrix of November 2026 in the catalogue,
and what the vendor's own 400s taught (`ModelChoice.refused`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import AliasChoices, Field

from penstock.base.errors import InputError
from penstock.operations.declare import Fields, ModelChoice
from penstock.vendor.models import Model
from penstock.vendor.tokens import is_exact

Api = Literal["responses", "chat"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

HEAD_ROOM = {"none": 0, "minimal": 300, "low": 800, "medium": 2500, "high": 8000, "xhigh": 16_000, "max": 32_000}
"""Tokens added for reasoning, which is charged as output and hidden: too few leave no visible text."""

_SAMPLING = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_CHAT_ONLY = ("frequency_penalty", "presence_penalty", "seed")


class Wishes(Fields):
    """How an answer is wished, whichever model gives it."""

    max_tokens: int = Field(default=800, ge=1, validation_alias=AliasChoices("max_tokens", "max_output_tokens"))
    """Longest visible answer, in tokens; room for reasoning is added."""
    effort: str | None = Field(default=None, examples=list(EFFORTS))
    """How long the model may think: none, minimal, low, medium, high, xhigh or max; empty takes the least it allows."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Randomness, for models that still accept it; where effort none is the condition, that is set too."""
    top_p: float | None = Field(default=None, ge=0, le=1)
    """Share of the likeliest words to choose from, for models that still accept it."""
    stop: list[str] = Field(default=[], max_length=4, validation_alias=AliasChoices("stop", "stop_sequence"))
    """Texts at which the answer ends, up to four; where the model does not take them, the answer is cut here."""
    verbosity: Literal["low", "medium", "high"] | None = None
    """How wordy the answer may be, for models that know it."""
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    """Against repeating words; Chat Completions only."""
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    """Against repeating subjects; Chat Completions only."""
    seed: int | None = None
    """Makes answers alike from call to call, for models that know it; Chat Completions only."""
    suffix: str = ""
    """Text that will follow the answer; said to the model in words, because no live model takes it as a parameter."""


class Translated(msgspec.Struct, frozen=True):
    """What is sent for some wishes: parts of the body, the token limit, and what was not honoured as wished."""

    body: dict[str, Any]
    limit: int
    effort: str | None
    instructions: str
    warnings: tuple[str, ...]


class _Work:
    """One translation under way."""

    def __init__(self, wishes: Wishes, choice: ModelChoice, api: Api) -> None:
        self.wishes = wishes
        self.choice = choice
        self.model = choice.model
        self.api = api
        self.body: dict[str, Any] = {}
        self.warnings: list[str] = []

    def give_up(self, name: str, why: str, instead: str) -> None:
        """Refuse a wish that cannot be honoured, or say what happens instead."""
        if self.choice.strict:
            raise InputError(
                f"{name} cannot be honoured: {why}",
                code="parameters.not-taken",
                hint=f"Leave {name} out, choose another model, or call without strict: {instead}.",
            )
        self.warnings.append(f"{name}: {why}; {instead}")

    def is_refused(self, *names: str) -> bool:
        """Tell whether the vendor was seen to refuse one of these parameters."""
        return any(name in self.choice.refused for name in names)


def translate(wishes: Wishes, choice: ModelChoice, api: Api) -> Translated:
    """Return what is sent for `wishes`; raises `InputError` for what a strict call cannot honour."""
    work = _Work(wishes, choice, api)
    effort = _translate_effort(work)
    _translate_sampling(work, effort)
    _translate_stop(work)
    _translate_verbosity(work)
    limit = _translate_limit(work, effort)
    return Translated(work.body, limit, effort, _translate_suffix(work), tuple(work.warnings))


def _wants_sampling(wishes: Wishes) -> bool:
    return any(getattr(wishes, name) is not None for name in _SAMPLING)


def _translate_effort(work: _Work) -> str | None:
    model, wanted = work.model, work.wishes.effort
    if wanted is not None and wanted not in EFFORTS:
        raise InputError(f"{wanted!r} is no effort", code="parameters.effort", hint=f"There are: {', '.join(EFFORTS)}.")
    if work.is_refused("reasoning", "reasoning.effort", "reasoning_effort"):
        if wanted is not None:
            work.give_up("effort", f"{model.id} refused it", "left out")
        return None
    taken = model.chat_efforts if work.api == "chat" else model.efforts
    if not model.known:  # another server's model: its rules are its own
        effort = wanted
    elif wanted is None:
        effort = min(taken, key=EFFORTS.index, default=None)
    elif wanted in taken:
        effort = wanted
    elif not taken:
        work.give_up("effort", f"{model.id} does not reason", "left out")
        effort = None
    else:
        effort = min(taken, key=lambda one: abs(EFFORTS.index(one) - EFFORTS.index(wanted)))
        work.give_up("effort", f"{model.id} does not take {wanted}", f"{effort} is used")
    if effort is not None:
        work.body |= {"reasoning": {"effort": effort}} if work.api == "responses" else {"reasoning_effort": effort}
    return effort


def _translate_sampling(work: _Work, effort: str | None) -> None:
    model = work.model
    for name in _SAMPLING:
        value = getattr(work.wishes, name)
        if value is None:
            continue
        if work.api == "responses" and name in _CHAT_ONLY:
            work.give_up(name, "the Responses API has no such parameter", "left out (the operation chat takes it)")
        elif work.is_refused(name):
            work.give_up(name, f"{model.id} refused it", "left out")
        elif model.known and model.sampling == "no":
            work.give_up(name, f"{model.id} does not take it", "left out")
        elif model.known and model.sampling == "effort-none" and effort not in (None, "none"):
            work.give_up(name, f"{model.id} does not take it at effort {effort}", "left out")
        else:
            work.body[name] = value


def _translate_stop(work: _Work) -> None:
    """Send stop texts where they are taken; the answer is cut at them in any case (`cut_at`)."""
    if not work.wishes.stop:
        return
    if work.api == "chat" and not work.is_refused("stop") and (work.model.stop or not work.model.known):
        work.body["stop"] = list(work.wishes.stop)
        return
    why = "the Responses API has no such parameter" if work.api == "responses" else f"{work.model.id} does not take it"
    work.give_up("stop", why, "the answer is cut here, and what the model wrote beyond is billed")


def _translate_verbosity(work: _Work) -> None:
    wanted = work.wishes.verbosity
    if wanted is None:
        return
    if (work.model.known and not work.model.verbosity) or work.is_refused("verbosity", "text.verbosity"):
        work.give_up("verbosity", f"{work.model.id} does not take it", "left out")
    elif work.api == "responses":
        work.body["text"] = {"verbosity": wanted}
    else:
        work.body["verbosity"] = wanted


def _translate_limit(work: _Work, effort: str | None) -> int:
    """Name the limit as this endpoint and model want it, with room for hidden reasoning on top."""
    room = work.wishes.max_tokens + HEAD_ROOM[effort or "none"]
    limit = min(room, work.model.max_output_tokens or room)
    if limit < work.wishes.max_tokens:
        work.give_up("max_tokens", f"{work.model.id} writes at most {limit:,}", f"{limit:,} is used")
    if work.api == "responses":
        limit = max(limit, 16)  # the least that the Responses API takes
        work.body["max_output_tokens"] = limit
        return limit
    is_new = work.model.reasons and work.model.known
    if is_new and work.is_refused("max_completion_tokens"):
        is_new = False
    elif not is_new and work.is_refused("max_tokens"):
        is_new = True
    work.body["max_completion_tokens" if is_new else "max_tokens"] = limit
    return limit


def _translate_suffix(work: _Work) -> str:
    if not work.wishes.suffix:
        return ""
    work.give_up("suffix", "no live model takes it as a parameter", "said to the model in words")
    return f"Your answer will be followed directly by this text, which you do not repeat:\n{work.wishes.suffix}"


def check_room(model: Model, tokens: int) -> None:
    """Refuse a request that cannot fit into what a model reads at once; an estimated count is given some doubt."""
    doubt = 1.0 if is_exact() else 1.5
    if model.context_window and tokens > model.context_window * doubt:
        raise InputError(
            f"the text is too long: about {tokens:,} tokens, and {model.id} reads {model.context_window:,} at once",
            code="operation.too-long",
            hint="Shorten the text, cut it into several calls, or choose a model with a larger context.",
        )


def choose_effort(model: Model) -> str | None:
    """Return the least effort that a model allows, None where it does not reason."""
    return min(model.efforts, key=EFFORTS.index, default=None)


def cut_at(text: str, stop: list[str]) -> str:
    """Return the text up to the first of the stop texts."""
    places = [place for one in stop if one and (place := text.find(one)) >= 0]
    return text[: min(places)] if places else text
