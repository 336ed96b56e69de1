"""Carries template tags through tools that would move or encode them: each becomes something inert, and comes back.

In text a tag becomes a comment, which may stand even between the rows of a table; in attributes, comments and titles a
word. What comes back is compared: every tag byte for byte and in order, or the whole is refused.
"""

from __future__ import annotations

import hashlib
import re

from penstock.base.errors import InputError
from penstock.vendor.brevo_template import read_tags

_STYLE = re.compile(r"<style\b[^>]*>.*?</style\s*>", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(
    r"<!--.*?-->"
    r"|<(title|textarea|script|style|mj-preview|mj-title|mj-style|mj-attributes)\b[^>]*>.*?</\1\s*>"
    r"|<[A-Za-z/!?](?:\"[^\"]*\"|'[^']*'|[^'\">])*>",
    re.DOTALL | re.IGNORECASE,
)


class Guarded:
    """A text whose tags are hidden; `restore` puts them back into what a tool made of it."""

    def __init__(self, text: str, *, hide_styles: bool = False) -> None:
        """Hide the tags of `text`; with `hide_styles` whole style elements that hold tags go with them."""
        self._before = [tag.text for tag in read_tags(text)]
        self._mark = "pt" + _in_letters(hashlib.blake2b(text.encode(errors="replace"), digest_size=6).digest())
        self._hidden: list[str] = []
        if hide_styles:
            text = _STYLE.sub(lambda found: self._hide(found[0]) if read_tags(found[0]) else found[0], text)
        for tag in reversed(read_tags(text)):
            text = f"{text[: tag.start]}{self._hide(tag.text)}{text[tag.end :]}"
        self.text = self._wrap(text)

    def _hide(self, text: str) -> str:
        self._hidden.append(text)
        return f"{self._mark}{_in_letters(len(self._hidden).to_bytes(3))}z"

    def _wrap(self, text: str) -> str:
        """Make comments of the marks that stand in text, where markup may follow."""
        mark = re.compile(rf"{self._mark}[a-p]{{6}}z")
        parts, end = [], 0
        for markup in _MARKUP.finditer(text):
            parts += [mark.sub(r"<!--\g<0>-->", text[end : markup.start()]), markup[0]]
            end = markup.end()
        text = "".join([*parts, mark.sub(r"<!--\g<0>-->", text[end:])])
        # rows of a table get a body from every reader of HTML: the loop around them belongs inside it
        return re.sub(rf"(<table\b[^>]*>\s*)(?=(?:<!--{self._mark}[a-p]{{6}}z-->\s*)+<tr\b)", r"\1<tbody>", text)

    def hides(self, text: str) -> bool:
        """Tell whether a part of the hidden text holds a tag."""
        return self._mark in text

    def restore(self, text: str, *, may_sort: bool = False) -> str:
        """Put the tags back; raises `InputError` unless each is there again, byte for byte and in order.

        With `may_sort` values may change places between two blocks: a tool that sorts attributes does that.
        """
        # a tag between attributes is taken for one without a value, and comes back with an empty one
        mark = re.compile(rf"<!--\s*{self._mark}([a-p]{{6}})z\s*-->|{self._mark}([a-p]{{6}})z(?:=\"\")?", re.IGNORECASE)
        text = mark.sub(lambda found: self._hidden[_to_number((found[1] or found[2]).lower()) - 1], text)
        after = [tag.text for tag in read_tags(text)]
        if after != self._before and not (may_sort and _sort(after) == _sort(self._before)):
            raise InputError(
                "template tags stand where they cannot be kept: "
                + (_first_difference(self._before, after) or "their order would change"),
                code="content.tags",
                hint="Put {% … %} around whole elements or inside text, and {{ … }} inside text or attribute values.",
            )
        return text


def _sort(tags: list[str]) -> list[list[str]]:
    """Group tags by the blocks between them, each group in alphabetical order."""
    groups: list[list[str]] = [[]]
    for tag in tags:
        if tag.startswith("{%"):
            groups += [[tag], []]
        else:
            groups[-1].append(tag)
    return [sorted(group) for group in groups]


def _first_difference(before: list[str], after: list[str]) -> str:
    pairs = [*zip(before, after, strict=False)]
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
    return f"near {before[at][:60]}" if at < len(before) else ""


def _in_letters(data: bytes) -> str:
    """Write bytes in letters that no tool changes: no digits, no capitals, nothing to encode."""
    return data.hex().translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def _to_number(letters: str) -> int:
    return int(letters.translate(str.maketrans("abcdefghijklmnop", "0123456789abcdef")), 16)
