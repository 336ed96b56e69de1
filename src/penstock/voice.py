"""Recordings of what customers say, written down into the feedback table.

heard = await Voice(workspace.operations, workspace.store, workspace.clock).hear(Path("calls"))
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError, PenstockError
from penstock.base.types import Problem
from penstock.calls import CallOptions, Operations
from penstock.data.feedback import read_said
from penstock.data.files import files_source
from penstock.operations.files import RECORDING
from penstock.operations.result import Result
from penstock.operations.sound import cut_sound, measure_seconds
from penstock.runtime.barred import Barred, fold_identifier
from penstock.runtime.feedback import Feedback, Put, Said
from penstock.runtime.store import Store

ENDINGS = frozenset(["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "ogg", "wav", "webm"])
"""Kinds of recordings that are listened to (contract 2.15)."""
LIST = "recordings.csv"
"""A table beside the recordings that says whose they are: column `file`, and what feedback may say of itself."""
SOURCE = "voice"
TOGETHER = 8
"""Recordings that are held in memory at once."""
_USUAL = CallOptions()


class Heard(msgspec.Struct):
    """What became of a folder: each recording is in exactly one of the first five."""

    recordings: int = 0
    added: int = 0
    known: int = 0
    forgotten: int = 0
    """Of people who were forgotten or who object: not sent."""
    silent: int = 0
    """In which nothing was said."""
    failed: list[Problem] = []
    seconds: float = 0.0
    dollars: float | None = 0.0
    """What was bought now, or with a dry run what would be at most; None where a price is unknown."""

    def pay(self, dollars: float | None) -> None:
        """Add a cost."""
        self.dollars = None if self.dollars is None or dollars is None else self.dollars + dollars


class Voice:
    """Writes recordings down."""

    def __init__(self, operations: Operations, store: Store, clock: Clock) -> None:
        self._operations = operations
        self._feedback = Feedback(store, clock)
        self._barred = Barred(store)

    async def hear(
        self,
        folder: Path,
        *,
        source: str = SOURCE,
        given: dict[str, Any] | None = None,
        options: CallOptions = _USUAL,
        dry_run: bool = False,
    ) -> Heard:
        """Write down every recording of a folder, and keep the words as feedback from `source`.

        `given` are inputs of `transcribe` for all of them, such as `{"languages": ["de"]}`. Safe to repeat: a recording
        is known by its content, and its answer is held. One that cannot be used is a problem of its own; raises what
        concerns all of them. With `dry_run` nothing is sent or kept.
        """
        heard, paths = Heard(), await asyncio.to_thread(_list_recordings, folder)
        facts = await _read_facts(folder)
        barred = await self._barred.find([fold_identifier(_who(facts.get(path.name, {}))) for path in paths])
        for at in range(0, len(paths), TOGETHER):
            wanted = {}
            for path in paths[at : at + TOGETHER]:
                heard.recordings += 1
                if fold_identifier(_who(facts.get(path.name, {}))) in barred:
                    heard.forgotten += 1
                else:
                    wanted[path.name] = path
            left = None if options.budget is None else max(options.budget - (heard.dollars or 0.0), 0.0)
            now = msgspec.structs.replace(options, budget=left)
            await self._hear_some(wanted, facts, source, given or {}, now, dry_run, heard)
        return heard

    async def _hear_some(
        self,
        paths: dict[str, Path],
        facts: dict[str, dict[str, Any]],
        source: str,
        given: dict[str, Any],
        options: CallOptions,
        dry_run: bool,
        heard: Heard,
    ) -> None:
        parts: dict[str, list[bytes]] = {}
        for name, path in paths.items():
            try:
                data = await asyncio.to_thread(path.read_bytes)
                parts[name] = _cut(name, data)
            except (OSError, PenstockError) as error:
                heard.failed.append(_problem(name, error))
                continue
            heard.seconds += measure_seconds(data)
        inputs = {
            f"{number} {name}": {**given, "recording": piece}
            for name, pieces in parts.items()
            for number, piece in enumerate(pieces)
        }
        if dry_run:
            for key, values in inputs.items():
                try:
                    heard.pay(self._operations.preview("transcribe", values, options).most_dollars)
                except InputError as error:
                    heard.failed.append(_problem(key.partition(" ")[2], error))
            return
        try:
            results = await self._operations.call_many("transcribe", inputs, options)
        except ExceptionGroup as group:  # what concerns all of them, such as the budget: what is kept stays
            raise group.exceptions[0] from None
        said = []
        for name, pieces in parts.items():
            told = [results[f"{number} {name}"] for number in range(len(pieces))]
            one = self._write(name, pieces, told, facts.get(name, {}), source, heard)
            said += [one] if one is not None else []
        put = await self._feedback.put(said) if said else Put()
        heard.added += put.added
        heard.known += put.known
        heard.forgotten += put.forgotten

    def _write(
        self,
        name: str,
        pieces: Sequence[bytes],
        told: Sequence[Result | PenstockError],
        facts: dict[str, Any],
        source: str,
        heard: Heard,
    ) -> Said | None:
        """Return what one recording says as feedback; None where it failed, or where nothing is said."""
        texts = []
        for result in told:
            if isinstance(result, PenstockError):
                heard.failed.append(_problem(name, result))
                return None
            heard.pay(result.cost_dollars)
            texts.append(str(result.output["text"]).strip())
        text = " ".join(text for text in texts if text)
        if not text:
            heard.silent += 1
            return None
        content = hashlib.blake2b(b"".join(pieces), digest_size=12).hexdigest()
        more = {"id": content, "recording": name, **facts, "text": text, "heard_by": told[0].output["model"]}  # type: ignore[union-attr]
        try:
            return read_said("file", {key: value for key, value in more.items() if key != "file"}, source=source)
        except InputError as error:
            heard.failed.append(_problem(name, error))
            return None


def _list_recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", code="voice.no-folder", hint="Name a folder with recordings.")
    return sorted(path for path in folder.iterdir() if path.suffix.lower().removeprefix(".") in ENDINGS)


async def _read_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the list of recordings where there is one, by file name; raises `InputError` for one that cannot be read."""
    if not await asyncio.to_thread((folder / LIST).is_file):
        return {}
    found = {}
    async for page in _pages(folder):
        if page.rejects:
            problem = page.rejects[0].problem
            raise InputError(problem.message, code=problem.code, hint=problem.hint, where=problem.where)
        found.update({str(record.data["file"]): record.data for record in page.records})
    return found


async def _pages(folder: Path) -> AsyncIterator[Any]:
    source = files_source({"path": LIST, "key": "file"}, folder)
    try:
        async for page in source.pages():
            yield page
    finally:
        await source.close()


def _who(facts: dict[str, Any]) -> str:
    return str(facts.get("email") or facts.get("ext_id") or "")


def _cut(name: str, data: bytes) -> list[bytes]:
    try:
        return cut_sound(data, RECORDING.most_bytes)
    except ValueError:
        raise InputError(
            f"{name} has {len(data):,} bytes; one call takes {RECORDING.most_bytes:,}, and this kind cannot be cut",
            code="voice.too-long",
            hint="Make an MP3 of it: `ffmpeg -i IN -ac 1 -ar 16000 -b:a 32k OUT.mp3` has 14 MB an hour.",
        ) from None


def _problem(name: str, error: Exception) -> Problem:
    if isinstance(error, PenstockError):
        return Problem.from_error(error, name)
    return Problem("voice.unreadable", f"{name} cannot be read: {type(error).__name__}", "", name)
