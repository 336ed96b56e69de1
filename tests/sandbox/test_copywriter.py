"""The sandbox's campaign texts: they keep to what the instructions say, and go wrong on request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.sandbox.copywriter import write_copy
from penstock.sandbox.prompt import Prompt, Turn


def ask(orders: str, said: str, *, told: bool = False) -> Prompt:
    turns = [Turn("system", orders), Turn("user", said)] + ([Turn("assistant", "{}")] if told else [])
    return Prompt(f"{orders}\n{said}", said, len(turns), 0, tuple(turns))


def variants(count: int, *fields: str) -> dict[str, Any]:
    properties = {"angle": {"type": "string"}, **{name: {"type": "string"} for name in fields}}
    item = {"type": "object", "properties": properties}
    return {"type": "object", "properties": {"variants": {"type": "array", "items": item, "minItems": count}}}


SEGMENTS = {
    "type": "object",
    "properties": {"segments": {"type": "array", "items": {"properties": {"id": {}, "text": {"type": "string"}}}}},
}
ORDERS = """Write in this language: de. Write 2 variants:
1. benefit: what the reader gains
2. question: asks; it states exactly these figures: 20 %, SUMMER20

Each holds these placeholders:
- {{ contact.FIRSTNAME | default:'there' }}"""
NAME = "{{ contact.FIRSTNAME | default:'there' }}"


def test_number_language_angles_placeholders_and_figures_are_as_told() -> None:
    copy = write_copy(variants(2, "subject", "preview_text"), ask(ORDERS, "20 % off"))
    assert copy is not None
    one, two = copy["variants"]
    assert (one["angle"], two["angle"]) == ("benefit", "question")
    assert one["subject"] == f"Mehr Komfort für deinen Alltag {NAME}"
    assert one["preview_text"].endswith("(20 %)")
    assert two["preview_text"].endswith("(20 %, SUMMER20)")


@pytest.mark.parametrize(("phrase", "told", "spoilt"), [
    ("", False, [False, False]),
    ("[sandbox:sloppy]", False, [False, True]),
    ("[sandbox:sloppy]", True, [False, False]),
    ("[sandbox:sloppy always]", True, [True, True]),
])  # fmt: skip
def test_a_phrase_spoils_variants_until_it_is_told_so(phrase: str, told: bool, spoilt: list[bool]) -> None:
    copy = write_copy(variants(2, "subject", "preview_text"), ask(ORDERS, phrase, told=told))
    assert copy is not None
    assert [NAME not in one["subject"] for one in copy["variants"]] == spoilt


def test_a_phrase_makes_all_variants_alike() -> None:
    copy = write_copy(variants(3, "button"), ask("", "[sandbox:alike]"))
    assert copy is not None
    assert len({one["button"] for one in copy["variants"]}) == 1


def test_segments_keep_marks_figures_codes_and_addresses() -> None:
    text = "⟦1⟧See⟦2⟧ 20 % with SUMMER20 at https://shop.example/a, now"
    said = json.dumps({"segments": [{"id": 1, "text": text}, {"id": 2, "text": "20 %"}]}, ensure_ascii=False)
    copy = write_copy(SEGMENTS, ask("into this language: fr", f"<text-1>\n{said}\n</text-1>"))
    assert copy is not None
    one, two = copy["segments"]
    assert one["text"] == "⟦1⟧Notre⟦2⟧ 20 % équipe SUMMER20 a https://shop.example/a, préparé"
    assert two == {"id": 2, "text": "20 %"}


def test_every_other_schema_is_left_to_others() -> None:
    for schema in ({}, {"properties": {"variants": {"type": "array", "items": {"type": "string"}}}}, variants(1)):
        angle_less = {"properties": {"score": {"type": "number"}}}
        assert write_copy(angle_less, ask("", "x")) is None
        if "angle" not in str(schema):
            assert write_copy(schema, ask("", "x")) is None


@pytest.mark.parametrize(("phrase", "told", "spoilt"), [
    ("", False, []),
    ("[sandbox:sloppy]", False, ["de"]),
    ("[sandbox:sloppy]", True, []),
    ("[sandbox:sloppy always]", True, ["en", "de"]),
])  # fmt: skip
def test_a_picture_is_told_in_every_language_that_is_asked_for(phrase: str, told: bool, spoilt: list[str]) -> None:
    texts = {"type": "object", "properties": {"en": {"type": "string"}, "de": {"type": "string"}}}
    copy = write_copy({"type": "object", "properties": {"alt_texts": texts}}, ask("", phrase, told=told))
    assert copy is not None
    assert list(copy["alt_texts"]) == ["en", "de"]
    assert [language for language, text in copy["alt_texts"].items() if "77" in text] == spoilt
