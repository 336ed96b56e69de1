"""Finds texts that say nearly the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

ALIKE = 0.7
"""Two texts are near-duplicates when they share this part of their runs of three letters."""


def find_alike(texts: Sequence[str]) -> dict[int, int]:
    """Return the place of each text that nearly repeats an earlier one, with the place of that one."""
    seen: list[tuple[int, frozenset[str]]] = []
    found: dict[int, int] = {}
    for place, text in enumerate(texts):
        shape = _shape(text)
        earlier = next((at for at, other in seen if _share(shape, other) >= ALIKE), None)
        if earlier is None:
            seen.append((place, shape))
        else:
            found[place] = earlier
    return found


def _shape(text: str) -> frozenset[str]:
    words = re.findall(r"[^\W_]+", text.casefold())
    letters = f"  {' '.join(words)}  "
    return frozenset(letters[at : at + 3] for at in range(len(letters) - 2))


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
