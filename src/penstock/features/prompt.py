"""Text that customers wrote, made fit to stand in a request: cleaned, and cut to a stated length."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

HEAD_CHARACTERS = 6000
TAIL_CHARACTERS = 2000
MAX_CHARACTERS = HEAD_CHARACTERS + TAIL_CHARACTERS
"""A longer text is cut in the middle: customers say what matters first, and sum up last."""

_FAR = 8 * MAX_CHARACTERS
_SLACK = 500
_EMAIL_LENGTH = 260

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff]"
)
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]|\n{3,}")
_WORD_END = re.compile(r"[^\w.@+\-]")


class Fenced(NamedTuple):
    """A text ready to be sent, and whether its middle was left out."""

    text: str
    truncated: bool


def clean(text: str) -> str:
    """Return the text in compatible Unicode form (NFKC) without control, zero-width, direction and private characters.

    Tabs become spaces, three or more line breaks two, other runs of blanks one.
    """
    if text.isascii():
        if "  " not in text and text.isprintable():
            return text.strip()
        text = _CONTROL.sub("", _BREAKS.sub("\n", text)) if _CONTROL.search(text) else text
    else:
        text = _HIDDEN.sub("", unicodedata.normalize("NFKC", _HIDDEN.sub("", _BREAKS.sub("\n", text))))
    return _BLANKS.sub(lambda run: "\n\n" if run[0][0] == "\n" else " ", text).strip()


def cut(text: str) -> list[str]:
    """Clean a text; return it whole, or its first and last part a little longer than what will be sent.

    Parts end at a blank, so that an address or number at the cut is kept or dropped whole.
    """
    if len(text) <= _FAR:
        head = tail = clean(text)
        if len(head) <= MAX_CHARACTERS:
            return [head]
    else:
        head, tail = clean(text[: _FAR // 2]), clean(text[-_FAR // 2 :])
    head = _drop_partial_word(head[: HEAD_CHARACTERS + _SLACK])
    tail = _drop_partial_word(tail[-TAIL_CHARACTERS - _SLACK :][::-1])[::-1]
    return [head, tail]


def _drop_partial_word(text: str) -> str:
    for position in range(len(text) - 1, max(len(text) - _SLACK, 0), -1):
        if _WORD_END.match(text[position]):
            return text[:position]
    return text[:-_EMAIL_LENGTH]


def join(parts: list[str]) -> Fenced:
    """Put the parts together at the length that is sent, saying where something is missing."""
    if len(parts) == 1 and len(parts[0]) <= MAX_CHARACTERS:
        return Fenced(parts[0], truncated=False)
    head, tail = parts[0][:HEAD_CHARACTERS], parts[-1][-TAIL_CHARACTERS:]
    return Fenced(f"{head}\n[… middle left out …]\n{tail}", truncated=True)
