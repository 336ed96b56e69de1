"""Reads the tags of Brevo's template language in a subject or an HTML, without rendering anything.

New language: `{{ contact.NAME | default:'x' }}`, `{{ params.x }}`, `{{ unsubscribe }}`, `{% if %}`, `{% for %}`. Old
spellings (`{NAME}`, `[NAME]`, `%NAME%`) are recognised and named, because the two do not mix: with one of them in a
text `params` are not honoured (vendor help on the template language, and the API description, 2026).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

Kind = Literal["value", "block", "comment", "old", "encoded", "broken"]

LINKS = frozenset({"unsubscribe", "mirror", "update_profile", "doubleoptin"})
"""Values that the vendor fills with a link of its own (vendor help on template variables, 2026)."""
BUILT_IN_ATTRIBUTES = frozenset({"EMAIL", "EXT_ID"})
"""What every contact has beside the account's attributes."""
_KNOWN_ROOTS = frozenset(
    {"contact", "params", "event", "forloop", "loop", "true", "false", "none", "True", "False", "None"}
)
_OPENERS = {"if": "endif", "for": "endfor", "with": "endwith"}
_WORDS = frozenset({"in", "and", "or", "not", "is", "as", "if", "else"})

_NEW = re.compile(
    r"\{\{(?P<value>(?:(?!\}\}|\{\{|\{%).)*)\}\}"
    r"|\{%(?P<block>(?:(?!%\}|\{\{|\{%).)*)%\}"
    r"|(?P<encoded>%7[Bb](?:%7[Bb]|%25)(?:(?!%7[Dd]|[\s<>\"']).)*(?:%7[Dd]|%25)%7[Dd])"
    r"|(?P<open>\{\{|\{%)",
    re.DOTALL,
)
_TEXT_ONLY = re.compile(
    r"\{\#(?:(?!\#\}|\{\#).)*\#\}"
    r"|(?<!\{)\{(?P<brace>[A-Za-z][A-Za-z0-9_]*)\}(?!\})"
    r"|\[(?P<bracket>[A-Z][A-Z0-9_]+)\]"
    r"|%(?P<percent>[A-Z][A-Z0-9_]{2,})%(?![0-9A-Fa-f]{2})"
    r"|(?P<close>\}\})",
    re.DOTALL,
)
_CODE = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)*")
_FILTER = re.compile(r"\|\s*[A-Za-z_]\w*")
_DEFAULT = re.compile(r"\|\s*default\w*\b")


