"""Recordings: how long they take, and how parts of one speech are joined."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from penstock.operations.media import skip_tag, sniff

JOINABLE = ("wav", "mp3", "pcm")
"""Formats whose parts make one file without being encoded anew."""
SLOWEST_BYTES = 2_000
"""Bytes a second of a recording whose length cannot be read: 16 kbit/s, so that it is rather too long."""
_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
"""Kilobits a second of layer III, for MPEG 1 and for 2 and 2.5 (ISO 11172-3, 13818-3)."""
_SAMPLES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class Frame(NamedTuple):
    """One frame of an MP3: where it stands, its bytes, how long it plays."""

    start: int
    size: int
    seconds: float


def measure_seconds(data: bytes) -> float:
    """Return how long a recording takes: read from it where it says so, else rather too much."""
    readers = {
        "audio/wav": _measure_wav,
        "audio/mpeg": _measure_mp3,
        "audio/flac": _measure_flac,
        "audio/ogg": _measure_ogg,
        "audio/mp4": _measure_mp4,
        "video/mp4": _measure_mp4,
    }
    reader = readers.get(sniff(data))
    try:
        seconds = reader(data) if reader else 0.0
    except (struct.error, IndexError, ZeroDivisionError):
        seconds = 0.0
    return seconds if seconds > 0 else len(data) / SLOWEST_BYTES


def make_silence(seconds: float, hertz: int = 2_000) -> bytes:
    """Return a short WAV in which nothing is heard."""
    form = struct.pack("<HHIIHH", 1, 1, hertz, hertz, 1, 8)
    return _write_wav(form, b"\x80" * int(seconds * hertz))


def join_sound(kind: str, parts: Sequence[bytes]) -> bytes:
    """Return parts of one speech as one file of their kind (`JOINABLE`); raises `ValueError` where they differ."""
    if len(parts) == 1:
        return parts[0]
    if kind == "wav":
        return _join_wav(parts)
    return b"".join(_bare_mp3(part) for part in parts) if kind == "mp3" else b"".join(parts)


def cut_sound(data: bytes, most_bytes: int) -> list[bytes]:
    """Return a recording in parts of at most so many bytes, each playable by itself: WAV by samples, MP3 by frames.

    Nothing is encoded anew and nothing is lost. Raises `ValueError` for other kinds, which cannot be cut like that.
    """
    if len(data) <= most_bytes:
        return [data]
    kind = sniff(data)
    if kind == "audio/wav":
        wave = _read_wav(data)
        unit = int.from_bytes(wave.form[12:14], "little") or 1  # one sample of every channel
        room = (most_bytes - 64 - len(wave.form)) // unit * unit
        return [_write_wav(wave.form, wave.sound[at : at + room]) for at in range(0, len(wave.sound), room)]
    if kind != "audio/mpeg":
        raise ValueError(f"{kind or 'a file of this kind'} cannot be cut")
    parts, start, end = list[bytes](), 0, 0
    for frame in _frames(data):
        if frame.start + frame.size - start > most_bytes:
            parts.append(data[start:end])
            start = frame.start
        end = frame.start + frame.size
    return [*parts, data[start:end]]


class _Wave(NamedTuple):
    form: bytes
    sound: bytes


def _read_wav(data: bytes) -> _Wave:
    """Return format and samples; a streamed file gives its size as the largest there is, or as none."""
    at, form = 12, b""
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if kind == b"fmt ":
            form = body
        elif kind == b"data":
            return _Wave(form, body if size else data[at + 8 :])
        at += 8 + size + size % 2
    return _Wave(form, b"")


def _join_wav(parts: Sequence[bytes]) -> bytes:
    waves = [_read_wav(part) for part in parts]
    if len({wave.form for wave in waves}) != 1 or not waves[0].form:
        raise ValueError("the parts are sampled differently")
    return _write_wav(waves[0].form, b"".join(wave.sound for wave in waves))


def _write_wav(form: bytes, sound: bytes) -> bytes:
    sound += b"\0" * (len(sound) % 2)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bare_mp3(data: bytes) -> bytes:
    """Return the frames alone: no tags, and no first frame that tells the length of its part."""
    start, end = skip_tag(data), len(data) - (128 if data[-128:-125] == b"TAG" else 0)
    first = next(_frames(data), None)
    if first and any(mark in data[first.start : first.start + first.size] for mark in (b"Xing", b"Info", b"VBRI")):
        start = first.start + first.size
    return data[start:end]


def _frames(data: bytes) -> Iterator[Frame]:
    at, end = skip_tag(data), len(data) - 4
    while at <= end:
        version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
        rate, hertz = data[at + 2] >> 4, data[at + 2] >> 2 & 3
        if data[at] != 0xFF or data[at + 1] < 0xE0 or version == 1 or layer != 1 or rate in (0, 15) or hertz == 3:
            at += 1  # not a frame: look for the next one
            continue
        samples = 1152 if version == 3 else 576
        frequency = _SAMPLES[version][hertz]
        kilobits = _RATES[0 if version == 3 else 1][rate]
        size = samples * kilobits * 125 // frequency + (data[at + 2] >> 1 & 1)
        yield Frame(at, size, samples / frequency)
        at += size


def _measure_wav(data: bytes) -> float:
    wave = _read_wav(data)
    return len(wave.sound) / int.from_bytes(wave.form[8:12], "little")


def _measure_mp3(data: bytes) -> float:
    return sum(frame.seconds for frame in _frames(data))


def _measure_flac(data: bytes) -> float:
    packed = int.from_bytes(data[18:26], "big")  # 20 bits rate, 3 channels, 5 depth, 36 samples
    return (packed & (1 << 36) - 1) / (packed >> 44)


def _measure_ogg(data: bytes) -> float:
    """Return the position of the last page: in samples, for Opus always of 48 kHz (RFC 7845)."""
    last = data.rfind(b"OggS")
    position = struct.unpack_from("<q", data, last + 6)[0]
    vorbis = data.find(b"\x01vorbis", 0, 200)
    rate = struct.unpack_from("<I", data, vorbis + 12)[0] if vorbis >= 0 else 48_000
    return float(position / rate)


def _measure_mp4(data: bytes) -> float:
    at = data.find(b"mvhd")
    if at < 0:
        return 0.0
    form, place = (">IQ", at + 24) if data[at + 4] == 1 else (">II", at + 16)
    scale, length = struct.unpack_from(form, data, place)
    return float(length / scale)
