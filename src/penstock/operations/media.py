"""What a file is, told from its first bytes and never from its name: media type, size of a picture."""

from __future__ import annotations

import struct

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/pcm": "pcm",
    "audio/mp4": "m4a",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg",
    "audio/webm": "webm",
    "application/x-subrip": "srt",
    "text/vtt": "vtt",
}
"""Ending of a file name, by media type."""
RED_SQUARE = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mM4oaFBEmIY1TCqYfhqAAB8MxgQ+iSj5QAAAABJRU5ErkJggg=="
)
"""A picture for examples, as base64."""
_SAME = {"image/jpeg": ("jpeg",), "audio/mpeg": ("mpga", "mpeg"), "audio/mp4": ("mp4",), "video/mp4": ("m4a",)}
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"%PDF", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)
_BRANDS = {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"avif": "image/avif", b"heic": "image/heic"}


def sniff(data: bytes) -> str:
    """Return the media type that the bytes show; empty for what is not recognised."""
    for beginning, media_type in _BEGINNINGS:
        if data.startswith(beginning):
            return media_type
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12], "")
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    start = skip_tag(data)
    head = data[start : start + 2]
    if len(head) == 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/mpeg" if head[1] & 0x06 else "audio/aac"
    return "audio/mpeg" if start else ""


def skip_tag(data: bytes) -> int:
    """Return where the sound begins behind an ID3v2 tag."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
    return 10 + size + (10 if data[5] & 0x10 else 0)


def name_file(name: str, media_type: str) -> str:
    """Return the name with an ending that fits the media type: the vendor goes by it."""
    ending = EXTENSIONS.get(media_type, "bin")
    plain = name.replace("\\", "/").rpartition("/")[2]
    if plain.rpartition(".")[2].lower() in (ending, *_SAME.get(media_type, ())) and "." in plain:
        return plain
    return f"{plain or 'file'}.{ending}"


def measure_picture(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels; None where they cannot be read."""
    try:
        kind = sniff(data)
        if kind == "image/png":
            width, height = struct.unpack_from(">II", data, 16)
        elif kind == "image/gif":
            width, height = struct.unpack_from("<HH", data, 6)
        elif kind == "image/webp":
            width, height = _measure_webp(data)
        elif kind == "image/jpeg":
            width, height = _measure_jpeg(data)
        else:
            return None
    except (struct.error, IndexError, ValueError):
        return None
    return (width, height) if width and height else None


def has_alpha(data: bytes) -> bool:
    """Tell whether a PNG has transparency: a channel of its own, or a list of transparent colours."""
    return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]


def _measure_webp(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _measure_jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
