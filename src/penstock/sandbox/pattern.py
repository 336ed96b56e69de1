"""Makes the plainest text that a regular expression matches."""

from __future__ import annotations

import importlib
import re
from typing import Any


class Pattern:
    """Makes the plainest text that a regular expression matches."""

    def __init__(self, pattern: str) -> None:
        self._groups: dict[int, str] = {}
        self._tree = importlib.import_module("re._parser").parse(pattern)

    def example(self) -> str:
        """Return a text that matches."""
        return self._all(self._tree)

    def _all(self, tree: Any) -> str:
        return "".join(self._one(str(kind), detail) for kind, detail in tree)

    def _one(self, kind: str, detail: Any) -> str:
        text = ""  # places such as ^, $ and word borders match nothing
        match kind:
            case "LITERAL":
                text = chr(detail)
            case "NOT_LITERAL":
                text = "a" if detail != ord("a") else "b"
            case "ANY":
                text = "a"
            case "IN":
                text = _member(detail)
            case "BRANCH":
                text = self._all(detail[1][0])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                text = self._all(detail[2]) * detail[0]
            case "SUBPATTERN":
                text = self._all(detail[3])
                self._groups[detail[0]] = text
            case "ATOMIC_GROUP":
                text = self._all(detail)
            case "GROUPREF":
                text = self._groups.get(detail, "")
        return text


_CLASSES = {
    "CATEGORY_DIGIT": "0",
    "CATEGORY_WORD": "a",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": "a",
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": "a",
}


def _member(choices: list[tuple[Any, Any]]) -> str:
    if str(choices[0][0]) == "NEGATE":
        tested = re.compile("[" + "".join(_as_class(kind, one) for kind, one in choices[1:]) + "]")
        return next(chr(code) for code in range(48, 1 << 16) if not tested.match(chr(code)))
    kind, one = choices[0]
    if str(kind) == "RANGE":
        return chr(one[0])
    return chr(one) if str(kind) == "LITERAL" else _CLASSES[str(one)]


def _as_class(kind: Any, one: Any) -> str:
    if str(kind) == "RANGE":
        return f"{re.escape(chr(one[0]))}-{re.escape(chr(one[1]))}"
    if str(kind) == "LITERAL":
        return re.escape(chr(one))
    names = {"DIGIT": r"\d", "WORD": r"\w", "SPACE": r"\s", "NOT_DIGIT": r"\D", "NOT_WORD": r"\W", "NOT_SPACE": r"\S"}
    return names[str(one).removeprefix("CATEGORY_")]
