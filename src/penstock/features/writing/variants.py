"""From a brief to variants that may be shown to a person: written, checked, repaired once, near-duplicates dropped.

Nothing that a check refuses is among the good ones; what was refused is kept beside them with the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.errors import OutputError, PenstockError, RejectedError
from penstock.features.writing.brief import Angle, Brief
from penstock.features.writing.checks import Check
from penstock.features.writing.judge import Judged, judge, list_figures
from penstock.features.writing.orders import VERSION, Craft, schema_of, write_ask
from penstock.features.writing.sample import weigh_test
from penstock.features.writing.similar import find_alike
from penstock.operations import moderate
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.talk import join_warnings, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.vectors import Held
from penstock.vendor.models import Model

MODERATION_MODEL = "omni-moderation-latest"
NO_MODERATION = ("openai.model-not-found", "openai.deployment-missing", "openai.endpoint-missing")
"""How another vendor's server says that it has no moderation."""
NEEDS_APPROVAL: Literal["needs approval"] = "needs approval"
"""No text leaves this state here: a person approves it."""


class Rejected(Fields):
    """A variant that must not be used, and why."""

    language: str
    """Language code."""
    angle: str
    """Side from which it looks at the offer."""
    texts: dict[str, str]
    """What was written."""
    why: str
    """What is wrong with it."""
    checks: list[Check]
    """What every check said."""


class Unwritten(Fields):
    """A language in which nothing usable was written."""

    language: str
    """Language code."""
    code: str
    """Code of the error."""
    message: str
    """What was wrong."""


class Drafts(Fields):
    """What one answer holds."""

    variants: list[dict[str, str]]
    """The texts of each variant."""


class Written(NamedTuple):
    """What came of a brief."""

    good: list[Judged]
    rejected: list[Rejected]
    problems: list[Unwritten]
    answers: tuple[Answer, ...]
    warnings: tuple[str, ...]
    trial: str

    @property
    def model(self) -> str:
        """The model that wrote."""
        return next((answer.model for answer in self.answers if answer.model != MODERATION_MODEL), "")


@dataclass
class Recorder:
    """The paid path, and everything that went over it."""

    asker: Asker
    answers: list[Answer] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        """Ask, and remember both."""
        answer = await self.asker.ask(ask, flow=flow, run=run, interactive=interactive)
        self.asked.append(ask)
        self.answers.append(answer)
        return answer

    async def recall(self, ask: Ask) -> list[Held | None]:
        """Return what is held."""
        return await self.asker.recall(ask)

    def refused(self, ask: Ask) -> frozenset[str]:
        """Return what the model is known to refuse."""
        return self.asker.refused(ask)

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        """Learn from a refusal."""
        return await self.asker.learn(ask, error)


async def write(asker: Asker, input: Any, choice: ModelChoice, craft: Craft) -> Written:
    """Write all languages of a brief; raises the first language's `OutputError` when nothing usable was written."""
    recorder = Recorder(asker)
    good: list[Judged] = []
    bad: list[Judged] = []
    problems: list[tuple[str, OutputError]] = []
    for language in input.languages:
        first = {one.angle: one for one in good if one.language == input.languages[0]}
        try:
            kept, dropped = await _write_language(recorder, input, choice, craft, language, first)
        except OutputError as error:
            problems.append((language, error))
            continue
        good += kept
        bad += dropped
    if not good:
        raise problems[0][1]
    rejected = [
        Rejected(
            language=one.language,
            angle=one.angle,
            texts=dict(one.texts),
            why=one.why or "; ".join(one.problems()),
            checks=list(one.checks),
        )
        for one in bad
    ]
    unwritten = [Unwritten(language=name, code=error.code, message=error.message) for name, error in problems]
    trial = weigh_test(input.variants, input.recipients, input.click_rate)
    warnings = join_warnings(
        *(ask.warnings for ask in recorder.asked), (f"{one.language}: {one.message}" for one in unwritten)
    )
    if input.recipients and not trial.is_enough and input.variants > 1:
        warnings = (*warnings, f"recipients: {trial.says}")
    return Written(good, rejected, unwritten, tuple(recorder.answers), warnings, trial.says)


async def _write_language(
    recorder: Recorder,
    input: Any,
    choice: ModelChoice,
    craft: Craft,
    language: str,
    first: Mapping[Angle, Judged],
) -> tuple[list[Judged], list[Judged]]:
    """Return the good and the refused variants of one language; raises `OutputError` when none is good."""
    rounds, problem = await _ask(recorder, input, choice, craft, language, first)
    chosen = [_latest_good(tries) for tries in zip(*rounds, strict=True)]
    finished = _finish(craft, input, [one for one in chosen if one.is_good])
    refused = [one for one in (*chosen, *finished) if not one.is_good]
    kept, repeated = _drop_alike([one for one in finished if one.is_good])
    good, flagged = await _moderate(recorder, input, choice, kept)
    refused += [*repeated, *flagged]
    if not good:
        reasons = "; ".join(dict.fromkeys(reason for one in refused for reason in (one.problems() or [one.why])))
        raise problem or OutputError(f"no variant can be used: {reasons[:600]}", code="output.checks")
    return good, refused


