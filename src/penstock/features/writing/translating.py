"""Translates the segments of a template in parcels: each is checked, repaired once, and refused otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.base.errors import InputError, OutputError
from penstock.features.writing.checks import Check, check_forbidden, check_language, check_markup, find_phrases
from penstock.features.writing.figures import read_figures
from penstock.features.writing.judge import compare_figures
from penstock.features.writing.segments import MARK, Segment, Template, find_mark_problems
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.brevo_template import read_tags
from penstock.vendor.tokens import count_tokens

PARCEL_TOKENS = 1500
"""Tokens of text in one request: small enough that a repair is cheap, large enough for context."""
VERSION = 1
"""Raise with any change to orders, segments or checks: held answers follow it."""


_MARKS = (
    "Marks such as ⟦1⟧ stand for names, links and formatting: each stays in its segment, exactly once, around the "
    "words that it belongs to. Figures, prices, codes and addresses stay as they are."
)


class Wished(NamedTuple):
    """What a translation must keep to."""

    language: str
    languages: tuple[str, ...]
    source: str
    tone: str
    glossary: tuple[tuple[str, str], ...]
    forbidden: tuple[str, ...]


class Parcel(Fields):
    """Segments that are translated in one request."""

    places: list[int]
    """Which segments of the work."""
    texts: list[str]
    """The texts, with marks for what stays."""


class Work:
    """What is to be translated of some templates into one language, in parcels, with the checks of each."""

    def __init__(self, templates: Sequence[Template], wished: Wished, module: str) -> None:
        """Gather the segments of templates; equal ones are translated once."""
        self.wished = wished
        self._module = module
        self._segments: dict[tuple[str, tuple[str, ...]], tuple[Template, Segment]] = {}
        for template in templates:
            for segment in template.segments:
                self._segments.setdefault(_key(segment), (template, segment))
        self._known = list(self._segments.values())
        self.texts: dict[int, str] = {}
        """What is translated so far, by place."""

    def parcels(self, model: str) -> list[Parcel]:
        """Return the segments in requests of a stated size, in order."""
        parcels: list[list[int]] = []
        room = 0
        for place, (_, segment) in enumerate(self._known):
            tokens = count_tokens(segment.text, model) + 8
            if not parcels or tokens > room:
                parcels.append([])
                room = PARCEL_TOKENS
            parcels[-1].append(place)
            room -= tokens
        return [Parcel(places=places, texts=[self._known[place][1].text for place in places]) for places in parcels]

    def rebuild(self, template: Template) -> str:
        """Return a template in the other language."""
        places = {key: place for place, key in enumerate(self._segments)}
        return template.rebuild([self.texts[places[_key(segment)]] for segment in template.segments])

    def prepare(self, parcel: Parcel, choice: ModelChoice) -> Ask:
        """Say what would be sent."""
        wished = self.wished
        words = "\n".join(f"- {word} → {fixed}" for word, fixed in wished.glossary)
        orders = [
            f"Translate each segment of an email into this language: {wished.language}. Answer with every segment.",
            f"They are written in this language: {wished.source}" if wished.source else "",
            f"Tone: {wished.tone}" if wished.tone else "Keep the tone; write as a native would, for the same reader.",
            _MARKS,
            f"Translate these words as given:\n{words}" if words else "",
            "\n".join(["Never use these words:", *(f"- {word}" for word in wished.forbidden)])
            if wished.forbidden
            else "",
            FENCE_RULE,
        ]
        segments = [{"id": number, "text": text} for number, text in enumerate(parcel.texts, 1)]
        said = msgspec.json.encode({"segments": segments}).decode()
        tokens = count_tokens(said, choice.model.id)
        return build_ask(
            operation=self.operation().name,
            version=VERSION,
            choice=choice,
            talk=Talk("\n".join(one for one in orders if one), (Turn("user", fence(said)),), _schema(len(segments))),
            wishes=Wishes(max_tokens=tokens * 3 + 200),
            likely_output_tokens=tokens * 5 // 4 + 20,
        )

    def operation(self) -> Operation[Parcel, Parcel]:
        """Return the one call of a parcel, with its repair."""
        return Operation(
            module=self._module,
            version=VERSION,
            input=Parcel,
            output=Parcel,
            prepare=self.prepare,
            read=self.read,
            repair=repair,
        )

    def read(self, parcel: Parcel, answer: Answer) -> Parcel:
        """Read the translations of a parcel; raises `OutputError` that lists what is wrong."""
        texts = read_parcel(parcel, answer)
        problems = [
            f"segment {number}: {'; '.join(found)}"
            for number, (place, text) in enumerate(zip(parcel.places, texts, strict=True), 1)
            if (found := self.find_problems(place, text))
        ]
        language = self.check_language(texts)
        if language.verdict == "error":
            problems.append(f"language: {language.found}")
        if problems:
            error = OutputError(f"checks refuse {' | '.join(problems)[:1500]}", code="output.checks")
            error.text = read_text(answer.content)
            raise error
        self.texts.update(zip(parcel.places, texts, strict=True))
        return Parcel(places=parcel.places, texts=texts)

    def check_language(self, texts: Sequence[str]) -> Check:
        """Check that texts are in the wished language."""
        return check_language(MARK.sub(" ", "\n".join(texts)), self.wished.language, self.wished.languages)

    def find_problems(self, place: int, after: str) -> list[str]:
        """Say what is wrong with one translation: marks, figures, addresses, markup, fixed and forbidden words."""
        template, segment = self._known[place]
        problems = find_mark_problems(segment, after)
        if not problems and template.blocks(segment, segment.text) != template.blocks(segment, after):
            problems.append("{% … %} stand in another order")
        plain_before, plain_after = MARK.sub(" ", segment.text), MARK.sub(" ", after)
        if not any(letter.isalnum() for letter in plain_after):
            problems.append("is empty")
        checks = [
            compare_figures(plain_before, plain_after, self.wished.source or "source"),
            check_forbidden(plain_after, self.wished.forbidden),
        ]
        if check_markup({"body": plain_before}).verdict == "ok":
            checks.append(check_markup({"body": plain_after}))
        problems += [check.found for check in checks if check.verdict == "error"]
        if read_figures(plain_before).addresses != read_figures(plain_after).addresses:
            problems.append("an address is not the same")
        problems += [f"{tag.text} is new" for tag in read_tags(plain_after)]
        for word, fixed in self.wished.glossary:
            if find_phrases(plain_before, [word]) and not find_phrases(plain_after, [fixed]):
                problems.append(f"{word!r} is not translated as {fixed!r}")
        return problems


def _key(segment: Segment) -> tuple[str, tuple[str, ...]]:
    return segment.text, segment.marks


def read_parcel(parcel: Parcel, answer: Answer) -> list[str]:
    """Return the texts of an answer in order of the parcel; raises `OutputError` for another shape."""
    value = read_json(read_text(answer.content), _schema(len(parcel.texts)))
    told = {int(one["id"]): str(one["text"]).strip() for one in value["segments"]}
    if sorted(told) != list(range(1, len(parcel.texts) + 1)):
        raise OutputError("the answer does not have each segment once", code="output.shape")
    return [told[number] for number in sorted(told)]


def compare_structure(before: Template, after: str) -> list[str]:
    """Say how a template differs from its source in tags, elements or other markup; nothing when it is intact."""
    try:
        other = Template(after)
    except InputError as error:
        return [error.message]
    lost, new = Counter(before.structure()), Counter(other.structure())
    return [f"{part[:60]} is missing" for part in lost - new] + [f"{part[:60]} is new" for part in new - lost]


def _schema(count: int) -> dict[str, Any]:
    segment = {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
        "required": ["id", "text"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"segments": {"type": "array", "items": segment, "minItems": count, "maxItems": count}},
        "required": ["segments"],
        "additionalProperties": False,
    }
