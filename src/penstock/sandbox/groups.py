"""Names of customer groups by the emulated OpenAI: the words that members share and others have not.

`[sandbox:obey WORD]` in a member's text makes it do what a gullible model does: it puts the word into the name, until
it is told that this cannot be; with `always` even then.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import Any

import msgspec

from penstock.sandbox.prompt import Prompt

_MATERIAL = re.compile(r"<group-[0-9a-f]+>\n(.*)\n</group-", re.DOTALL)
_TAKEN = re.compile(r"These names are taken: (.*)\.$", re.MULTILINE)
_OBEY = re.compile(r"\[sandbox:obey (\w+)( always)?\]")
_WORD = re.compile(r"[^\W\d_]{3,}")
_BANDS = frozenset(["under", "more", "days", "ago"])
_CANDIDATES = 6


def name_group(prompt: Prompt) -> dict[str, str]:
    """Return a name, a description and a difference for the group in a prompt."""
    found = next((match for turn in prompt.turns if (match := _MATERIAL.search(turn.text))), None)
    given: dict[str, Any] = msgspec.json.decode(found[1]) if found else {}
    words = _rank(given.get("members") or [], given.get("others") or [])
    taken = {name.casefold() for turn in prompt.turns for one in _TAKEN.findall(turn.text) for name in one.split(", ")}
    pairs = [f"{one} and {other}".capitalize() for one, other in combinations(words[:_CANDIDATES], 2)]
    pairs += [word.capitalize() for word in words]
    name = next((pair for pair in pairs if pair.casefold() not in taken), "Mixed customers")
    order = _OBEY.search(found[1]) if found else None
    is_told = any(turn.role == "assistant" for turn in prompt.turns)
    if order and (order[2] or not is_told):
        name = f"{order[1]} {words[0] if words else ''}".strip()
    liked = ", ".join(words[:4]) or "nothing in particular"
    return {
        "name": name[:40],
        "description": f"Their descriptions mention {liked}.",
        "difference": f"Others mention {words[0] if words else 'the same'} less often.",
    }


def _rank(members: list[str], others: list[str]) -> list[str]:
    """Return the words that at least three members have (all, where they are fewer), best first."""
    here, there = _count(members), _count(others)
    fewest = min(3, len(members))
    common = [word for word, number in here.items() if number >= fewest and word not in _BANDS]
    share = {word: here[word] / len(members) - there[word] / max(len(others), 1) for word in common}
    return sorted((word for word in common if share[word] > 0), key=lambda word: (-share[word], word))


def _count(texts: list[str]) -> Counter[str]:
    """Count in how many texts a word is; what stands before a colon is the name of a field."""
    counts: Counter[str] = Counter()
    for text in texts:
        values = " ".join(line.partition(": ")[2] for line in text.split("\n"))
        counts.update(set(_WORD.findall(values.lower())))
    return counts
