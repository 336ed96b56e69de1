"""Pictures made to fit: never larger, and still saying where they come from."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.operations.shrink import GENERATED, find_origin, mark_origin, shrink

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")
MB = 2 * 1024 * 1024


def draw(width: int, height: int, kind: str, mode: str = "RGB", *, noise: bool = False, **options) -> bytes:
    size = width * height * len(mode)
    image = Image.frombytes(mode, (width, height), random.Random(7).randbytes(size) if noise else bytes(size))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sign(content: bytes) -> bytes:
    """Put a box with content credentials into a file, as C2PA does it for each format."""
    box = b"\0\0\0\x40jumb\0\0\0\x20jumdc2pa\0\x11\0\x10" + GENERATED.encode()
    if content.startswith(b"\xff\xd8"):
        body = b"JP\0\x01\0\0\0\x01" + box
        return content[:2] + b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + content[2:]
    chunk = b"caBX" + box
    made = struct.pack(">I", len(box)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:33] + made + content[33:]


def read(content: bytes):
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_signed_credentials_live_as_long_as_nothing_is_changed(kind: str) -> None:
    signed = sign(draw(300, 200, kind))
    assert find_origin(signed) == "signed"
    fitted = shrink(signed, "a", most_bytes=MB, most_width=1200)
    assert (fitted.content, fitted.is_same) == (signed, True)
    assert mark_origin(signed) == signed
    smaller = shrink(signed, "a", most_bytes=MB, most_width=150)
    assert (smaller.width, smaller.height, smaller.is_same) == (150, 100, False)
    assert find_origin(smaller.content) == "stated"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_without_a_mark_gets_one_and_the_same_points(kind: str) -> None:
    plain = draw(90, 60, kind, noise=True)
    marked = mark_origin(plain)
    assert (find_origin(plain), find_origin(marked)) == ("none", "stated")
    assert mark_origin(marked) == marked
    assert read(marked).tobytes() == read(plain).tobytes()
    xmp = read(marked).info.get("xmp") or read(marked).info["XML:com.adobe.xmp"]
    assert GENERATED in str(xmp)


def test_a_file_with_words_of_its_own_and_other_formats_are_left_alone() -> None:
    own = draw(9, 9, "JPEG", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    assert mark_origin(own) == own
    other = draw(9, 9, "GIF", "L")
    assert mark_origin(other) == other


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_is_too_heavy_is_compressed_below_the_limit_with_its_mark(mode: str) -> None:
    heavy = mark_origin(draw(1300, 900, "PNG", mode, noise=True))
    assert len(heavy) > MB
    fitted = shrink(heavy, "a", most_bytes=MB)
    assert len(fitted.content) <= MB
    assert fitted.width <= 1300
    assert find_origin(fitted.content) == "stated"
    assert read(fitted.content).has_transparency_data == (mode == "RGBA")


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_only_the_wished_formats_come_out(kind: str) -> None:
    fitted = shrink(draw(40, 30, kind), "a", most_bytes=MB, formats=("JPEG",))
    assert (fitted.ending, read(fitted.content).format, fitted.width) == ("jpg", "JPEG", 40)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 600))
def test_no_picture_is_ever_made_larger(width: int, height: int, most: int) -> None:
    fitted = shrink(draw(width, height, "PNG"), "a", most_bytes=MB, most_width=most)
    assert fitted.width == min(width, most)
    assert fitted.height <= height
    assert read(fitted.content).size == (fitted.width, fitted.height)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]))
def test_no_bytes_break_the_look_for_a_mark(body: bytes, head: bytes) -> None:
    assert find_origin(head + body) in ("signed", "stated", "none")
    mark_origin(head + body)


@pytest.mark.parametrize("content", [b"", b"text", draw(9, 9, "PNG")[:40], draw(9, 9, "JPEG")[:30]])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        shrink(content, "hero.png", most_bytes=MB, most_width=4)
    assert caught.value.code == "image.unreadable"
    assert "hero.png" in caught.value.message
