"""translate-audio: Translate what a recording says.

One call where the vendor translates by itself: whisper-1, into English, until 2027-02-26. Otherwise the recording is
written down, and a text model translates it.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import msgspec
from pydantic import AliasChoices, Field

from penstock.base.errors import InputError, OutputError
from penstock.operations import transcribe, translate_text
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.operations.files import RecordingFile, load_files
from penstock.operations.request import Request
from penstock.operations.sound import make_silence
from penstock.operations.talk import join_warnings
from penstock.runtime.ask import Answer, Ask

_ENGLISH = ("en", "english", "en-us", "en-gb")
_DIRECT = "audio/translations"


class Input(Fields):
    """What to listen to, and what to translate it into."""

    recording: RecordingFile = Field(validation_alias=AliasChoices("recording", "file"))
    """The sound: flac, m4a, mp3, mp4, mpeg, ogg, wav or webm, up to 25 MB; a path, URL, base64 or data URL."""
    to: str = Field(default="en", min_length=2)
    """Language to translate into, such as `de`, `pt-BR` or German."""
    context: str = Field(default="", validation_alias=AliasChoices("context", "prompt"))
    """What it is about, or what was said before, so that names are heard well."""
    glossary: dict[str, str] = Field(default={})
    """Words with a fixed translation, where a text model translates."""


class Output(Fields):
    """The translation."""

    text: str
    """What is said, in the other language."""
    original: str = ""
    """What is said, as it was heard; where the vendor translates by itself, it does not tell."""
    languages: list[str] = Field(default=[])
    """Languages that were heard, where the model tells."""
    model: str
    """The model that translated."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Translate; raises `InputError` where a text model is needed and none is set, and what both steps raise."""
    return (await OPERATION.perform(asker, input, choice)).output


def is_direct(input: Input, choice: ModelChoice) -> bool:
    """Tell whether one call does it."""
    return _DIRECT in choice.model.apis and input.to.lower() in _ENGLISH


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent first."""
    if not is_direct(input, choice):
        ask = transcribe.prepare(_to_hear(input), choice)
        return msgspec.structs.replace(ask, warnings=(_explain(choice), *ask.warnings))
    request = Request(choice, "transcription")
    if input.context:
        request.set("prompt", "context", input.context)
    if input.glossary:
        request.give_up("glossary", f"{choice.model.id} translates by itself")
    return transcribe.ask_to_hear(_ONE, f"/{_DIRECT}", input.recording, request)


def _to_hear(input: Input) -> transcribe.Input:
    return transcribe.Input(recording=input.recording, context=input.context)


def _explain(choice: ModelChoice) -> str:
    writer = choice.writer.id if choice.writer else "a text model"
    return f"translate-audio: two calls; {choice.model.id} writes down what is said, {writer} translates it"


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Translate in one call or in two; what is in the wished language already is not translated."""
    if is_direct(input, choice):
        return await _ONE.perform(asker, input, choice)
    if choice.writer is None:
        raise InputError(
            f"{choice.model.id} does not translate, and no text model is set that could",
            code="parameters.not-taken",
            hint="Set model to a text model.",
        )
    heard = await transcribe.OPERATION.perform(asker, _to_hear(input), choice)
    spoken = heard.output
    if [code.lower() for code in spoken.languages] == [input.to.lower()] or not spoken.text:
        output = Output(text=spoken.text, original=spoken.text, languages=spoken.languages, model=spoken.model)
        return Done(output, heard.answers, (*heard.warnings, "translate-audio: nothing had to be translated"))
    wanted = translate_text.Input(text=spoken.text, to=input.to, glossary=input.glossary)
    writer = msgspec.structs.replace(choice, model=choice.writer, refused=frozenset())
    done = await translate_text.OPERATION.perform(asker, wanted, writer)
    output = Output(text=done.output.text, original=spoken.text, languages=spoken.languages, model=done.output.model)
    warnings = join_warnings((_explain(choice),), heard.warnings, done.warnings)
    return Done(output, (*heard.answers, *done.answers), warnings)


def read(input: Input, answer: Answer) -> Output:  # noqa: ARG001 - there is only one form of it
    """Take the text of the one call; raises `OutputError`."""
    text = answer.content.get("text") if isinstance(answer.content, dict) else None
    if not isinstance(text, str):
        raise OutputError("the answer holds no text", code="output.shape")
    return Output(text=text.strip(), model=answer.model)


_ONE = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="transcription",
    load=load_files,
    example={"recording": f"data:audio/wav;base64,{base64.b64encode(make_silence(0.2)).decode()}", "to": "de"},
)
OPERATION = replace(_ONE, work=work)
