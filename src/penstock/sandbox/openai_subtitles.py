"""Words and sentences with times, spread evenly over a recording, and subtitles of them."""

from __future__ import annotations

import re
from typing import NamedTuple

_SENTENCE = re.compile(r"[^.!?…]+[.!?…]*\s*")


class Segment(NamedTuple):
    """A piece of text with its start and end in seconds."""

    text: str
    start: float
    end: float


def cut_segments(text: str, seconds: float) -> list[Segment]:
    """Return the sentences of a text with their times."""
    return _spread([one.strip() for one in _SENTENCE.findall(text) if one.strip()] or [text], seconds)


def place_words(text: str, seconds: float) -> list[Segment]:
    """Return the words of a text with their times."""
    return _spread(text.split() or [text], seconds)


def _spread(parts: list[str], seconds: float) -> list[Segment]:
    total = sum(map(len, parts)) or 1
    found, at = [], 0
    for part in parts:
        start, at = at, at + len(part)
        found.append(Segment(part, round(seconds * start / total, 3), round(seconds * at / total, 3)))
    return found


def write_srt(segments: list[Segment]) -> str:
    """Return the subtitles as SubRip."""
    blocks = [
        f"{at}\n{_write_time(one.start, ',')} --> {_write_time(one.end, ',')}\n{one.text}\n"
        for at, one in enumerate(segments, 1)
    ]
    return "\n".join(blocks)


def write_vtt(segments: list[Segment]) -> str:
    """Return the subtitles as WebVTT."""
    blocks = [f"{_write_time(one.start, '.')} --> {_write_time(one.end, '.')}\n{one.text}\n" for one in segments]
    return "\n".join(["WEBVTT\n", *blocks])


def _write_time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
