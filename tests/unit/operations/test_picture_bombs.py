"""A small file that unfolds to gigabytes of points is refused before it is unfolded."""

from __future__ import annotations

import struct
import zlib

import pytest

from penstock.base.errors import InputError
from penstock.operations.shrink import shrink


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packed = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_700, 11_000, 20_000, 60_000, 2**31 - 1])
def test_a_picture_bomb_is_refused_with_a_reason(side: int) -> None:
    with pytest.raises(InputError) as caught:
        shrink(bomb(side, side), "hero.png", most_bytes=100)
    assert caught.value.code in ("image.too-large", "image.unreadable")
    assert "hero.png" in caught.value.message
