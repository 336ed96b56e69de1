"""Takes the texts out of an HTML or MJML template for translation, and puts others in; all else stays byte for byte.

A segment is what a person reads as one text: words with the inline elements and template tags among them, which stand
in it as marks such as ⟦1⟧. Attributes that are read (`alt`, `title`, `aria-label`) are segments of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html import escape, unescape
from typing import NamedTuple

from penstock.base.errors import InputError
from penstock.vendor.brevo_template import read_tags

MARK = re.compile(r"⟦(\d+)⟧")

_INLINE_NAMES = """
a abbr b bdi bdo br cite del dfn em font i img ins kbd mark q s samp small span strong sub sup time u var wbr
"""
_INLINE = frozenset(_INLINE_NAMES.split())
_ELEMENT = r"</?[A-Za-z][\w:-]*(?:\"[^\"]*\"|'[^']*'|[^'\">])*>"
_VOID = frozenset(["br", "img", "wbr"])
_MARKUP = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>"
    r"|<(?P<raw>style|script|mj-style|mj-attributes|pre|code)\b[^>]*>.*?</(?P=raw)\s*>"
    r"|<(?P<end>/?)(?P<name>[A-Za-z][\w:-]*)(?:\"[^\"]*\"|'[^']*'|[^'\">])*>"
    r"|<[!?][^>]*>",
    re.DOTALL | re.IGNORECASE,
)
_READ = re.compile(
    r"(?<=\s)(?:alt|title|aria-label|placeholder)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')", re.IGNORECASE
)
_SLOT = re.compile(r"\[\[[a-z_]+\]\]")
_START, _END = "\ue000", "\ue001"
_TAG = re.compile(f"{_START}(\\d+){_END}")
_INLINE_OR_TAG = re.compile(f"{_TAG.pattern}|{_ELEMENT}", re.DOTALL)


class Segment(NamedTuple):
    """One text to translate: what the model reads, what its marks stand for, and where it goes back."""

    text: str
    marks: tuple[str, ...]
    start: int
    end: int
    quote: str = ""
    """The quotation mark around an attribute's value; empty in text."""


class Template:
    """A template taken apart: `segments` in order of place, `rebuild` puts translations in."""

    def __init__(self, source: str) -> None:
        """Take a template apart; raises `InputError` where it holds characters that are used as marks."""
        if MARK.search(source) or _START in source or _END in source:
            raise InputError(
                "the template holds characters that translation uses as marks",
                code="content.marks",
                hint=f"Take ⟦…⟧ and private characters ({_START!a}, {_END!a}) out of it.",
            )
        self.source = source
        self._tags, self._plain = _hide_tags(source)
        self._attributes = _find_attributes(self._plain)
        self.segments = [*self._attributes, *_find_texts(self._plain)]

    def rebuild(self, texts: Sequence[str]) -> str:
        """Return the template with a text for each segment; raises `ValueError` for another number of them."""
        count = len(self._attributes)
        plain = _splice(self._plain, self._attributes, texts[:count])
        whole = _splice(plain, _find_texts(plain), texts[count:])  # again: marks hold the attributes of their elements
        return _TAG.sub(lambda found: self._tags[int(found[1])], whole)

    def structure(self) -> list[str]:
        """List everything that must be the same in every language: markup without its read attributes, and tags."""
        markup = [_READ.sub("", found[0]) for found in _MARKUP.finditer(self._plain)]
        return [*(_TAG.sub(lambda found: self._tags[int(found[1])], one) for one in markup), *self._tags]

    def blocks(self, segment: Segment, text: str) -> list[str]:
        """List the `{% … %}` among the marks of a text, in the order in which they stand there."""
        known = [mark for mark in (int(number) for number in MARK.findall(text)) if mark <= len(segment.marks)]
        found = [_TAG.fullmatch(segment.marks[mark - 1]) for mark in known]
        return [tag for one in found if one and (tag := self._tags[int(one[1])]).startswith("{%")]


def name_language(template: str, source: str, language: str) -> str:
    """Say in the outermost element that the whole is in another language, where it named the source's."""
    if not source:
        return template
    named = rf"(<(?:html|mjml)\b[^>]*?\slang=[\"'])({re.escape(source)})([\"'])"
    return re.sub(named, lambda found: f"{found[1]}{language}{found[3]}", template, count=1, flags=re.IGNORECASE)


def _splice(plain: str, segments: Sequence[Segment], texts: Sequence[str]) -> str:
    parts, at = [], 0
    for segment, text in zip(segments, texts, strict=True):
        parts += [plain[at : segment.start], _write(segment, text)]
        at = segment.end
    return "".join([*parts, plain[at:]])


def _hide_tags(source: str) -> tuple[list[str], str]:
    """Return the tags of a template, slots such as `[[body]]` included, and the template with a mark for each."""
    spans = sorted([(tag.start, tag.end) for tag in read_tags(source)] + [one.span() for one in _SLOT.finditer(source)])
    tags, parts, at = list[str](), list[str](), 0
    for start, end in spans:
        if start >= at:
            parts += [source[at:start], f"{_START}{len(tags)}{_END}"]
            tags.append(source[start:end])
            at = end
    return tags, "".join([*parts, source[at:]])


