"""write-subjects: Write subject lines and preview texts for an email campaign, checked and in need of approval.

From one brief to variants from different angles, in one language or several. What a check refuses is repaired once
and otherwise set aside with its reasons; no open rate is promised.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.features.writing.brief import Brief
from penstock.features.writing.checks import Check
from penstock.features.writing.orders import VERSION, Craft, write_ask
from penstock.features.writing.variants import NEEDS_APPROVAL, Rejected, Unwritten, read_drafts, write
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask


class Input(Brief):
    """What is to be written, and for whom."""

    max_characters: int | None = Field(default=60, ge=10, le=300)
    """Longest subject, in characters."""


class Subject(Fields):
    """One subject line."""

    subject: str
    """The subject."""
    preview_text: str
    """What a mailbox shows beside it."""
    language: str = ""
    """Language code."""
    angle: str = ""
    """Side from which it looks at the offer; results are remembered by it."""
    checks: list[Check] = Field(default=[])
    """What every check said."""


class Output(Fields):
    """The subject lines that may be shown to a person."""

    variants: list[Subject]
    """Good ones, in order of language and angle."""
    rejected: list[Rejected] = Field(default=[])
    """Those that must not be used, and why."""
    problems: list[Unwritten] = Field(default=[])
    """Languages in which nothing usable was written."""
    state: Literal["needs approval"] = NEEDS_APPROVAL
    """A person approves, never this operation."""
    trial: str = ""
    """What a test of the variants can show: contacts that each arm needs."""
    model: str
    """The model that wrote."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Write; raises `OutputError` when no variant is usable after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


CRAFT = Craft(
    module=__name__,
    task="You write subject lines for email campaigns, each with the preview text that a mailbox shows beside it.",
    parts={
        "subject": "The subject line, on one line.",
        "preview_text": "The preview text: goes on where the subject ends, does not repeat it, at most 90 characters.",
    },
    main="subject",
    likely_tokens=70,
    read_input=Input,
)


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent first."""
    return write_ask(CRAFT, OPERATION.name, input, choice, input.languages[0], {})


def read(input: Input, answer: Answer) -> Output:
    """Read one answer without checking it; raises `OutputError`."""
    drafts = read_drafts(CRAFT, input, answer)
    return Output(variants=[Subject.model_validate(draft) for draft in drafts], model=answer.model)


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Write every language: a call each, one repair, and a free call of the moderation."""
    written = await write(asker, input, choice, CRAFT)
    output = Output(
        variants=[
            Subject(**one.texts, language=one.language, angle=one.angle, checks=list(one.checks))
            for one in written.good
        ],
        rejected=written.rejected,
        problems=written.problems,
        trial=written.trial,
        model=written.model,
    )
    return Done(output, written.answers, written.warnings)


OPERATION = Operation(
    module=__name__,
    version=VERSION,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    work=work,
    example={
        "offer": "Summer sandals with 20 % off until 2026-08-31, code SUMMER20.",
        "readers": "Customers who bought shoes last year.",
        "placeholders": ["{{ contact.FIRSTNAME | default:'there' }}"],
        "languages": ["en", "de"],
    },
)
