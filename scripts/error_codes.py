"""Finds every error code of the source: which class carries it, what it says, what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from penstock.base import errors

CODE = re.compile(r"[a-z]+\.[a-z][a-z-]+\Z")
CLASSES = {name: kind for name, kind in vars(errors).items() if name.endswith("Error") and isinstance(kind, type)}


class Found(NamedTuple):
    """One code; `kind` is the class's name, or `Problem` where it only ever stands beside one record."""

    code: str
    kind: str
    message: str
    hint: str


def find_errors(source: Path) -> list[Found]:
    """Return each code once, in order; the fullest wording wins."""
    found: dict[str, Found] = {}
    for path in sorted(source.rglob("*.py")):
        if "sandbox" in path.parts:  # the emulators speak the vendors' codes, not ours
            continue
        for one in _walk(ast.parse(path.read_text(encoding="utf-8"))):
            known = found.get(one.code)
            if known is None or (known.kind == "Problem") > (one.kind == "Problem") or (not known.hint and one.hint):
                found[one.code] = one
    for name, kind in CLASSES.items():
        doc = (kind.__doc__ or "").split("\n")[0]
        found.setdefault(kind.code, Found(kind.code, name, doc, kind.hint))
    return [found[code] for code in sorted(found)]


def _walk(tree: ast.Module) -> Iterator[Found]:
    for scope in ast.walk(tree):
        if not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            continue
        yield from (_read_meaning(node) for node in _own(scope) if _is_meaning(node))
        calls = [node for node in _own(scope) if isinstance(node, ast.Call) and _kind(node)]
        for call in calls:
            for code in _codes(call):
                yield Found(code, _kind(call), _message(call), _text(_keyword(call, "hint")) or _own_hint(call))
        open_calls = [call for call in calls if _keyword(call, "code") is not None and not list(_codes(call))]
        for code in _loose_codes(scope) if open_calls else ():
            call = open_calls[-1]
            yield Found(code, _kind(call), _message(call), _text(_keyword(call, "hint")))


def _is_meaning(node: ast.AST) -> bool:
    """Tell a row of a table of meanings, as `vendor/openai_errors.py` has: class, code, what happened, hint."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Meaning" and len(node.args) == 4


def _read_meaning(row: ast.Call) -> Found:
    kind, code, what, hint = row.args
    return Found(_text(code), str(getattr(kind, "id", "")), f"… {_text(what) or 'rejected the request'}", _text(hint))


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield what belongs to a function or module, without the functions inside it."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        yield from _own(node)


def _kind(call: ast.Call) -> str:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "_error":  # flows/model.py builds its complaints in one place
        return "FlowError"
    if name in {"refuse", "_refuse"}:  # the events make their complaints there: code, message, hint
        return "MappingError"
    if name == "Refusal":  # code, field, message, hint
        return "Problem"
    return name if name in CLASSES or name == "Problem" else ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _has_code_first(call: ast.Call) -> bool:
    return _kind(call) == "Problem" or getattr(call.func, "id", "") in {"refuse", "_refuse"}


def _codes(call: ast.Call) -> Iterator[str]:
    if _has_code_first(call):
        candidates: list[ast.AST | None] = list(call.args[:1])
    elif isinstance(call.func, ast.Attribute):
        candidates = [*call.args[1:], _keyword(call, "code")]
    else:
        candidates = [_keyword(call, "code")]
    for candidate in candidates:
        if candidate is None:
            continue
        parts = [candidate.body, candidate.orelse] if isinstance(candidate, ast.IfExp) else [candidate]
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and CODE.match(part.value):
                yield part.value


def _loose_codes(scope: ast.AST) -> Iterator[str]:
    compared = {id(part) for node in _own(scope) if isinstance(node, ast.Compare) for part in ast.walk(node)}
    for node in _own(scope):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in compared:
            area = node.value.partition(".")[0]
            if CODE.match(node.value) and area in ("openai", "brevo"):
                yield node.value


def _message(call: ast.Call) -> str:
    index = (2 if getattr(call.func, "id", "") == "Refusal" else 1) if _has_code_first(call) else 0
    return _text(call.args[index]) if len(call.args) > index else ""


def _own_hint(call: ast.Call) -> str:
    if _has_code_first(call):
        index = 3 if getattr(call.func, "id", "") == "Refusal" else 2
        return _text(call.args[index]) if len(call.args) > index else ""
    kind = CLASSES.get(_kind(call))
    return str(kind.hint) if kind else ""


def _text(node: ast.AST | None) -> str:
    """Return the wording of a literal, with … for what is filled in; empty when it is worked out elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left)}{_text(node.right) or '…'}"
    if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") == "redact":
        return _text(node.args[0])
    if isinstance(node, ast.BoolOp):
        return next((text for part in node.values if (text := _text(part))), "")
    if isinstance(node, ast.IfExp):
        return _text(node.body) or _text(node.orelse)
    return ""