def _find_texts(plain: str) -> list[Segment]:
    found: list[Segment] = []
    start = 0  # of the run of text and inline markup under way
    for markup in _MARKUP.finditer(plain):
        if not _is_inline(markup):
            found += _cut(plain, start, markup.start())
            start = markup.end()
    return found + _cut(plain, start, len(plain))


def _find_attributes(plain: str) -> list[Segment]:
    opening = (markup for markup in _MARKUP.finditer(plain) if markup["name"] and not markup["end"])
    return [segment for markup in opening for segment in _read_attributes(markup)]


def _is_inline(markup: re.Match[str]) -> bool:
    return bool(markup["name"]) and markup["name"].lower() in _INLINE


def _read_attributes(markup: re.Match[str]) -> list[Segment]:
    found = []
    for attribute in _READ.finditer(markup[0]):
        group = "double" if attribute["double"] is not None else "single"
        value = attribute[group]
        if re.search(r"[^\W\d_]", _TAG.sub("", unescape(value))):
            start = markup.start() + attribute.start(group)
            text, marks = _to_marks(value, [one.span() for one in _TAG.finditer(value)])
            found.append(Segment(text, marks, start, start + len(value), '"' if group == "double" else "'"))
    return found


def _cut(plain: str, start: int, end: int) -> list[Segment]:
    """Return the segment in a run of text and inline markup; none where nothing is to be read."""
    run = plain[start:end]
    spans = [one.span() for one in _INLINE_OR_TAG.finditer(run)]
    first, last = 0, len(run)
    while True:
        first += len(run[first:last]) - len(run[first:last].lstrip())
        last = first + len(run[first:last].rstrip())
        names = [_name(run[one:two]) for one, two in spans]
        if spans and spans[0][0] == first and names[0] in _VOID:
            first = spans.pop(0)[1]
        elif spans and spans[-1][1] == last and names[-1] in _VOID:
            last = spans.pop()[0]
        elif len(spans) > 1 and (spans[0][0], spans[-1][1]) == (first, last) and _is_pair(run, spans):
            first, last = spans[0][1], spans[-1][0]
            spans = spans[1:-1]
        else:
            break
    text, marks = _to_marks(run[first:last], [(one - first, two - first) for one, two in spans])
    if not re.search(r"[^\W\d_]", MARK.sub("", text)):
        return []
    return [Segment(text, marks, start + first, start + last)]


def _is_pair(run: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether the first markup opens an element that the last one closes."""
    name, depth = _name(run[slice(*spans[0])]), 0
    for at, (one, two) in enumerate(spans):
        markup = run[one:two]
        if name and _name(markup) == name:
            depth += -1 if markup.startswith("</") else 1
        if depth == 0:
            return bool(name) and at == len(spans) - 1
    return False


def _name(markup: str) -> str:
    found = re.match(r"</?([A-Za-z][\w:-]*)", markup)
    return found[1].lower() if found else ""


def _to_marks(run: str, spans: Sequence[tuple[int, int]]) -> tuple[str, tuple[str, ...]]:
    parts, marks, at = [], list[str](), 0
    for start, end in spans:
        marks.append(run[start:end])
        parts += [re.sub(r"\s+", _one_blank, unescape(run[at:start])), f"⟦{len(marks)}⟧"]
        at = end
    return "".join([*parts, re.sub(r"\s+", _one_blank, unescape(run[at:]))]), tuple(marks)


def _one_blank(blanks: re.Match[str]) -> str:
    return "\u00a0" if "\u00a0" in blanks[0] else " "


def _write(segment: Segment, text: str) -> str:
    """Return a text as it stands in the source: escaped, its marks turned back."""
    parts, at = [], 0
    for mark in MARK.finditer(text):
        parts += [_escape(text[at : mark.start()], segment.quote), segment.marks[int(mark[1]) - 1]]
        at = mark.end()
    return "".join([*parts, _escape(text[at:], segment.quote)])


def _escape(text: str, quote: str) -> str:
    text = escape(text, quote=False).replace("\u00a0", "&nbsp;")
    return text.replace(quote, "&quot;" if quote == '"' else "&#x27;") if quote else text


def find_mark_problems(segment: Segment, text: str) -> list[str]:
    """Say what is wrong with the marks of a translation: lost, new, no longer nested, blocks in another order."""
    before, after = MARK.findall(segment.text), MARK.findall(text)
    problems = [f"⟦{number}⟧ is missing" for number in Counter(before) - Counter(after)]
    problems += [f"⟦{number}⟧ is too many" for number in Counter(after) - Counter(before)]
    if problems or before == after:
        return problems
    was, now = ([segment.marks[int(number) - 1] for number in numbers] for numbers in (before, after))
    if [mark for mark in was if _is_element(mark)] != [mark for mark in now if _is_element(mark)] and not _nests(now):
        return ["the elements do not nest any more"]
    return []


def _nests(marks: Sequence[str]) -> bool:
    opened: list[str] = []
    for mark in marks:
        if not _is_element(mark):
            continue
        if not mark.startswith("</"):
            opened.append(_name(mark))
        elif not opened or opened.pop() != _name(mark):
            return False
    return not opened


def _is_element(markup: str) -> bool:
    return bool(_name(markup)) and _name(markup) not in _VOID and not markup.endswith("/>")
