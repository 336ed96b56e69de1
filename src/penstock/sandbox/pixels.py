"""Pictures of the emulated OpenAI: small, valid PNG, JPEG and WebP files of any size, drawn from a digest."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

_CELLS = 8


class Look(NamedTuple):
    """What a picture shows: a mirrored pattern of 8 by 8 cells in one colour on a ground."""

    colour: tuple[int, int, int]
    ground: tuple[int, int, int]
    cells: tuple[tuple[bool, ...], ...]


def draw_look(seed: str) -> Look:
    """Return the look that belongs to a text; equal texts look alike."""
    digest = hashlib.blake2b(seed.encode(), digest_size=16).digest()
    colour = (digest[0] // 2, digest[1] // 2, digest[2] // 2)
    ground = (255 - digest[3] // 6, 255 - digest[4] // 6, 255 - digest[5] // 6)
    rows = []
    for row in range(_CELLS):
        half = [bool(digest[6 + row] >> column & 1) for column in range(_CELLS // 2)]
        rows.append((*half, *reversed(half)))
    return Look(colour, ground, tuple(rows))


def encode_picture(look: Look, width: int, height: int, kind: str, *, transparent: bool = False) -> bytes:
    """Return the picture as png, jpeg or webp; a webp is one flat colour."""
    if kind == "jpeg":
        return _encode_jpeg(look, width, height)
    if kind == "webp":
        return _encode_webp(look.colour, width, height, 128 if transparent else 255)
    return _encode_png(look, width, height, transparent=transparent)


def _encode_png(look: Look, width: int, height: int, *, transparent: bool) -> bytes:
    stride = (width + 7) // 8
    rows = []
    for row in range(_CELLS):
        bits = 0
        for column in range(width):
            bits = bits << 1 | look.cells[row][column * _CELLS // width]
        rows.append(b"\0" + (bits << (stride * 8 - width)).to_bytes(stride, "big"))
    lines = b"".join(rows[line * _CELLS // height] for line in range(height))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)),
        (b"PLTE", bytes(look.ground + look.colour)),
    ]
    if transparent:
        parts.append((b"tRNS", b"\0\xff"))
    parts += [
        (b"tEXt", b"Software\0Penstock sandbox"),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _encode_webp(colour: tuple[int, int, int], width: int, height: int, alpha: int) -> bytes:
    """Write lossless WebP whose five codes have one symbol each, so that a pixel takes no bit (RFC 9649)."""
    bits = at = 0

    def put(value: int, count: int) -> None:
        nonlocal bits, at
        bits |= value << at
        at += count

    put(width - 1, 14)
    put(height - 1, 14)
    put(int(alpha < 255), 1)
    put(0, 3 + 3)  # version; no transform, no colour cache, no second level of codes
    red, green, blue = colour
    for symbol in (green, red, blue, alpha):
        put(0b101, 3)  # a simple code of one symbol, written with eight bits
        put(symbol, 8)
    put(0b0001, 4)  # the code of distances: one symbol, written with one bit: 0
    data = b"\x2f" + bits.to_bytes((at + 7) // 8, "little")
    data_chunk = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(data_chunk)) + b"WEBP" + data_chunk


_QUANT = 8
_SIZES = (2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9)
"""Code lengths of the usual table for the differences of mean luminance (ITU-T T.81, table K.3)."""


def _encode_jpeg(look: Look, width: int, height: int) -> bytes:
    """Write a baseline JPEG, grey, in which every block of 8 by 8 has one shade (ITU-T T.81)."""
    shades = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in (look.ground, look.colour)]
    # One shade is the mean of its block: 8 times the shade, less 128, divided by the table's first entry.
    levels = [round((shade - 128) * 8 / _QUANT) for shade in shades]
    columns, lines = (width + 7) // 8, (height + 7) // 8
    codes = {difference: _write_difference(difference) for difference in (0, *_differences(levels))}
    out, before = [], 0
    for line in range(lines):
        cells = look.cells[line * _CELLS // lines]
        for column in range(columns):
            level = levels[cells[column * _CELLS // columns]]
            out.append(codes[level - before])
            before = level
    bits = "".join(out)
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    counts = [0] * 16
    for size in _SIZES:
        counts[size - 1] += 1
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, b"\0" + bytes([_QUANT]) * 64),
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0"),
            _segment(0xC4, b"\0" + bytes(counts) + bytes(range(12))),
            _segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0"),
            _segment(0xDA, b"\x01\x01\0\0\x3f\0"),
            scan,
            b"\xff\xd9",
        ]
    )


def _differences(levels: list[int]) -> list[int]:
    return [*levels, levels[0] - levels[1], levels[1] - levels[0]]


def _write_difference(difference: int) -> str:
    """Return the bits of one block: its mean as a difference, then the code for "no more"."""
    category = abs(difference).bit_length()
    bits = _code_of(category)
    if category:
        value = difference if difference > 0 else difference + (1 << category) - 1
        bits += format(value, f"0{category}b")
    return bits + "0"


def _code_of(category: int) -> str:
    """Return the canonical code of a category of differences."""
    code, length = 0, 2
    for one in range(12):
        code <<= _SIZES[one] - length
        length = _SIZES[one]
        if one == category:
            return format(code, f"0{length}b")
        code += 1
    raise ValueError(category)


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


class Picture(NamedTuple):
    """What a file's head says of a picture."""

    kind: str
    width: int
    height: int
    has_alpha: bool


def read_picture(content: bytes) -> Picture | None:
    """Read the head of a PNG, JPEG or WebP; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 33:
        width, height, _, colours = struct.unpack_from(">IIBB", content, 16)
        return Picture("png", width, height, colours in (4, 6) or b"tRNS" in content[:2048])
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP" and len(content) >= 30:
        return _read_webp(content)
    if content.startswith(b"\xff\xd8"):
        return _read_jpeg(content)
    return None


def _read_webp(content: bytes) -> Picture | None:
    kind = content[12:16]
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return Picture("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1))
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return Picture("webp", width, height, bool(content[20] & 0x10))
    width, height = (one & 0x3FFF for one in struct.unpack_from("<HH", content, 26))
    return Picture("webp", width, height, has_alpha=False)


def _read_jpeg(content: bytes) -> Picture | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return Picture("jpeg", width, height, has_alpha=False)
        at += 2 + length
    return None
