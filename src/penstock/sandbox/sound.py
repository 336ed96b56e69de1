"""Sound of the emulated OpenAI: valid files whose length follows the text, which they carry along.

WAV and PCM hold a tone; MP3, Opus, AAC and FLAC hold silence. What was spoken, and how long it takes, travels
in a comment of the file, so that it can be transcribed again.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from array import array
from typing import NamedTuple

import msgspec

RATE = 24_000
"""Samples per second of everything that is spoken."""

_MARK = b"penstock-sandbox-speech:"
_MARKED = re.compile(_MARK + rb"([A-Za-z0-9_=-]+)\.")
_CHARACTERS_PER_SECOND = 15.0
TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}


class Speech(NamedTuple):
    """What a recording says, how long it takes in seconds, and who speaks."""

    text: str
    seconds: float
    voice: str = ""


def speak(text: str, voice: str, speed: float) -> Speech:
    """Return the speech of a text: fifteen characters a second at speed 1."""
    return Speech(text, round(max(0.2, len(text) / _CHARACTERS_PER_SECOND / speed), 3), voice)


def encode_speech(speech: Speech, kind: str) -> bytes:
    """Return the sound file; `pcm` is 16-bit, mono, little-endian, and carries no text."""
    note = _MARK + base64.urlsafe_b64encode(msgspec.json.encode(speech)) + b"."
    writers = {"mp3": _encode_mp3, "opus": _encode_opus, "aac": _encode_aac, "flac": _encode_flac, "wav": _encode_wav}
    return _play_tone(speech) if kind == "pcm" else writers[kind](speech, note)


def read_speech(content: bytes) -> Speech | None:
    """Return what a file of the sandbox says; None for other recordings."""
    found = _MARKED.search(content)
    if found is None:
        return None
    try:
        return Speech(*msgspec.json.decode(base64.urlsafe_b64decode(found[1]), type=tuple[str, float, str]))
    except (ValueError, msgspec.DecodeError):
        return None


def measure_seconds(content: bytes) -> float:
    """Return how long a recording takes: exact for WAV, else as if it had 128 kbit a second."""
    at = content.find(b"data", 12) if content.startswith(b"RIFF") and content[8:12] == b"WAVE" else -1
    if at < 0:
        return round(len(content) / 16_000, 3)
    bytes_per_second = int.from_bytes(content[28:32], "little") or RATE * 2
    return round((len(content) - at - 8) / bytes_per_second, 3)


def _play_tone(speech: Speech) -> bytes:
    period = RATE // (180 + sum(speech.voice.encode()) % 240)
    wave = array("h", (round(6_000 * math.sin(2 * math.pi * at / period)) for at in range(period)))
    if wave.itemsize == 2 and struct.pack("=h", 1) != struct.pack("<h", 1):
        wave.byteswap()
    samples = round(speech.seconds * RATE)
    return (wave.tobytes() * (samples // period + 1))[: samples * 2]


def _encode_wav(speech: Speech, note: bytes) -> bytes:
    tone = _play_tone(speech)
    note += b"\0" * (1 + (len(note) + 1) % 2)
    info = b"INFO" + b"ICMT" + struct.pack("<I", len(note)) + note
    chunks = b"".join(
        [
            b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16),
            b"LIST" + struct.pack("<I", len(info)) + info,
            b"data" + struct.pack("<I", len(tone)) + tone,
        ]
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _id3(note: bytes) -> bytes:
    """Return an ID3v2.4 tag whose comment is the note."""
    body = b"\0eng\0" + note
    frame = b"COMM" + _seven_bits(len(body)) + b"\0\0" + body
    return b"ID3\x04\0\0" + _seven_bits(len(frame)) + frame


def _seven_bits(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _encode_mp3(speech: Speech, note: bytes) -> bytes:
    # MPEG-2 layer III, 32 kbit/s, 24 kHz, mono; side information of zeros is a silent frame of 576 samples.
    frame = b"\xff\xf3\x44\xc4" + b"\0" * 92
    return _id3(note) + frame * max(1, math.ceil(speech.seconds * RATE / 576))


def _encode_aac(speech: Speech, note: bytes) -> bytes:
    # ADTS, AAC-LC, 24 kHz, mono; one silent block of 1,024 samples.
    block = b"\x00\xc8\x00\x80\x23\x80"
    length = 7 + len(block)
    head = bytes([0xFF, 0xF1, 0x40 | 6 << 2, 0x40 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC])
    return _id3(note) + (head + block) * max(1, math.ceil(speech.seconds * RATE / 1024))


def _comments(note: bytes) -> bytes:
    """Return a list of Vorbis comments that holds the note alone."""
    vendor, comment = b"Penstock sandbox", b"COMMENT=" + note
    return (
        b"".join(struct.pack("<I", len(one)) + one for one in (vendor,)) + struct.pack("<II", 1, len(comment)) + comment
    )


def _encode_opus(speech: Speech, note: bytes) -> bytes:
    packets = max(1, math.ceil(speech.seconds / 0.02))
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 0, RATE, 0, 0)
    pages = [_ogg_page(2, 0, 0, [head]), _ogg_page(0, 0, 1, [b"OpusTags" + _comments(note)])]
    # A packet of CELT silence takes 20 ms; positions count samples of 48 kHz.
    for at in range(0, packets, 50):
        count = min(50, packets - at)
        last = at + count == packets
        pages.append(_ogg_page(4 if last else 0, (at + count) * 960, len(pages), [b"\xf8\xff\xfe"] * count))
    return b"".join(pages)


def _ogg_page(flags: int, position: int, number: int, packets: list[bytes]) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS" + struct.pack("<BBqIIIB", 0, flags, position, 0x50454E53, number, 0, len(lacing)) + lacing
    page = head + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page, 32)) + page[26:]


def _encode_flac(speech: Speech, note: bytes) -> bytes:
    block, samples = 4096, max(16, round(speech.seconds * RATE))
    info = struct.pack(">HH", block, block) + b"\0" * 6
    info += (RATE << 44 | 0 << 41 | 15 << 36 | samples).to_bytes(8, "big") + b"\0" * 16
    tags = _comments(note)
    head = b"fLaC\0" + len(info).to_bytes(3, "big") + info + b"\x84" + len(tags).to_bytes(3, "big") + tags
    frames = [_flac_frame(number, min(block, samples - at)) for number, at in enumerate(range(0, samples, block))]
    return head + b"".join(frames)


def _flac_frame(number: int, samples: int) -> bytes:
    """Return one frame of silence: a subframe that is constantly zero."""
    coded = chr(number).encode("utf-8", "surrogatepass")
    head = b"\xff\xf8\x77\x08" + coded + struct.pack(">H", samples - 1)
    frame = head + bytes([_checksum(head, 8)]) + b"\0\0\0"
    return frame + struct.pack(">H", _checksum(frame, 16))


def _make_table(bits: int, polynomial: int) -> list[int]:
    table, top, mask = [], 1 << (bits - 1), (1 << bits) - 1
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


_TABLES = {bits: _make_table(bits, polynomial) for bits, polynomial in ((8, 0x07), (16, 0x8005), (32, 0x04C11DB7))}


def _checksum(data: bytes, bits: int) -> int:
    table, shift, mask, value = _TABLES[bits], bits - 8, (1 << bits) - 1, 0
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value
