"""write-cta: Write calls to action for buttons and links, checked and in need of approval.

From one brief to short texts from different angles, in one language or several.
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
    """What a click leads to, and for whom."""

    max_characters: int | None = Field(default=30, ge=5, le=120)
    """Longest text, in characters."""


class Button(Fields):
    """One call to action."""

    button: str
    """What stands on the button."""
    language: str = ""
    """Language code."""
    angle: str = ""
    """Side from which it looks at the offer; results are remembered by it."""
    checks: list[Check] = Field(default=[])
    """What every check said."""


class Output(Fields):
    """The calls to action that may be shown to a person."""

    variants: list[Button]
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
    task="You write calls to action for the buttons of marketing emails: a verb first, what happens after the click.",
    parts={"button": "What stands on the button, two to five words, on one line."},
    main="button",
    likely_tokens=20,
    read_input=Input,
)


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent first."""
    return write_ask(CRAFT, OPERATION.name, input, choice, input.languages[0], {})


def read(input: Input, answer: Answer) -> Output:
    """Read one answer without checking it; raises `OutputError`."""
    drafts = read_drafts(CRAFT, input, answer)
    return Output(variants=[Button.model_validate(draft) for draft in drafts], model=answer.model)


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Write every language: a call each, one repair, and a free call of the moderation."""
    written = await write(asker, input, choice, CRAFT)
    output = Output(
        variants=[
            Button(**one.texts, language=one.language, angle=one.angle, checks=list(one.checks)) for one in written.good
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
    example={"offer": "See the new summer sandals in the shop."},
)
