"""Vectors and moderation verdicts of the emulated OpenAI, all repeatable."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import sys
from array import array
from typing import Any

from penstock.sandbox.openai_requests import ApiError

_WORD = re.compile(r"\w+")


_SPANS = (8, 8, 64, 64, 512, 512, 1 << 30, 1 << 30)
"""Each word has a mark among so many of the first numbers, so that the beginning of a vector tells most."""


def embed(value: str | list[int], model: str, full_size: int, size: int) -> array[float]:
    """Return a unit vector; texts that share words and word beginnings lie near each other, shortened ones too."""
    words = _WORD.findall(value.lower()) if isinstance(value, str) else [str(token) for token in value]
    vector = array("f", bytes(4 * full_size))
    for word in words:
        for feature, weight in ((word, 1.0), (word[:4], 0.5)):
            digest = hashlib.blake2b(f"{model}\n{feature}".encode(), digest_size=32).digest()
            for at, span in zip(range(0, 32, 4), _SPANS, strict=True):
                number = int.from_bytes(digest[at : at + 4], "little")
                vector[(number >> 1) % min(span, full_size)] += weight if number & 1 else -weight
    vector = vector[:size]
    length = math.sqrt(sum(one * one for one in vector))
    if length == 0.0:
        vector[0] = length = 1.0
    return array("f", (one / length for one in vector))


def encode_vector(vector: array[float], encoding: str) -> list[float] | str:
    """Return a vector as numbers, or as base64 of little-endian 32-bit floats."""
    if encoding == "float":
        return [round(one, 8) for one in vector]
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


_CATEGORIES = {
    "harassment": "idiot|stupid|moron|loser|pathetic|shut up",
    "harassment/threatening": "hurt you|find you|regret this|watch your back",
    "hate": "hate those|vermin|subhuman",
    "hate/threatening": "exterminate",
    "illicit": "shoplift|counterfeit|launder money",
    "illicit/violent": "bomb|explosive",
    "self-harm": "suicide|cut myself|self-harm",
    "self-harm/intent": "kill myself|end my life",
    "self-harm/instructions": "how to kill myself",
    "sexual": "porn|nude|erotic",
    "sexual/minors": "underage sex",
    "violence": "kill|murder|stab|shoot|beat up",
    "violence/graphic": "gore|dismember",
}


_OF_IMAGES = frozenset(
    ["self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic"]
)
"""The categories for which images count."""


def moderate(text: str, *, has_image: bool = False) -> dict[str, Any]:
    """Return the verdict on one text, from a short list of words per category; images are taken, never judged."""
    scores = {}
    for name, words in _CATEGORIES.items():
        hits = len(set(re.findall(rf"\b(?:{words})", text.lower())))
        scores[name] = round(1 - 0.2**hits, 4) if hits else 0.0001
    categories = {name: score >= 0.5 for name, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {
            name: ["text", "image"] if has_image and name in _OF_IMAGES else ["text"] for name in scores
        },
    }


class InlineVerdict:
    """The verdicts of the `moderation` field of responses and chat: on the input, then on the output."""

    def __init__(self, asked: dict[str, Any], text: str) -> None:
        self._model = asked["model"]
        policy = asked.get("policy") or {}
        self._blocks = {name: (policy.get(name) or {}).get("mode") == "block" for name in ("input", "output")}
        self._input = moderate(text)
        self._output = moderate("")

    @property
    def blocks_input(self) -> bool:
        """Tell whether the input is flagged and flagged input is to be blocked."""
        return self._blocks["input"] and bool(self._input["flagged"])

    def add_output(self, text: str) -> bool:
        """Judge the output; returns whether it is to be held back."""
        self._output = moderate(text)
        return self._blocks["output"] and bool(self._output["flagged"])

    def as_response(self) -> dict[str, Any]:
        """Return the field of a response."""
        return {"input": self._result(self._input), "output": self._result(self._output)}

    def as_chat(self) -> dict[str, Any]:
        """Return the field of a chat completion, where every verdict stands in a list."""
        head = {"type": "moderation_results", "model": self._model}
        return {name: {**head, "results": [one]} for name, one in self.as_response().items()}

    def _result(self, verdict: dict[str, Any]) -> dict[str, Any]:
        return {"type": "moderation_result", "model": self._model, **verdict}


def judge_inline(body: dict[str, Any], text: str) -> InlineVerdict | None:
    """Judge the input of a request that asks for it; refuses what its policy blocks."""
    if not body.get("moderation"):
        return None
    verdict = InlineVerdict(body["moderation"], text)
    if verdict.blocks_input:
        raise ApiError(400, "The input was blocked by the moderation policy.", code="moderation_blocked", param="input")
    return verdict
