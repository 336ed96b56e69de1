"""A summary without a model: the sentences of a text whose words it uses most."""

from __future__ import annotations

import re
from collections import Counter

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_WORD = re.compile(r"\w{4,}")


def summarise(text: str, sentences: int = 2, most: int = 400) -> str:
    """Return the best sentences in their order, at most `most` characters."""
    found = [one.strip() for one in _SENTENCE.split(text) if one.strip()]
    if len(found) > sentences:
        counts = Counter(_WORD.findall(text.lower()))

        def weight(at: int) -> float:
            words = _WORD.findall(found[at].lower())
            return sum(counts[word] for word in set(words)) / (len(words) + 3) + (0.5 if at == 0 else 0.0)

        best = sorted(range(len(found)), key=lambda at: (-weight(at), at))[:sentences]
        found = [found[at] for at in sorted(best)]
    return " ".join(found)[:most]
