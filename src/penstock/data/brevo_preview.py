"""Renders the documented part of Brevo's template language, so that a mail is seen before anybody gets it.

Values, filters among them `default`, `{% if %}` and `{% for %}` (help centre, template language, 2026). What is
missing becomes empty, as at Brevo. It runs in Jinja's sandbox: a template reaches nothing but its values, calls
nothing, and cannot grow beyond what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import TemplateError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.base.errors import InputError
from penstock.vendor.brevo_template import BUILT_IN_ATTRIBUTES, read_tags

LINKS = {
    "unsubscribe": "https://preview.example/unsubscribe",
    "mirror": "https://preview.example/mirror",
    "update_profile": "https://preview.example/profile",
    "doubleoptin": "https://preview.example/confirm",
}
"""What stands in a preview where the vendor puts a link of its own."""
BLOCKS = frozenset({"if", "elif", "else", "endif", "for", "empty", "endfor"})
FILTERS = frozenset({"default", "upper", "lower", "title", "capitalize", "length", "first", "last", "join", "round"})
GUARD = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src https: data:; '
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
)
"""What keeps a browser from running or sending anything of a page."""
DEEPEST_LOOP = 3
"""Loops within loops that are rendered here."""
MOST_LETTERS = 8 << 20
"""Letters that a mail may come to when it is rendered: Brevo takes 1 MB."""
_GROWING = (nodes.Call, nodes.Mul, nodes.Pow, nodes.Mod)
"""What could make a text as large as memory: `'a'.ljust(1000000000)`, `'%1000000000d' % 1`."""

_QUOTED = r"'[^']*'|\"[^\"]*\""
_WORDS = re.compile(_QUOTED)
_FILTER = re.compile(rf"({_QUOTED})|\|\s*(\w+)(?:\s*:\s*({_QUOTED}|[\w.]+))?")


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read a dotted name as a key: `params.items` is what was given, never a method."""
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


@cache
def _environment() -> _Environment:
    made = _Environment(autoescape=False, undefined=Undefined)  # the vendor puts values into the HTML as they are
    made.filters = {name: made.filters[name] for name in FILTERS}
    made.filters["default"] = lambda value, other="": value or other
    made.globals = {}
    return made


def find_unpreviewed(text: str) -> list[str]:
    """List the tags that only the vendor can render: blocks and filters beyond the documented ones."""
    found = []
    for tag in read_tags(text):
        if tag.kind == "block" and tag.name not in BLOCKS:
            found.append(tag.text)
        elif tag.kind in ("value", "block"):
            names = {match[2] for match in _FILTER.finditer(tag.text) if match[2]}
            is_product = "*" in _WORDS.sub("", tag.text)  # a product could be made as large as memory
            found += [tag.text] if is_product or names - FILTERS else []
    return found


def render(text: str, contact: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Fill in a text; raises `InputError` (`campaign.not-rendered`) when it cannot be rendered.

    `contact` are the attributes by name, EMAIL among them.
    """
    source, end = [], 0
    for tag in read_tags(text):
        if tag.kind in ("value", "block"):
            source += [text[end : tag.start], _FILTER.sub(_to_call, tag.text)]
            end = tag.end
    source.append(text[end:])
    try:
        tree = _environment().parse("".join(source).replace("{% empty %}", "{% else %}"))
        _check_bounds(tree)
        template = _environment().from_string(tree)
        return _join(template.generate(contact=dict(contact), params=dict(params), **LINKS))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(
            f"the template cannot be rendered: {error}",
            code="campaign.not-rendered",
            hint="Check the tags: `penstock campaigns check` names each one.",
        ) from error


def _check_bounds(tree: nodes.Template) -> None:
    """Raise `TemplateError` for what the vendor's language does not have and what could fill the memory."""
    if next(tree.find_all(_GROWING), None) is not None:
        raise TemplateError("it calls a function, or multiplies")
    loops: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while loops:
        node, depth = loops.pop()
        if isinstance(node, nodes.For):
            if depth == DEEPEST_LOOP or isinstance(node.iter, nodes.Const):
                raise TemplateError(f"a loop runs over letters, or lies within {DEEPEST_LOOP} others")
            depth += 1
        loops += [(child, depth) for child in node.iter_child_nodes()]


def _join(parts: Iterator[str]) -> str:
    """Join what a template gives, up to the largest mail."""
    kept, letters = [], 0
    for part in parts:
        kept.append(part)
        letters += len(part)
        if letters > MOST_LETTERS:
            raise TemplateError(f"it comes to more than {MOST_LETTERS:,} letters")
    return "".join(kept)


def _to_call(match: re.Match[str]) -> str:
    """Turn `| default:'x'` into what Jinja takes; quoted text stays as it is."""
    if match[1]:
        return match[1]
    return f"|{match[2]}" + (f"({match[3]})" if match[3] else "")


def guard_page(page: str) -> str:
    """Return a rendered mail for a browser: the vendor puts values in as they are, and a name may be a script."""
    kind = re.match(r"\s*<!doctype[^>]*>", page, re.IGNORECASE)
    at = kind.end() if kind else 0
    return page[:at] + GUARD + page[at:]


def merge_values(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template may say about a contact that Brevo showed."""
    built_in = {name: contact.get(name.lower()) or "" for name in BUILT_IN_ATTRIBUTES}
    return {**built_in, **(contact.get("attributes") or {})}
