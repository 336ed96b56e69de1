"""transcribe: Write down what a recording says.

The form that is wished decides which models can do it: gpt-transcribe writes text, whisper-1 also subtitles and times
(until 2027-02-26), the diarizing model also says who speaks.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

from pydantic import AliasChoices, Field

from penstock.base.errors import OutputError
from penstock.base.types import Usage
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.files import File, MadeFile, RecordingFile, load_files, made_file
from penstock.operations.request import Request, refuse
from penstock.operations.sound import make_silence, measure_seconds
from penstock.operations.talk import join_warnings
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.models import Model
from penstock.vendor.tokens import count_tokens

SECONDS = 300.0
"""How long an answer may take at least."""
AUDIO_TOKENS_A_SECOND = 10
"""Tokens of sound for models that count them: $0.006 a minute at $10 and less, rounded up."""
_WORDS_A_SECOND = 4
_NEWEST, _OLDEST = "gpt-transcribe", "whisper-1"
_WIRE = {"segments": "verbose_json", "words": "verbose_json", "srt": "srt", "vtt": "vtt", "speakers": "diarized_json"}
_MAKERS = {"speakers": "gpt-4o-transcribe-diarize"}
"""Which model makes what is more than text; whisper-1 where none is named."""
_SUBTITLES = {"srt": "application/x-subrip", "vtt": "text/vtt"}


class Voice(Fields):
    """A speaker that is known."""

    name: str = Field(min_length=1)
    """Who it is."""
    file: RecordingFile
    """A sample of 2 to 10 seconds."""


class Input(Fields):
    """What to listen to, and how to write it down."""

    recording: RecordingFile = Field(validation_alias=AliasChoices("recording", "file"))
    """The sound: flac, m4a, mp3, mp4, mpeg, ogg, wav or webm, up to 25 MB; a path, URL, base64 or data URL."""
    format: Literal["text", "segments", "words", "srt", "vtt", "speakers"] = "text"
    """What is wanted: plain text, sentences or words with their times, subtitles, or who says what."""
    languages: list[str] = Field(default=[], validation_alias=AliasChoices("languages", "language"))
    """Language codes that are spoken, such as `de`; empty lets the model find out."""
    context: str = Field(default="", validation_alias=AliasChoices("context", "prompt"))
    """What it is about, or what was said before, so that names are heard well."""
    keywords: list[str] = Field(default=[])
    """Names and terms that occur."""
    speakers: list[Voice] = Field(default=[], max_length=4)
    """Samples of speakers that are known, up to four."""
    temperature: float | None = Field(default=None, ge=0, le=1)
    """Randomness; 0 is the default."""


class Segment(Fields):
    """A part of the recording."""

    start: float
    """Where it begins, in seconds."""
    end: float
    """Where it ends, in seconds."""
    text: str
    """What is said."""
    speaker: str = ""
    """Who says it, where that is known."""


class Output(Fields):
    """What the recording says."""

    text: str
    """What is said."""
    segments: list[Segment] = Field(default=[])
    """Sentences with their times, and who says them."""
    words: list[Segment] = Field(default=[])
    """Words with their times."""
    file: MadeFile | None = None
    """The subtitles, as a file."""
    languages: list[str] = Field(default=[])
    """Languages that were heard, where the model tells."""
    model: str
    """The model that listened."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Listen; raises `InputError` for a form that the model does not write, `OutputError` for no text."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent; raises `InputError` for a form that the model does not write."""
    request = Request(choice, "transcription")
    _set_form(request, input)
    _set_languages(request, input)
    _set_context(request, input)
    _set_speakers(request, input)
    if input.temperature is not None:
        request.set("temperature", "temperature", input.temperature)
    return ask_to_hear(OPERATION, "/audio/transcriptions", input.recording, request)


def ask_to_hear(operation: Operation[Any, Any], path: str, file: File, request: Request) -> Ask:
    """Build the request that sends a recording along; its length says the most that it costs."""
    tokens = count_tokens(str(request.body.get("prompt", "")), request.model.id)
    seconds = measure_seconds(file.data)
    is_text = request.body.get("response_format") in ("text", "srt", "vtt")
    return Ask(
        operation.name,
        operation.version,
        path,
        request.model.id,
        request.body,
        tokens,
        connection=request.choice.connection,
        files=(file.attach("file"),),
        reply="media" if is_text else "json",
        most=most_used(request.model, seconds, tokens) if file.data else None,
        timeout=SECONDS,
        warnings=join_warnings(request.warnings),
    )


def most_used(model: Model, seconds: float, prompt_tokens: int) -> Usage:
    """Return the most that listening uses: seconds, or tokens for the models that count them."""
    if not model.id.startswith("gpt-4o"):
        return Usage(seconds=round(seconds, 3))
    heard = int(seconds * AUDIO_TOKENS_A_SECOND) + 10
    written = int(seconds * _WORDS_A_SECOND * 2) + 50
    return Usage(input=heard + prompt_tokens, output=written, audio_input=heard)


def _set_form(request: Request, input: Input) -> None:
    """Set the form of the answer; it is what the call is for, so that another one is never given instead."""
    model, wished = request.model, input.format
    maker = _MAKERS.get(wished, _OLDEST)
    if wished != "text":
        if model.known and model.id != maker:
            raise refuse(f"format {wished}", f"{model.id} does not write it", f"use the model {maker}")
        request.body["response_format"] = _WIRE[wished]
    if wished == "words":
        request.body["timestamp_granularities"] = ["word", "segment"]
    if model.id.endswith("diarize"):  # needed above 30 seconds
        request.body["chunking_strategy"] = "auto"


def _set_languages(request: Request, input: Input) -> None:
    languages, model = input.languages, request.model
    if not languages:
        return
    if model.id == _NEWEST:
        request.set("languages", "languages", languages)
    elif len(languages) > 1:
        request.give_up("languages", f"{model.id} takes only one")
    else:
        request.set("language", "languages", languages[0])


def _set_context(request: Request, input: Input) -> None:
    """Set what helps to hear: keywords where they are known, else among the context."""
    model, context = request.model, input.context
    if input.keywords and (model.id == _NEWEST or not model.known):
        request.set("keywords", "keywords", input.keywords)
    elif input.keywords and not model.id.endswith("diarize"):
        request.give_up("keywords", f"{model.id} does not know them", "told as context")
        context = f"{context}\n{', '.join(input.keywords)}".strip()
    elif input.keywords:
        request.give_up("keywords", f"{model.id} does not take them")
    if context and model.id.endswith("diarize"):
        request.give_up("context", f"{model.id} does not take it")
    elif context:
        request.set("prompt", "context", context)


def _set_speakers(request: Request, input: Input) -> None:
    if not input.speakers:
        return
    if request.model.known and not request.model.id.endswith("diarize"):
        request.give_up("speakers", f"{request.model.id} does not tell speakers apart")
        return
    request.set("known_speaker_names", "speakers", [one.name for one in input.speakers])
    request.set("known_speaker_references", "speakers", [one.file.data_url() for one in input.speakers])


def read(input: Input, answer: Answer) -> Output:
    """Take the text and what comes with it; raises `OutputError` for an answer of another shape."""
    content = answer.content if isinstance(answer.content, dict) else {}
    text = content.get("text")
    if not isinstance(text, str):
        raise OutputError("the answer holds no text", code="output.shape")
    if input.format in _SUBTITLES:
        file = made_file(text.encode(), _SUBTITLES[input.format], "subtitles")
        return Output(text=bare_text(text), file=file, model=answer.model)
    heard = content.get("languages")
    codes = [str(one.get("code")) for one in heard if isinstance(one, dict)] if isinstance(heard, list) else []
    return Output(
        text=text.strip(),
        segments=_read_parts(content.get("segments"), "text"),
        words=_read_parts(content.get("words"), "word"),
        languages=codes or [str(content["language"])] if content.get("language") else codes,
        model=answer.model,
    )


def bare_text(subtitles: str) -> str:
    """Return what subtitles say, without their numbers and times."""
    cues = [block.splitlines() for block in subtitles.replace("\r\n", "\n").split("\n\n")]
    said = []
    for lines in cues:
        times = [at for at, line in enumerate(lines) if "-->" in line]
        if times:
            said += lines[times[0] + 1 :]
    return " ".join(line.strip() for line in said if line.strip())


def _read_parts(found: Any, name: str) -> list[Segment]:
    if not isinstance(found, list):
        return []
    try:
        return [
            Segment(
                start=float(one["start"]),
                end=float(one["end"]),
                text=str(one[name]).strip(),
                speaker=str(one.get("speaker") or ""),
            )
            for one in found
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"a part of the answer has another shape: {error!r}", code="output.shape") from None


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="transcription",
    load=load_files,
    example={"recording": f"data:audio/wav;base64,{base64.b64encode(make_silence(0.2)).decode()}"},
)
