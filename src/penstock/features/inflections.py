"""The cases that Slavic languages, above all Polish, put a person's name in."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENDINGS = "a|y|i|e|o|u|ie|ej|iej|em|iem|im|ym|om|ow|owi|owie|ego|iego|emu|iemu|ami|ach"
"""Endings of declined names, without accents."""

_SOFTENED = {"k": "ce", "g": "dze", "r": "rze", "l": "le", "t": "cie", "d": "dzie", "h": "sze"}
"""How a stem that ends so looks before the ending -e."""


def inflected(name: str) -> str:
    """Return a pattern for the declined forms of a folded name, without the name itself; empty for other values.

    The forms are many and some are words: they count only where they are written with a capital.
    """
    if len(name) < 4 or not name.isascii() or not name.isalpha():
        return ""
    return "(?:" + "|".join(_list_forms(name)) + ")"


def _list_forms(name: str) -> Iterator[str]:
    stem = name[:-1] if name[-1] in "aeioy" else name
    yield f"{re.escape(stem)}(?:{_ENDINGS})"
    if stem[-1] in _SOFTENED:
        yield stem[:-1] + _SOFTENED[stem[-1]]
    if name.endswith(("ek", "ec")):  # Marek, Marka
        yield f"{name[:-2]}{name[-1]}(?:{_ENDINGS})"
