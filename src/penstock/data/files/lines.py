"""Text files as lines of bytes, read in blocks, with the byte offset after each line."""

from __future__ import annotations

import codecs
import os
from collections import deque
from itertools import accumulate
from typing import Any, BinaryIO

from penstock.base.errors import DefectError, InputError
from penstock.data.files.place import Place, changed, mark, open_file, refuse_foreign

BLOCK_BYTES = 1 << 18
LINE_LIMIT_BYTES = 64 << 20


class Lines:
    """Reads whole lines (ended by LF, CRLF or CR) from a file that stays open until `close`.

    `line` counts the lines that were handed out, from the file's first on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.handle = open_file(place)
        self.line = 0
        self._rest = b""
        self._spans: deque[tuple[int, list[int]]] = deque()
        try:
            head = os.pread(self.handle.fileno(), 4096, 0)
            refuse_foreign(place, head)
            self.move(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0, 0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.handle.close()

    def move(self, offset: int, line: int) -> None:
        """Go on at a byte offset, which is where line number `line` ends."""
        self.handle.seek(offset)
        self.line = line
        self._rest = b""
        self._spans = deque([(line, [offset])])

    def read(self) -> list[bytes]:
        """Return the next block of lines with their line ends; an empty list at the end of the file."""
        lines = self._split()
        if lines:
            start = self._spans[-1][1][-1]
            self._spans.append((self.line, list(accumulate(map(len, lines), initial=start))))
            self.line += len(lines)
        return lines

    def _split(self) -> list[bytes]:
        parts, length = [self._rest], len(self._rest)
        while block := self._read_block():
            has_end = b"\n" in block or b"\r" in block or parts[-1].endswith(b"\r")
            parts.append(block)
            length += len(block)
            if has_end:
                lines = b"".join(parts).splitlines(keepends=True)
                # A last CR may be half of a CRLF, so that line waits for the next block.
                self._rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                if lines:
                    return lines
                parts = [self._rest]
            elif length > LINE_LIMIT_BYTES:
                raise self._too_long()
        self._rest = b""
        return b"".join(parts).splitlines(keepends=True)

    def _too_long(self) -> InputError:
        return InputError(
            f"line {self.line + 1} of {self.place.name} is longer than {LINE_LIMIT_BYTES >> 20} MB",
            code="files.line-too-long",
            hint="Check that the file is text with one record per line.",
            where=f"{self.place.name}:{self.line + 1}",
        )

    def _read_block(self) -> bytes:
        try:
            return self.handle.read(BLOCK_BYTES)
        except OSError as error:
            raise InputError(
                f"{self.place.name} cannot be read on: {error.strerror}",
                code="files.unreadable",
                hint="Check the disk or network share that it is on, then run the same command again.",
                where=f"{self.place.name}:{self.line + 1}",
            ) from error

    def offset_after(self, line: int) -> int:
        """Return the byte offset where a line ends that was handed out since the last `forget_before`."""
        for first, ends in self._spans:
            if first <= line < first + len(ends):
                return ends[line - first]
        raise DefectError(f"the offset of line {line} was forgotten")

    def forget_before(self, line: int) -> None:
        """Let go of the offsets of earlier lines."""
        while len(self._spans) > 1 and self._spans[1][0] <= line:
            self._spans.popleft()

    def raw(self, first: int, last: int, limit: int) -> bytes:
        """Read the bytes of lines `first` to `last` again, at most `limit` of them."""
        start = self.offset_after(first - 1)
        return os.pread(self.handle.fileno(), min(self.offset_after(last) - start, limit), start)


class Bookmark:
    """Makes cursors of a text file and refuses those of another one."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._touched = _touched(lines.handle)
        self._last = self._make(lines.line)

    def resume(self, cursor: dict[str, Any]) -> None:
        """Go to where `cursor` stands; raises `InputError` when what was read before it has changed."""
        self._verify(cursor)
        offset = cursor["offset"]
        self._lines.move(offset + self._rest_of_line(offset), cursor["line"])
        self._last = cursor

    def _rest_of_line(self, offset: int) -> int:
        """Return how many bytes of line end were added behind a last line that had none."""
        around = os.pread(self._lines.handle.fileno(), 3, max(offset - 1, 0))
        before, behind = around[:1], around[1:]
        if before == b"\n" or (before == b"\r" and not behind.startswith(b"\n")) or not behind:
            return 0
        if before != b"\r" and not behind.startswith((b"\n", b"\r")):
            raise changed(self._lines.place)  # the last row was still being written when it was read
        return 2 if behind == b"\r\n" else 1

    def place(self, line: int) -> dict[str, Any]:
        """Return the cursor after a line; raises `InputError` when the file was rewritten meanwhile."""
        touched = _touched(self._lines.handle)
        if touched != self._touched:
            self._verify(self._last)
        self._touched = touched
        self._last = self._make(line)
        self._lines.forget_before(line)
        return self._last

    def _make(self, line: int) -> dict[str, Any]:
        offset = self._lines.offset_after(line)
        return {"offset": offset, "line": line, "mark": mark(self._lines.handle, offset)}

    def _verify(self, cursor: dict[str, Any]) -> None:
        handle = self._lines.handle
        if os.fstat(handle.fileno()).st_size < cursor["offset"] or mark(handle, cursor["offset"]) != cursor["mark"]:
            raise changed(self._lines.place)


def _touched(handle: BinaryIO) -> int:
    return os.fstat(handle.fileno()).st_mtime_ns


def check_encoding(encoding: str, what: str) -> str:
    """Return the codec's name; raises `InputError` when it is unknown or its lines are not ended by plain LF."""
    try:
        name = codecs.lookup(encoding).name
        plain = 'a,"\n'.encode(name) == b'a,"\n'
    except (LookupError, UnicodeError):
        plain = False
        name = encoding
    if not plain:
        raise InputError(
            f"{what} cannot be read as {encoding!r}",
            code="files.unknown-encoding",
            hint="Use utf-8, latin-1, cp1252 or another encoding that extends ASCII; turn UTF-16 into UTF-8 first.",
        )
    return "utf-8" if name in ("utf-8", "utf-8-sig", "ascii") else name
