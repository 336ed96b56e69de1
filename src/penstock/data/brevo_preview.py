"""Renders the documented part of Brevo's template language, so that a mail is seen before anybody gets it.

Values, filters among them `default`, `{% if %}` and `{% for %}` (help centre, template language, 2026). What is
missing becomes empty, as at Brevo. It runs in Jinja's sandbox: a template reaches nothing but its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import TemplateError, Undefined
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
        template = _environment().from_string("".join(source).replace("{% empty %}", "{% else %}"))
        return template.render(contact=dict(contact), params=dict(params), **LINKS)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(
            f"the template cannot be rendered: {error}",
            code="campaign.not-rendered",
            hint="Check the tags: `penstock campaigns check` names each one.",
        ) from error


def _to_call(match: re.Match[str]) -> str:
    """Turn `| default:'x'` into what Jinja takes; quoted text stays as it is."""
    if match[1]:
        return match[1]
    return f"|{match[2]}" + (f"({match[3]})" if match[3] else "")


def merge_values(contact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template may say about a contact that Brevo showed."""
    built_in = {name: contact.get(name.lower()) or "" for name in BUILT_IN_ATTRIBUTES}
    return {**built_in, **(contact.get("attributes") or {})}
