"""The work of the emulated OpenAI: text, structured answers, vectors and moderation verdicts, all repeatable."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import sys
from array import array
from typing import Any, NamedTuple

import msgspec

from penstock.sandbox.fill import Filler
from penstock.sandbox.judge import judge
from penstock.sandbox.prompt import Prompt
from penstock.sandbox.tokens import Tokenizer

REASONING_TOKENS = {"none": 0, "minimal": 32, "low": 96, "medium": 256, "high": 640, "xhigh": 1280, "max": 2560}


class Text(NamedTuple):
    """What was written: text or refusal, tokens by kind, whether the limit cut it, and how sure its judgement is."""

    text: str
    refused: bool
    visible_tokens: int
    reasoning_tokens: int
    is_cut: bool
    sure: float = 1.0


def write_text(
    prompt: Prompt, wanted: dict[str, Any] | None, effort: str | None, limit: int | None, tokenizer: Tokenizer
) -> Text:
    """Write an answer: JSON that fits `wanted`, or a sentence; reasoning tokens come off the limit first."""
    entries = [(entry, judge(entry.text)) for entry in prompt.entries()]
    refused = entries[0][1].refused
    kind = (wanted or {}).get("type", "text")
    if refused:
        text = "I'm sorry, but I can't help with that."
    elif kind == "json_schema":
        text = msgspec.json.encode(Filler((wanted or {}).get("schema") or {}, entries).fill()).decode()
    elif kind == "json_object":
        found = entries[0][1]
        fields = {"score": found.score, "label": found.label, "confidence": found.confidence}
        text = msgspec.json.encode({**fields, "language": found.language}).decode()
    else:
        found = entries[0][1]
        text = f"Answer of the sandbox: the words read as {found.label}, {found.score:+.2f} on a scale from -1 to 1."
    reasoning = REASONING_TOKENS[effort or "none"]
    visible = tokenizer.count(text)
    if limit is None or reasoning + visible <= limit:
        return Text(text, refused, visible, reasoning, is_cut=False, sure=entries[0][1].confidence)
    room = max(0, limit - reasoning)
    return Text(text[: len(text) * room // visible], refused, room, min(reasoning, limit), is_cut=True)


_PIECE = re.compile(r"\w+|\W")
_MOODS = frozenset(["positive", "neutral", "negative", "mixed"])


def token_chances(text: Text) -> list[dict[str, Any]]:
    """Return log probabilities of the pieces of a text: the lexicon's for a word that names a mood, else near 0."""
    pieces = []
    for piece in _PIECE.findall(text.text):
        logprob = round(math.log(text.sure), 6) if piece in _MOODS else -0.0001
        pieces.append({"token": piece, "bytes": list(piece.encode()), "logprob": logprob, "top_logprobs": []})
    return pieces


_WORD = re.compile(r"\w+")


def embed(value: str | list[int], model: str, full_size: int, size: int) -> array[float]:
    """Return a unit vector; texts that share words and word beginnings lie near each other."""
    words = _WORD.findall(value.lower()) if isinstance(value, str) else [str(token) for token in value]
    vector = array("f", bytes(4 * full_size))
    for word in words:
        for feature, weight in ((word, 1.0), (word[:4], 0.5)):
            digest = hashlib.blake2b(f"{model}\n{feature}".encode(), digest_size=32).digest()
            for at in range(0, 32, 4):
                number = int.from_bytes(digest[at : at + 4], "little")
                vector[(number >> 1) % full_size] += weight if number & 1 else -weight
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


def moderate(text: str) -> dict[str, Any]:
    """Return the verdict on one text, from a short list of words per category."""
    scores = {}
    for name, words in _CATEGORIES.items():
        hits = len(set(re.findall(rf"\b(?:{words})", text.lower())))
        scores[name] = round(1 - 0.2**hits, 4) if hits else 0.0001
    categories = {name: score >= 0.5 for name, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in scores},
    }