class Tag(NamedTuple):
    """One tag and where it stands: `text` is exactly `source[start:end]`.

    `kind`: a value that is printed, a block such as `{% if %}`, a comment, an old spelling, a tag that something
    percent-encoded, or a broken one. `name` is what it prints (`contact.FIRSTNAME`, `unsubscribe`) or the word of a
    block (`if`); `attribute` the first contact attribute in it, `attributes` all of them.
    """

    start: int
    end: int
    text: str
    kind: Kind
    name: str = ""
    attribute: str = ""
    has_default: bool = False
    attributes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Every name that it reads."""


class Difference(NamedTuple):
    """What a text lost and gained against another: tags with how often."""

    missing: Counter[str]
    added: Counter[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.added)

    def describe(self) -> list[str]:
        """Say each difference in words."""
        lost = [f"{text} is missing{_times(count)}" for text, count in self.missing.items()]
        return lost + [f"{text} is new{_times(count)}" for text, count in self.added.items()]


def _times(count: int) -> str:
    return f" {count} times" if count > 1 else ""


def read_tags(text: str) -> list[Tag]:
    """List every tag of a text in order; style and script hold no old spellings, whatever stands in braces there."""
    tags = [_read_new(match) for match in _NEW.finditer(text)]
    blank = bytearray(len(text))  # what the second look must not read again
    for tag in tags:
        blank[tag.start : tag.end] = b"\x01" * (tag.end - tag.start)
    for code in _CODE.finditer(text):
        blank[code.start() : code.end()] = b"\x01" * (code.end() - code.start())
    rest = (match for match in _TEXT_ONLY.finditer(text) if not any(blank[match.start() : match.end()]))
    return sorted([*tags, *map(_read_rest, rest)])


def _read_new(match: re.Match[str]) -> Tag:
    start, end, text = match.start(), match.end(), match[0]
    if match["encoded"] is not None:
        return Tag(start, end, text, "encoded")
    inside = match["value"] if match["value"] is not None else match["block"]
    if inside is None:
        return Tag(start, end, text, "broken")
    inside = inside.strip().strip("-").strip()
    bare = _QUOTED.sub(" '' ", inside)
    if not inside or "'" in bare.replace("''", "") or '"' in bare:
        return Tag(start, end, text, "broken")
    paths = tuple(path for path in _PATH.findall(_FILTER.sub(" ", bare)) if path not in _WORDS)
    attributes = tuple(path.split(".")[1] for path in paths if path.startswith("contact."))
    attribute = attributes[0] if attributes else ""
    if match["value"] is not None:
        name = paths[0] if paths and bare.startswith(paths[0]) else ""
        return Tag(start, end, text, "value", name, attribute, bool(_DEFAULT.search(bare)), attributes, paths)
    word = paths[0] if paths and bare.startswith(paths[0]) else (bare.split() or [""])[0]
    return Tag(start, end, text, "block", word, attribute, False, attributes, paths[1:])


def _read_rest(match: re.Match[str]) -> Tag:
    start, end, text = match.start(), match.end(), match[0]
    if match["close"]:
        return Tag(start, end, text, "broken")
    name = match["brace"] or match["bracket"] or match["percent"]
    if name is None:
        return Tag(start, end, text, "comment")
    attribute = "" if name.lower() in LINKS else name
    return Tag(start, end, text, "old", name, attribute, False, (attribute,) if attribute else ())


def count_tags(tags: Iterable[Tag]) -> Counter[str]:
    """Count tags by their exact text."""
    return Counter(tag.text for tag in tags)


def compare_tags(before: str, after: str) -> Difference:
    """Compare the tags of two texts as multisets, byte for byte; false when they are equal."""
    had, has = count_tags(read_tags(before)), count_tags(read_tags(after))
    return Difference(had - has, has - had)


def is_old_language(text: str) -> bool:
    """Say whether a text holds an old spelling, so that the vendor reads all of it in the old language."""
    return any(tag.kind == "old" for tag in read_tags(text))


def find_personal(tags: Iterable[Tag]) -> list[Tag]:
    """List the tags that print something of the contact."""
    return [tag for tag in tags if tag.attribute and tag.kind in ("value", "old")]


def find_bare(tags: Iterable[Tag]) -> list[Tag]:
    """List the personal tags that print nothing for a contact without the attribute: no default, no `if` around it."""
    found: list[Tag] = []
    held: list[tuple[str, ...]] = []
    for tag in tags:
        if tag.kind == "block" and tag.name in ("if", "elif", "else") and held and tag.name != "if":
            held[-1] = tag.attributes if tag.name == "elif" else ()
        elif tag.kind == "block" and tag.name == "if":
            held.append(() if re.search(r"\bnot\b", tag.text) else tag.attributes)
        elif tag.kind == "block" and tag.name == "endif" and held:
            held.pop()
        elif tag.has_default or any(tag.attribute in attributes for attributes in held):
            continue
        elif tag.attribute and tag.kind in ("value", "old"):
            found.append(tag)
    return found


def find_unknown(tags: Iterable[Tag], attributes: Collection[str], names: Collection[str] = ()) -> list[Tag]:
    """List the tags that read something that will not be there: an attribute that the account lacks, a wrong name.

    Names must match exactly. `names` are what else is there, such as data feeds; names that `{% for x in … %}` or
    `{% set x = … %}` give count from there on.
    """
    own = set(names)
    found = []
    for tag in tags:
        if tag.kind == "block" and tag.name in ("for", "set", "with") and tag.paths:
            own.update(path for path in tag.paths if re.search(rf"\b{re.escape(path)}\b\s*(=|,|\bin\b)", tag.text))
        is_missing = any(name not in attributes and name not in BUILT_IN_ATTRIBUTES for name in tag.attributes)
        if is_missing or (tag.kind == "value" and not all(_is_known(path, own) for path in tag.paths)):
            found.append(tag)
    return found


def _is_known(path: str, own: set[str]) -> bool:
    root = path.partition(".")[0]
    return root in own or root in _KNOWN_ROOTS or path in LINKS


def find_broken(tags: Iterable[Tag]) -> list[Tag]:
    """List what cannot be rendered: broken and encoded tags, and blocks that do not close as they opened."""
    found: list[Tag] = []
    opened: list[Tag] = []
    for tag in tags:
        if tag.kind in ("broken", "encoded"):
            found.append(tag)
        elif tag.kind == "block" and tag.name in _OPENERS:
            opened.append(tag)
        elif tag.kind == "block" and tag.name in _OPENERS.values():
            if opened and _OPENERS[opened[-1].name] == tag.name:
                opened.pop()
            else:
                found.append(tag)
        elif tag.kind == "block" and tag.name in ("else", "elif", "empty") and not opened:
            found.append(tag)
    return sorted(found + opened)
