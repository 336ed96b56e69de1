"""Reads a YAML file so that every value knows its line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from penstock.base.errors import FlowError

MAX_BYTES = 1_000_000
MAX_VALUES, MAX_DEPTH = 100_000, 50


class Kind(NamedTuple):
    """What a file is for people: its name, what it is made of, and an example to look at."""

    name: str
    form: str
    example: str


FLOW = Kind("flow file", "name, source, steps and sink", "examples/feedback/flow.yaml")


class Document:
    """A parsed YAML file: `plain` is its content, `place(path)` says where a value stands."""

    def __init__(self, path: Path, data: Any, plain: Any) -> None:
        self.path = path
        self.data = data
        self.plain = plain

    def place(self, path: tuple[Any, ...]) -> str:
        """Return `file:line:column` of the value at `path`, or of the nearest thing around it."""
        node, line, column = self.data, 0, 0
        for part in path:
            position = _position(node, part)
            if position is None:
                break
            line, column = position
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
        return f"{self.path}:{line + 1}:{column + 1}"


def _position(node: Any, part: Any) -> tuple[int, int] | None:
    marks = getattr(node, "lc", None)
    if marks is None:
        return None
    try:
        found = marks.key(part) if isinstance(node, dict) else marks.item(part)
    except (KeyError, IndexError, TypeError):
        return None
    return int(found[0]), int(found[1])


def read_document(path: Path, kind: Kind = FLOW) -> Document:
    """Read and parse a file; raises `FlowError` with line and column when it is not YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise FlowError(f"there is no file {path}", code="flow.missing", hint=_others(path, kind)) from error
    except UnicodeDecodeError as error:
        raise FlowError(
            f"{path} is not UTF-8 text: byte {error.start}", code="flow.encoding", hint="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise FlowError(f"cannot read {path}: {error.strerror}", code="flow.unreadable", hint="Give a file.") from error
    if len(content) > MAX_BYTES:
        raise FlowError(f"{path} is too large for a {kind.name} ({len(content):,} bytes)", code="flow.too-large")
    try:
        data = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise FlowError(
            f"not valid YAML: {error.problem or error.context}",
            code="flow.yaml",
            where=where,
            hint="Check the indentation and that text with `: ` or `#` in it is quoted.",
        ) from error
    except Exception as error:  # the parser fails in many ways on text that is hardly YAML
        raise FlowError(f"not valid YAML: {error}", code="flow.yaml", where=str(path)) from error
    if not isinstance(data, dict):
        raise FlowError(
            f"a {kind.name} is a mapping with {kind.form}",
            code="flow.empty" if data is None else "flow.shape",
            where=f"{path}:1:1",
            hint=f"See {kind.example}.",
        )
    return Document(path, data, to_plain(data, path))


def to_plain(data: Any, path: Path) -> Any:
    """Turn the parser's own types into plain Python, so that equal files have equal text.

    Raises `FlowError` when anchors repeat so much, or themselves, that the file has no end.
    """
    left = MAX_VALUES

    def convert(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise FlowError(
                f"the file holds more than {MAX_VALUES:,} values or more than {MAX_DEPTH} levels",
                code="flow.too-large",
                where=f"{path}:1:1",
                hint="Write it without anchors (`&name`) that repeat large parts.",
            )
        if isinstance(node, dict):
            return {str(key): convert(value, depth + 1) for key, value in node.items()}
        if isinstance(node, (list, set)):
            return [convert(value, depth + 1) for value in node]
        if isinstance(node, bool) or node is None:
            return node
        if isinstance(node, int):
            return int(node)
        return float(node) if isinstance(node, float) else str(node)

    return convert(data, 0)


def _others(path: Path, kind: Kind) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    found = sorted(str(other) for pattern in ("*.yaml", "*/*.yaml") for other in folder.glob(pattern))[:5]
    return "Found instead: " + ", ".join(found) if found else f"Give the path of a {kind.name}."
