"""Moderation of campaign pictures, before one is paid for and when it is there; where there is none, that is said."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.base.errors import InputError, OutputError, PenstockError, RejectedError
from penstock.features.writing.checks import Check
from penstock.features.writing.variants import MODERATION_MODEL, NO_MODERATION, Recorder
from penstock.operations import moderate
from penstock.operations.declare import ModelChoice
from penstock.operations.files import File
from penstock.vendor.models import Model


async def hold_prompt(recorder: Recorder, choice: ModelChoice, prompt: str) -> None:
    """Raise `InputError` (`visual.flagged`) for a picture that the moderation takes for harmful, before it is paid."""
    verdict = await _look(recorder, choice, [prompt], None)
    if verdict.verdict == "error":
        raise InputError(
            f"the moderation takes what is to be drawn for harmful: {verdict.found}",
            code="visual.flagged",
            hint="Say it in other words: offer, readers, style and instructions are what is looked at.",
        )


async def judge_picture(recorder: Recorder, choice: ModelChoice, picture: File, texts: Sequence[str]) -> Check:
    """Have a finished picture looked at, together with what is said of it."""
    return await _look(recorder, choice, list(texts), picture)


async def _look(recorder: Recorder, choice: ModelChoice, texts: list[str], picture: File | None) -> Check:
    seen = msgspec.structs.replace(choice, model=Model(id=MODERATION_MODEL, kind="moderation"), refused=frozenset())
    try:
        asked = moderate.Input(texts=texts, image=picture)
        verdict = (await moderate.OPERATION.perform(recorder, asked, seen)).output.verdicts[0]
    except PenstockError as error:
        if not isinstance(error, (OutputError, RejectedError)) and error.code not in NO_MODERATION:
            raise
        return Check(name="moderation", verdict="unknown", found=error.message)
    return Check(name="moderation", verdict="error" if verdict.flagged else "ok", found=", ".join(verdict.categories))
