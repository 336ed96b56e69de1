"""speak: Read a text aloud.

Audio speech: every model of it ends on 2027-01-06 (deprecations page, October 2026). A text that is too long for one
call is cut at the ends of sentences, and the parts are joined.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from dataclasses import replace
from typing import Literal

import msgspec
from pydantic import AliasChoices, Field

from penstock.base.errors import InputError, OutputError
from penstock.base.types import Usage
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.operations.files import MadeFile, made_file
from penstock.operations.request import Request
from penstock.operations.sound import JOINABLE, join_sound
from penstock.operations.talk import join_warnings
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.models import Model
from penstock.vendor.tokens import count_tokens

MOST_CHARACTERS = 4_096
"""Characters of one call (contract 2.15)."""
SECONDS = 180.0
"""How long an answer may take at least."""
AUDIO_TOKENS_A_SECOND = 1_250 / 60
"""By the published $0.015 a minute at $12 per million tokens."""
VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
"""The built-in voices (OpenAPI description of 2026-08-21)."""
LETTERS_A_SECOND = 15
"""How fast is usually spoken."""
_FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_SENTENCE_END = re.compile(r"[.!?…][\"')\]»”]*(?=\s)|[。！？]|\n")


class Input(Fields):
    """What to say, and how."""

    text: str = Field(min_length=1, max_length=200_000, validation_alias=AliasChoices("text", "input"))
    """The text."""
    voice: str = Field(default="alloy", min_length=1)
    """Who speaks: alloy, ash, ballad, cedar, coral, echo, fable, marin, nova, onyx, sage, shimmer, verse, or an id."""
    instructions: str = Field(default="", max_length=4_096)
    """How it is to sound, such as calm or cheerful."""
    format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = Field(
        default="mp3", validation_alias=AliasChoices("format", "response_format")
    )
    """Kind of the file; pcm is bare samples of 16 bit at 24 kHz."""
    speed: float = Field(default=1.0, ge=0.25, le=4)
    """How fast, 1 as usual."""


class Output(Fields):
    """The speech."""

    audio: MadeFile
    """The sound, as a file."""
    model: str
    """The model that spoke."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Speak; raises `InputError` for a long text in a format that cannot be joined, `OutputError` without sound."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent: the first call of several where the text is long."""
    parts = cut_text(input.text)
    if len(parts) > 1 and input.format not in JOINABLE:
        raise InputError(
            f"the text has {len(input.text):,} characters and takes {len(parts)} calls, whose {input.format} files "
            "cannot be joined",
            code="speech.too-long",
            hint=f"Use the format {', '.join(JOINABLE)}, or give at most {MOST_CHARACTERS:,} characters.",
        )
    asks = [_prepare_part(part, input, choice) for part in parts]
    if len(asks) == 1:
        return asks[0]
    note = f"text: too long for one call; cut into {len(parts)} at ends of sentences and joined"
    most = sum((ask.most for ask in asks if ask.most is not None), Usage())
    likely = sum((ask.likely for ask in asks if ask.likely is not None), Usage())
    return msgspec.structs.replace(asks[0], most=most, likely=likely, warnings=(note, *asks[0].warnings))


def cut_text(text: str) -> list[str]:
    """Return the text in parts that one call takes each, cut behind sentences, or words where one is too long."""
    parts, rest = [], text.strip() or text
    while len(rest) > MOST_CHARACTERS:
        window = rest[: MOST_CHARACTERS + 1]
        ends = [match.end() for match in _SENTENCE_END.finditer(window) if match.end() <= MOST_CHARACTERS]
        at = ends[-1] if ends else window.rfind(" ")
        at = at if at > 0 else MOST_CHARACTERS
        parts.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [part for part in (*parts, rest) if part]


def _prepare_part(text: str, input: Input, choice: ModelChoice) -> Ask:
    request = Request(choice, "speech", input=text, response_format=input.format)
    _set_voice(request, input.voice)
    model, body = choice.model, request.body
    is_older = model.id.startswith("tts-1")
    if input.instructions and is_older:
        request.give_up("instructions", f"{model.id} does not take them")
    elif input.instructions:
        request.set("instructions", "instructions", input.instructions)
    if input.speed != 1.0:
        request.set("speed", "speed", input.speed)
    if model.known and not is_older and "stream_format" not in choice.refused:
        body["stream_format"] = "sse"  # only this form tells what was used
    tokens = count_tokens(text + str(body.get("instructions", "")), model.id)
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/audio/speech",
        model.id,
        body,
        tokens,
        connection=choice.connection,
        reply="media",
        most=_use(text, tokens, guess_seconds(text) / input.speed, model),
        likely=_use(text, tokens, len(text) / LETTERS_A_SECOND / input.speed, model),
        timeout=SECONDS,
        warnings=tuple(request.warnings),
    )


def _set_voice(request: Request, wished: str) -> None:
    """Set who speaks: one of the built-in voices, or one's own by its id."""
    if wished.startswith("voice_"):
        request.body["voice"] = {"id": wished}
    elif not request.model.known or wished.lower() in VOICES:
        request.body["voice"] = wished.lower() if request.model.known else wished
    else:
        request.give_up("voice", f"{request.model.id} has no voice {wished!r}", f"{VOICES[0]} is used")
        request.body["voice"] = VOICES[0]


def _use(text: str, tokens: int, seconds: float, model: Model) -> Usage:
    """Return what a speech of some seconds uses: characters, or tokens."""
    if model.id.startswith("tts-1"):
        return Usage(characters=len(text))
    made = int(seconds * AUDIO_TOKENS_A_SECOND) + 20
    return Usage(input=tokens, output=made, audio_output=made)


def guess_seconds(text: str) -> float:
    """Return how long a slow speaker takes: ten letters a second, three signs of a syllabic script, two digits."""
    return 0.5 + sum(0.5 if char.isdigit() else 0.34 if ord(char) >= 0x2E80 else 0.1 for char in text)


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Speak each part, all at once, and join them; a part that is held already is not bought again."""
    first = prepare(input, choice)
    parts = [input.model_copy(update={"text": part}) for part in cut_text(input.text)]
    found = await asyncio.gather(*(_PART.perform(asker, part, choice) for part in parts), return_exceptions=True)
    done = []
    for one in found:  # what was bought is held, so that another try buys only the rest
        if isinstance(one, BaseException):
            raise one
        done.append(one)
    try:
        sound = join_sound(input.format, [base64.b64decode(one.output.audio.base64) for one in done])
    except ValueError as error:
        raise OutputError(f"the parts of the speech cannot be joined: {error}", code="output.shape") from None
    answers = tuple(answer for one in done for answer in one.answers)
    output = Output(audio=made_file(sound, _FORMATS[input.format], "speech"), model=done[0].output.model)
    return Done(output, answers, join_warnings(first.warnings, *(one.warnings for one in done)))


def read(input: Input, answer: Answer) -> Output:
    """Take the sound; raises `OutputError` where there is none."""
    content = answer.content if isinstance(answer.content, dict) else {}
    try:
        sound = base64.b64decode(str(content.get("base64") or ""), validate=True)
    except (binascii.Error, ValueError):
        sound = b""
    if not sound:
        raise OutputError("the answer holds no sound", code="output.empty")
    return Output(audio=made_file(sound, _FORMATS[input.format], "speech"), model=answer.model)


_PART = Operation(module=__name__, version=1, input=Input, output=Output, prepare=prepare, read=read, kind="speech")
OPERATION = replace(_PART, work=work, example={"text": "Your parcel is on its way.", "voice": "coral"})
