"""Brevo's two template languages as the emulator renders them: `{{ contact.NAME }}` with logic, and old `{NAME}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.sandbox.brevo_wire import invalid

LINKS = {
    "unsubscribe": "https://sandbox.example/unsubscribe",
    "mirror": "https://sandbox.example/mirror",
    "doubleoptin": "https://sandbox.example/confirm",
}
_OLD = re.compile(r"(?<!\{)\{([A-Za-z][A-Za-z0-9_]*)\}(?!\})")
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_ARGUMENT = re.compile(r"\|\s*(\w+)\s*:\s*(\"[^\"]*\"|'[^']*'|[\w.]+)")
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL | re.IGNORECASE)


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read a dotted name as a key: `params.items` is what was given, not a method."""
        if not isinstance(obj, dict):
            return super().getattr(obj, attribute)
        return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)


@cache
def _environment() -> _Environment:
    # no escaping: the vendor puts attributes into the HTML as they are
    made = _Environment(autoescape=False, undefined=Undefined)
    made.filters["default"] = lambda value, other="": value if value not in (None, "") and value else other
    return made


def is_new_language(*texts: str) -> bool:
    """Say whether texts are in the new language; one old placeholder in any of them makes all of them old."""
    return not any(_OLD.search(_STYLE.sub("", _TAG.sub("", text))) for text in texts)


def render(text: str, contact: Mapping[str, Any], params: Mapping[str, Any], *, new: bool) -> str:
    """Fill in a text; what is missing becomes empty. Raises `RefusedError` when it cannot be rendered."""
    if not new:
        values = {**contact, **{name.upper(): link for name, link in LINKS.items()}}
        return _OLD.sub(lambda found: str(values.get(found[1].upper(), "")), text)
    source = _TAG.sub(lambda tag: _ARGUMENT.sub(r"|\1(\2)", tag[0]), text)
    try:
        return _environment().from_string(source).render(contact=contact, params=params, **LINKS)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise invalid(f"the template cannot be rendered: {error}") from error
