"""make-visual: Draw a picture for a campaign, with alternative texts, fit for mail and in need of approval.

GPT Image draws it at the size that a mail shows, so that as a rule not a byte is changed and signed content credentials
stay; otherwise it is made smaller, never larger, under 2 MB. Moderated before it is paid for and when it is there.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Literal

import msgspec
from pydantic import Field

from penstock.base.errors import OutputError
from penstock.features.picturing.alt import find_problems, read_texts, write_alt
from penstock.features.picturing.brief import VisualBrief
from penstock.features.picturing.judge import hold_prompt, judge_picture
from penstock.features.writing.checks import Check
from penstock.features.writing.variants import MODERATION_MODEL, NEEDS_APPROVAL, Recorder
from penstock.operations import generate_image
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.operations.files import SIGHT, File, MadeFile, check_file, made_file
from penstock.operations.media import sniff
from penstock.operations.shrink import Shrunk, find_origin, load_pillow, mark_origin, shrink
from penstock.operations.talk import join_warnings
from penstock.runtime.ask import Answer, Ask

MOST_BYTES = 2 * 1024 * 1024
"""What Brevo's gallery takes (API description, 2026)."""
HEAVY_BYTES = 1_000_000
"""From here on a picture is slow on a phone."""


class Input(VisualBrief):
    """What the picture is for, and how it should look."""


class Visual(Fields):
    """One picture."""

    picture: MadeFile
    """The file, fit for mail."""
    alt: dict[str, str] = Field(default={})
    """Alternative text by language."""
    width: int
    """Width of the file, in pixels."""
    height: int
    """Height of the file, in pixels."""
    shown: int
    """Width at which the mail shows it, in points: never more than the file has."""
    origin: Literal["signed", "stated", "none"]
    """What the file says of its making: signed content credentials, the mark that a model made it, or nothing."""
    digest: str
    """Hash of the file: what it is approved and hosted by."""
    checks: list[Check] = Field(default=[])
    """What every check said."""


class RefusedVisual(Fields):
    """A picture that must not be used, and why; it is not given out."""

    digest: str
    """Hash of the file."""
    why: str
    """What is wrong with it."""


class Output(Fields):
    """The pictures that may be shown to a person."""

    visuals: list[Visual]
    """Good ones."""
    rejected: list[RefusedVisual] = Field(default=[])
    """Those that must not be used, and why."""
    state: Literal["needs approval"] = NEEDS_APPROVAL
    """A person approves, never this operation."""
    prompt: str = ""
    """What the model was told to draw."""
    model: str
    """The model that drew."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Draw; raises `InputError` (`visual.flagged`) before anything is paid, `OutputError` when no picture is usable."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be bought first: the picture, which is nearly all of the cost."""
    ask = generate_image.prepare(_order(input), choice)
    return msgspec.structs.replace(ask, warnings=(*input.warn(), *ask.warnings))


def _order(input: Input) -> generate_image.Input:
    return generate_image.Input(**dict(input.look()))


