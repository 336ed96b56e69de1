"""The one expression syntax, `${{ … }}`: compiled once, sandboxed, without side effects.

A plain path such as `record.email` or `record.items[0]["unit price"]` becomes plain
look-ups; anything else is a Jinja expression, so filters and tests are those of
docs.jinja.palletsprojects.com. Brevo's own `{{ … }}` is not touched.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from penstock.base.errors import MappingError

Scope = Mapping[str, Any]

Path = tuple[str | int, ...]

_PATH = re.compile(r"""[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\]|\["[^"\]]*"\]|\['[^'\]]*'\])*\Z""")
_PARTS = re.compile(r"""\w+|"[^"]*"|'[^']*'""")
_WORDS = {"true", "false", "none", "True", "False", "None", "not"}
_MARK = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class Expression:
    """A compiled value of a flow or mapping: `evaluate(scope)` returns what it stands for.

    `path` is set where the value is one plain path, `names` are the names that it starts from.
    """

    __slots__ = ("_make", "names", "path", "text")

    def __init__(
        self, text: str, names: frozenset[str], make: Callable[[Scope], Any], path: Path | None = None
    ) -> None:
        self.text = text
        self.names = names
        self.path = path
        self._make = make

    def evaluate(self, scope: Scope) -> Any:
        """Return the value; raises `MappingError` when a field is missing or the expression fails."""
        return self._make(scope)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_value(value: Any) -> Expression:
    """Compile any value of a flow file: text with marks, a list or mapping of such, or a constant.

    Raises `MappingError` `expression.syntax` when an expression cannot be read.
    """
    if isinstance(value, str):
        return _compile_text(value)
    if isinstance(value, Mapping):
        parts = {str(key): compile_value(item) for key, item in value.items()}
        names = frozenset[str]().union(*(part.names for part in parts.values()))
        return Expression(
            str(dict(value)), names, lambda scope: {key: part.evaluate(scope) for key, part in parts.items()}
        )
    if isinstance(value, (list, tuple)):
        items = [compile_value(item) for item in value]
        names = frozenset[str]().union(*(item.names for item in items))
        return Expression(str(list(value)), names, lambda scope: [item.evaluate(scope) for item in items])
    return Expression(repr(value), frozenset(), lambda _scope: value)


def _compile_text(text: str) -> Expression:
    marks = list(_MARK.finditer(text))
    if not marks:
        return Expression(text, frozenset(), lambda _scope: text)
    if len(marks) == 1 and marks[0].group(0) == text.strip():
        return _compile_one(marks[0].group(1).strip())
    parts: list[str | Expression] = []
    position = 0
    for mark in marks:
        parts += [text[position : mark.start()], _compile_one(mark.group(1).strip())]
        position = mark.end()
    parts.append(text[position:])
    names = frozenset[str]().union(*(part.names for part in parts if isinstance(part, Expression)))
    return Expression(text, names, lambda scope: "".join(_as_text(part, scope) for part in parts))


def _as_text(part: str | Expression, scope: Scope) -> str:
    if isinstance(part, str):
        return part
    value = part.evaluate(scope)
    return "" if value is None else str(value)


def _compile_one(source: str) -> Expression:
    if not source:
        raise MappingError(
            "the expression ${{ }} is empty", code="expression.syntax", hint="Write ${{ record.field }}."
        )
    if _PATH.match(source) and source not in _WORDS:
        path = _read_path(source)
        return Expression(source, frozenset([str(path[0])]), lambda scope: _look_up(path, source, scope), path)
    return _compile_jinja(source)


def _read_path(source: str) -> Path:
    parts = (match.group() for match in _PARTS.finditer(source))
    return tuple(part[1:-1] if part[0] in "\"'" else int(part) if part.isdecimal() else part for part in parts)


def _look_up(path: Path, source: str, scope: Scope) -> Any:
    value: Any = scope
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            raise missing(str(part), source, value) from None
    return value


def missing(name: str, source: str, holder: Any) -> MappingError:
    """Return the error for a field that is not there, with the nearest right name."""
    return MappingError(
        f"there is no {name!r} in ${{{{ {source} }}}}", code="mapping.missing-field", hint=suggest(name, _keys(holder))
    )


def suggest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, and which there are."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    if close:
        right = next(name for name in names if name.lower() == close[0])
        return f"Did you mean {right}? (known: {listed})"
    return f"Known here: {listed}." if listed else "It holds nothing here; `| default('')` allows for that."


def _compile_jinja(source: str) -> Expression:
    import jinja2
    from jinja2 import meta

    environment = _environment()
    try:
        names = meta.find_undeclared_variables(environment.parse("{{ " + source + " }}"))
        compiled = environment.compile_expression(source, undefined_to_none=False)
    except jinja2.TemplateSyntaxError as error:
        raise MappingError(
            f"cannot read the expression ${{{{ {source} }}}}: {error.message}", code="expression.syntax"
        ) from error

    def make(scope: Scope) -> Any:
        try:
            value = compiled(**scope)
            if isinstance(value, jinja2.Undefined):
                str(value)  # a strict undefined raises what is missing
        except jinja2.UndefinedError as error:
            known = [key for root in names for key in _keys(scope.get(root))]
            raise MappingError(
                f"${{{{ {source} }}}}: {error.message}",
                code="mapping.missing-field",
                hint=suggest(_missing_name(str(error.message)), known),
            ) from error
        except Exception as error:
            raise MappingError(f"${{{{ {source} }}}} failed: {error}", code="mapping.failed") from error
        return value

    return Expression(source, frozenset(names), make)


def _missing_name(message: str) -> str:
    """Return the name that the engine's complaint quotes last: `'dict object' has no attribute 'emial'`."""
    quoted = re.findall(r"'([^']*)'", message)
    return quoted[-1] if quoted else ""


def _keys(value: Any) -> list[str]:
    return [str(key) for key in value] if isinstance(value, Mapping) else []


@cache
def _environment() -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """A mapping has its fields, and nothing that Python attaches to it."""

        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, Mapping):
                return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
            return super().getattr(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            return self.getattr(obj, argument) if isinstance(obj, Mapping) else super().getitem(obj, argument)

    return Environment(undefined=jinja2.StrictUndefined, autoescape=False)
