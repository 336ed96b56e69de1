"""Campaign texts of the emulated OpenAI: variants for a brief, translated segments, pictures told, in stock phrases.

They keep to what the instructions say in so many words (language, number, angles, placeholders, figures). Phrases in
the brief ask for what a model does now and then: `[sandbox:sloppy]` spoils the second variant or segment until it is
told so, `[sandbox:sloppy always]` every one for ever, `[sandbox:alike]` writes the same again and again.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from penstock.sandbox.groups import name_group
from penstock.sandbox.prompt import Prompt

_LANGUAGE = re.compile(r"\blanguage: ?([A-Za-z]{2,3})\b")
_TAG_LINE = re.compile(r"^- ((?:\{\{|\{%).*?(?:\}\}|%\}))\s*$", re.MULTILINE)
_ANGLE_LINE = re.compile(r"^\d+\. ([a-z ]+): .*?(?:; it states exactly these figures: (.*))?$", re.MULTILINE)
_FIGURE = re.compile(r"\b\d+ ?%|\b\d{4}-\d{2}-\d{2}\b|\b[A-Z]{4,}\d+\b")
_SLOPPY = re.compile(r"\[sandbox:(sloppy|alike)(?: (always))?\]")
_WORD = re.compile(r"⟦\d+⟧|https?://\S+|(?<!\w)[^\W\d_]+(?:['’-][^\W\d_]+)*(?!\w)")
"""A word; with a figure in it, it is a code and stays."""
_SEGMENTS = re.compile(r"\{\"segments\".*\}", re.DOTALL)


class _Phrases(msgspec.Struct, frozen=True):
    picture: str
    buttons: list[str]
    sentences: list[str]
    angles: dict[str, tuple[str, str]]


@cache
def _phrases() -> dict[str, _Phrases]:
    raw = tomllib.loads(Path(__file__).with_name("copywriter.toml").read_text(encoding="utf-8"))
    return msgspec.convert(raw, dict[str, _Phrases])


def write_copy(schema: dict[str, Any], prompt: Prompt) -> dict[str, Any] | None:
    """Return campaign texts where the schema asks for `variants`, `segments`, `alt_texts` or a group; else None."""
    fields = schema.get("properties") or {}
    orders = "\n".join(turn.text for turn in prompt.turns if turn.role == "system")
    found = _LANGUAGE.search(orders)
    phrases = _phrases().get(found[1].lower() if found else "en", _phrases()["en"])
    is_told = any(turn.role == "assistant" for turn in prompt.turns)
    faults = {name: always for name, always in _SLOPPY.findall(prompt.text) if always or not is_told or name == "alike"}
    if "variants" in fields and "angle" in _item(fields["variants"]):
        return {"variants": _write_variants(fields["variants"], prompt, orders, phrases, faults)}
    if "segments" in fields and "text" in _item(fields["segments"]):
        return {"segments": _translate(prompt, phrases, faults)}
    if {"name", "difference"} <= fields.keys():
        return name_group(prompt)
    if "alt_texts" in fields:
        return {"alt_texts": _describe(list(fields["alt_texts"].get("properties") or {}), faults)}
    return None


def _item(array: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = (array.get("items") or {}).get("properties") or {}
    return fields


def _write_variants(
    array: dict[str, Any], prompt: Prompt, orders: str, phrases: _Phrases, faults: dict[str, str]
) -> list[dict[str, str]]:
    fields = list(_item(array))
    sides = _ANGLE_LINE.findall(orders) or [(name, "") for name in phrases.angles]
    count = array.get("minItems") or len(sides)
    figures = _FIGURE.findall(prompt.user)
    variants = []
    for at in range(count):
        angle, wanted = sides[0 if "alike" in faults else at % len(sides)]
        told = wanted.split(", ") if wanted else figures[:1] if angle == "benefit" else []
        one = _write_one(fields, 0 if "alike" in faults else at, angle, told, phrases)
        _place_tags(one, _TAG_LINE.findall(orders))
        if "sloppy" in faults and (at == 1 or faults["sloppy"]):
            one = {name: re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "99 %", text) + " 77" for name, text in one.items()}
            one["angle"] = angle
        variants.append({name: one[name] for name in fields})
    return variants


def _write_one(fields: list[str], at: int, angle: str, told: list[str], phrases: _Phrases) -> dict[str, str]:
    subject, line = phrases.angles.get(angle, phrases.angles["news"])
    said = f" ({', '.join(told)})" if told else ""
    count = len(phrases.sentences)
    known = {
        "angle": angle,
        "subject": subject,
        "preview_text": line if "body" in fields else f"{line}{said}",
        "headline": line,
        "body": f"{line}{said}.\n\n{phrases.sentences[at % count]} {phrases.sentences[(at + 1) % count]}",
        "button": phrases.buttons[at % len(phrases.buttons)],
    }
    if len(fields) == 2:  # the angle and one text
        known["button"] += said
    return {name: known.get(name, line) for name in fields}


def _place_tags(one: dict[str, str], tags: list[str]) -> None:
    """Put the placeholders where they read best: before the text, else behind the subject."""
    if not tags:
        return
    if "body" in one:
        one["body"] = f"{' '.join(tags)}: {one['body']}"
    else:
        name = "subject" if "subject" in one else list(one)[-1]
        one[name] = f"{one[name]} {' '.join(tags)}"


def _describe(languages: list[str], faults: dict[str, str]) -> dict[str, str]:
    """Say of a picture what could be said of any, in each language."""
    known = _phrases()
    texts = {one: known.get(one.partition("-")[0].lower(), known["en"]).picture for one in languages}
    spoilt = languages[1:2] if "sloppy" in faults and not faults["sloppy"] else languages
    return {one: f"{text} 77 %" if "sloppy" in faults and one in spoilt else text for one, text in texts.items()}


def _translate(prompt: Prompt, phrases: _Phrases, faults: dict[str, str]) -> list[dict[str, Any]]:
    """Replace the words of each segment by words of the language; marks, figures and blanks stay where they are."""
    words = [word for text in phrases.sentences for word in _WORD.findall(text)]
    found = _SEGMENTS.search(prompt.user)
    given = msgspec.json.decode(found[0])["segments"] if found else []
    place = 0

    def next_word(match: re.Match[str]) -> str:
        nonlocal place
        if match[0].startswith(("⟦", "http")):
            return str(match[0])
        place += 1
        return str(words[(place - 1) % len(words)])

    told = []
    for at, segment in enumerate(given):
        text = _WORD.sub(next_word, segment["text"])
        if "sloppy" in faults and (at == 1 or faults["sloppy"]):
            text = re.sub(r"⟦\d+⟧", "", text) + " 77"
        told.append({"id": segment["id"], "text": text})
    return told