async def _ask(
    recorder: Recorder,
    input: Any,
    choice: ModelChoice,
    craft: Craft,
    language: str,
    first: Mapping[Angle, Judged],
) -> tuple[list[list[Judged]], OutputError | None]:
    """Ask, with one repair; returns what each readable answer held, and why the last one was refused."""
    start, problem = len(recorder.answers), None
    try:
        await _for_language(craft, language, first).perform(recorder, input, choice)
    except OutputError as error:
        problem = error
    rounds = []
    for answer in recorder.answers[start:]:
        try:
            rounds.append(_judge_all(craft, input, language, read_drafts(craft, input, answer), first))
        except OutputError:
            continue
    if not rounds:
        raise problem or OutputError("nothing was written", code="output.empty")
    return rounds, problem


def _for_language(craft: Craft, language: str, first: Mapping[Angle, Judged]) -> Operation[Any, Drafts]:
    """Return the one call of a language, with its repair."""
    figures = {angle: list_figures(one) for angle, one in first.items()}

    def prepare(input: Any, choice: ModelChoice) -> Ask:
        return write_ask(craft, operation.name, input, choice, language, figures)

    def read(input: Any, answer: Answer) -> Drafts:
        drafts = read_drafts(craft, input, answer)
        judged = _judge_all(craft, input, language, drafts, first)
        wrong = [f"variant {at}: {'; '.join(one.problems())}" for at, one in enumerate(judged, 1) if not one.is_good]
        if wrong:
            error = OutputError(f"checks refuse {' | '.join(wrong)[:1500]}", code="output.checks")
            error.text = read_text(answer.content)
            raise error
        return Drafts(variants=[dict(one) for one in drafts])

    operation = Operation(
        module=craft.module,
        version=VERSION,
        input=craft.read_input,
        output=Drafts,
        prepare=prepare,
        read=read,
        repair=repair,
    )
    return operation


def read_drafts(craft: Craft, input: Brief, answer: Answer) -> list[dict[str, str]]:
    """Return the texts of each variant of an answer; raises `OutputError` for another shape or number."""
    value = read_json(read_text(answer.content), schema_of(craft, input))
    return [{name: str(one[name]).strip() for name in craft.parts} for one in value["variants"]]


def _judge_all(
    craft: Craft, input: Brief, language: str, drafts: list[dict[str, str]], first: Mapping[Angle, Judged]
) -> list[Judged]:
    """Judge in the order of the brief's angles: which side a variant looks from was our wish, not the model's word."""
    pairs = zip(input.list_angles(), drafts, strict=True)
    return [judge(input, language, angle, texts, craft.main, first.get(angle)) for angle, texts in pairs]


def _finish(craft: Craft, input: Brief, judged: list[Judged]) -> list[Judged]:
    """Make what is made of the texts, such as the HTML, and check it."""
    finished = []
    for one in judged:
        more, checks = craft.finish(input, one.language, one.texts)
        finished.append(one._replace(more=more, checks=(*one.checks, *checks)))
    return finished


def _latest_good(tries: Sequence[Judged]) -> Judged:
    """Return what became of one variant: its last good try, else its last one."""
    return next((one for one in reversed(tries) if one.is_good), tries[-1])


def _drop_alike(judged: list[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Set aside variants that nearly repeat an earlier one."""
    alike = find_alike([one.whole() for one in judged])
    kept = [one for place, one in enumerate(judged) if place not in alike]
    why = "nearly the same as the variant with the angle"
    repeated = [judged[place]._replace(why=f"{why} {judged[other].angle}") for place, other in alike.items()]
    return kept, repeated


async def _moderate(
    recorder: Recorder, input: Brief, choice: ModelChoice, judged: list[Judged]
) -> tuple[list[Judged], list[Judged]]:
    """Ask the vendor's moderation about all texts in one free call; where it is missing the check says so."""
    if not input.moderation or not judged:
        return judged, []
    seen = msgspec.structs.replace(choice, model=Model(id=MODERATION_MODEL, kind="moderation"), refused=frozenset())
    try:
        texts = moderate.Input(texts=[one.whole() for one in judged])
        verdicts = (await moderate.OPERATION.perform(recorder, texts, seen)).output.verdicts
    except PenstockError as error:
        if not isinstance(error, (OutputError, RejectedError)) and error.code not in NO_MODERATION:
            raise
        unknown = Check(name="moderation", verdict="unknown", found=error.message)
        return [one._replace(checks=(*one.checks, unknown)) for one in judged], []
    good: list[Judged] = []
    flagged: list[Judged] = []
    for one, verdict in zip(judged, verdicts, strict=True):
        found = Check(
            name="moderation", verdict="error" if verdict.flagged else "ok", found=", ".join(verdict.categories)
        )
        (flagged if verdict.flagged else good).append(one._replace(checks=(*one.checks, found)))
    return good, flagged