def read(input: Input, answer: Answer) -> Output:
    """Read an answer with pictures: made to fit, neither looked at nor described."""
    drawn = generate_image.read(_order(input), answer)
    visuals = [_fit(input, base64.b64decode(one.base64), number)[0] for number, one in enumerate(drawn.images, 1)]
    return Output(visuals=visuals, prompt=input.write_prompt(), model=answer.model)


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Moderate the wish, draw, make the pictures fit, moderate them, and have their alternative texts written."""
    load_pillow()  # a missing extra is known before anything is paid for
    recorder = Recorder(asker)
    warnings = input.warn()
    if input.moderation:
        await hold_prompt(recorder, choice, input.write_prompt())
    done = await generate_image.OPERATION.perform(recorder, _order(input), choice)
    visuals: list[Visual] = []
    rejected: list[RefusedVisual] = []
    for number, one in enumerate(done.output.images, 1):
        made, lost = _fit(input, base64.b64decode(one.base64), number)
        warnings += lost
        visual, told = await _finish(recorder, input, choice, made)
        warnings += told
        bad = [check.found for check in visual.checks if check.name == "moderation" and check.verdict == "error"]
        if bad:
            rejected.append(RefusedVisual(digest=visual.digest, why=f"moderation: {bad[0]}"))
        else:
            visuals.append(visual)
    if not visuals:
        raise OutputError(_say_nothing(rejected), code="output.checks")
    output = Output(visuals=visuals, rejected=rejected, prompt=input.write_prompt(), model=_drawer(recorder))
    return Done(output, tuple(recorder.answers), join_warnings(warnings, done.warnings))


def _say_nothing(rejected: list[RefusedVisual]) -> str:
    if rejected:
        return f"no picture can be used: {'; '.join(one.why for one in rejected)}"
    return "the server gave addresses instead of pictures; nothing can be made to fit"


def _drawer(recorder: Recorder) -> str:
    return next((answer.model for answer in recorder.answers if answer.model != MODERATION_MODEL), "")


def _fit(input: Input, content: bytes, number: int) -> tuple[Visual, list[str]]:
    """Make a picture fit for mail: a format that all programs show, no wider than useful, never larger than it was."""
    formats = ("PNG",) if input.background == "transparent" else ("PNG", "JPEG") if input.format == "png" else ("JPEG",)
    fitted = shrink(content, f"picture {number}", most_bytes=MOST_BYTES, most_width=input.aim()[0], formats=formats)
    made = mark_origin(fitted.content)
    lost = []
    if find_origin(content) == "signed" and not fitted.is_same:
        lost.append("origin: the signed content credentials ended when the picture was made to fit; the mark is kept")
    name = f"visual-{number}"
    visual = Visual(
        picture=made_file(made, sniff(made), name),
        width=fitted.width,
        height=fitted.height,
        shown=min(input.width, fitted.width),
        origin=find_origin(made),
        digest=hashlib.blake2b(made, digest_size=16).hexdigest(),
        checks=_check_file(input, fitted, len(made)),
    )
    return visual, lost


def _check_file(input: Input, fitted: Shrunk, size: int) -> list[Check]:
    found = f"{fitted.width} × {fitted.height}, {size:,} bytes, {'as it came' if fitted.is_same else 'made to fit'}"
    is_soft = fitted.width < 2 * min(input.width, fitted.width)
    return [
        Check(name="file", verdict="warning" if size > HEAVY_BYTES else "ok", found=found),
        Check(
            name="sharpness",
            verdict="warning" if is_soft else "ok",
            found=f"{fitted.width} pixels for {input.width} points; it is never made larger" if is_soft else "",
        ),
    ]


async def _finish(recorder: Recorder, input: Input, choice: ModelChoice, visual: Visual) -> tuple[Visual, list[str]]:
    """Add the alternative texts and the verdict of the moderation."""
    file = check_file(base64.b64decode(visual.picture.base64), visual.picture.name, SIGHT)
    texts, warnings = await _describe(recorder, input, choice, file)
    checks = list(visual.checks)
    if input.moderation:
        checks.append(await judge_picture(recorder, choice, file, list(texts.values())))
    for language in input.languages:
        found = "" if language in texts else "there is none that the checks accept: write one"
        checks.append(Check(name=f"alt {language}", verdict="warning" if found else "ok", found=found))
    return visual.model_copy(update={"alt": texts, "checks": checks}), warnings


async def _describe(
    recorder: Recorder, input: Input, choice: ModelChoice, picture: File
) -> tuple[dict[str, str], list[str]]:
    """Return the alternative texts that the checks accept, those given included, and what is to be said of the rest."""
    texts = {language: input.alt[language] for language in input.languages if input.alt.get(language)}
    wrong, warnings = find_problems(texts, input), list[str]()
    warnings += [f"alt {language}: {'; '.join(reasons)}" for language, reasons in wrong.items()]
    if not input.missing_alt():
        return texts, warnings  # a person's own words stand, with what the checks say of them
    if choice.writer is None or (choice.writer.known and not choice.writer.reads_images):
        who = choice.writer.id if choice.writer else "no text model"
        return texts, [*warnings, f"alt: {who} does not see pictures; write alternative texts yourself"]
    start, problem = len(recorder.answers), ""
    writer = msgspec.structs.replace(choice, model=choice.writer, refused=frozenset(), instead_of="")
    try:
        await write_alt(__name__, picture).perform(recorder, input, writer)
    except OutputError as error:
        problem = error.message
    for answer in recorder.answers[start:]:
        try:
            written = read_texts(input, answer)
        except OutputError:
            continue
        bad = find_problems(written, input)
        texts |= {language: text for language, text in written.items() if language not in bad}
    if input.missing_alt() and set(input.languages) - set(texts):
        warnings.append(f"alt: {problem}")
    return texts, warnings


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    work=work,
    kind="image",
    example={
        "offer": "Summer sandals with 20 % off until 2026-08-31, code SUMMER20.",
        "readers": "Customers who bought shoes last year.",
        "style": "flat illustration, warm colours",
        "quality": "low",
        "languages": ["en", "de"],
    },
)
