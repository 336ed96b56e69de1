"""The only code that writes to a terminal: data on stdout, everything else on stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

import msgspec

from penstock.base.errors import DefectError, PenstockError
from penstock.base.redact import redact
from penstock.base.types import Finding, Money, Problem, format_money
from penstock.runtime.progress import Progress, Snapshot

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PAINT = re.compile(r"(\x1b\[(?:0|1|2|31|32|33|36)m)")
_BREAK = re.compile(r"[\t\r\n\x0b\x0c\x85\u2028\u2029]+")


def clean(text: str) -> str:
    """Make what would steer a terminal, or turn the direction of writing, visible: texts of customers may hold it."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def _clean_painted(text: str) -> str:
    if not _CONTROL.search(text):
        return text
    return "".join(part if at % 2 else clean(part) for at, part in enumerate(_PAINT.split(text)))


def _clean_line(value: Any) -> str:
    return clean(_BREAK.sub(" ", str(value)))


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """Colour text where the stream is a terminal that wants it; words carry the meaning either way."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def show_text(text: str) -> None:
    """Write a text that somebody else wrote: as it is into a file or pipe, cleaned onto a terminal."""
    sys.stdout.write((clean(text) if sys.stdout.isatty() else text) + "\n")


def show(text: str = "") -> None:
    """Write a line of data."""
    sys.stdout.write(_clean_painted(text) + "\n")


def show_piece(text: str) -> None:
    """Write a part of a text at once; the next one follows on the same line."""
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str = "") -> None:
    """Write a line that is not data."""
    sys.stderr.write(_clean_painted(text) + "\n")
    sys.stderr.flush()


def show_json(value: Any) -> None:
    """Write one JSON document, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show_line(value: Any) -> None:
    """Write one line of a JSON stream."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def show_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; numbers stand on the right."""
    cells = [["" if value is None else _clean_line(value) for value in row] for row in rows]
    widths = [max([len(head), *(len(row[index]) for row in cells)]) for index, head in enumerate(headings)]
    right = [all(_is_number(row[index]) for row in cells) for index in range(len(headings))]
    show(paint("  ".join(_pad(*part) for part in zip(headings, widths, right, strict=True)).rstrip(), "bold"))
    for row in cells:
        show("  ".join(_pad(*part) for part in zip(row, widths, right, strict=True)).rstrip())


def _is_number(text: str) -> bool:
    return not text or text.lstrip("$-+~").replace(",", "").replace(".", "").replace("%", "").isdigit()


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def show_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Write names and values, one pair a line."""
    pairs = [(_clean_line(name), clean(str(value))) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        show(f"  {paint(name.ljust(width), 'dim')}  {value}")


def show_findings(findings: Iterable[Finding]) -> None:
    """Write verdicts with their fixes."""
    for finding in findings:
        mark, colour = _MARKS[finding.verdict]
        show(f"  {paint(mark, colour)} {clean(finding.name)}: {clean(finding.message)}")
        if finding.fix and finding.verdict != "ok":
            show(f"      fix: {clean(finding.fix)}")


def show_problems(problems: Iterable[Problem]) -> None:
    """Write examples of what failed."""
    for problem in problems:
        where = f"{problem.where}: " if problem.where else ""
        show(f"  {paint('✗', 'red')} {clean(redact(where + problem.message))} [{problem.code}]")
        if problem.hint:
            show(f"      hint: {clean(problem.hint)}")


def show_error(error: PenstockError, *, debug: bool = False) -> None:
    """Write an error: what and where, a blank line, what to do, code."""
    note(f"{paint('error:', 'red', sys.stderr)} {clean(redact(error.message))}")
    if error.where:
        note(f"  at {clean(error.where)}")
    if error.hint:
        note()
        note(f"{paint('hint:', 'cyan', sys.stderr)} {clean(error.hint)}")
    note(paint(f"[{error.code}]", "dim", sys.stderr))
    if debug or (isinstance(error, DefectError) and os.environ.get("PENSTOCK_DEBUG")):
        import traceback

        note(redact("".join(traceback.format_exception(error))))


def duration(seconds: float | None) -> str:
    """Write a time span for people."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def money(amount: Money | None) -> str:
    """Write an amount."""
    return format_money(amount)


class ProgressLine:
    """One live line on a terminal, one line every ten seconds elsewhere, or a stream of JSON lines."""

    def __init__(self, progress: Progress, *, stream: bool = False) -> None:
        """Show `progress`; with `stream` every snapshot goes to stdout as JSON."""
        self._stream = stream
        self._live = sys.stderr.isatty() and not stream
        self._shown = False
        progress.every = 0.2 if self._live else (1.0 if stream else 10.0)
        progress.listen(self._take)

    def _take(self, snapshot: Snapshot) -> None:
        if self._stream:
            show_line(snapshot)
            return
        if snapshot.message:
            self.clear()
            note(snapshot.message)
        text = describe_snapshot(snapshot)
        if self._live:
            width = max(20, _columns() - 1)
            sys.stderr.write("\r\x1b[2K" + text[:width])
            sys.stderr.flush()
            self._shown = True
        else:
            note(text)

    def clear(self) -> None:
        """Remove the live line."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def describe_snapshot(snapshot: Snapshot) -> str:
    """Write progress in one line."""
    total = f"/{snapshot.total:,}" if snapshot.total is not None else ""
    parts = [
        f"{snapshot.stage:5} {snapshot.done:,}{total}",
        f"{snapshot.rate:,.0f}/s",
    ]
    if snapshot.left is not None:
        parts.append(f"{duration(snapshot.left)} left")
    cost = money(snapshot.cost) + (f" of {money(snapshot.budget)}" if snapshot.budget is not None else "")
    parts += [cost, f"{snapshot.calls:,} calls", f"{snapshot.cached:,} held"]
    if snapshot.writes_total:
        parts.append(f"{snapshot.writes:,}/{snapshot.writes_total:,} written")
    if snapshot.failed:
        parts.append(f"{snapshot.failed:,} failed")
    if snapshot.headroom:
        parts.append(snapshot.headroom)
    return " · ".join(parts)
