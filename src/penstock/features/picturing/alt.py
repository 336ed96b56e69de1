"""What a picture says to those who do not see it: written by a text model that looks at it, checked, repaired once."""

from __future__ import annotations

import re
from typing import Any

from penstock.base.errors import OutputError
from penstock.features.picturing.brief import MOST_ALT, VisualBrief
from penstock.features.writing.checks import Check, check_facts, check_forbidden, check_language, check_markup
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.files import File
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Picture, Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.brevo_template import read_tags

VERSION = 1
"""Raise with any change to orders, schema or checks: held answers follow it."""
LEAST_ALT = 10
_OPENING = re.compile(
    r"(?i)^\W*(?:(?:an?|the|une?|das|ein|eine|el|la|una|un|een)\s+)?"
    r"(?:image|picture|photo|photograph|illustration|graphic|bild|foto|abbildung|imagen|photographie|immagine"
    r"|afbeelding|imagem)\s+(?:of|von|de|di|van|showing|mit|des|d['’])"
)
_ORDERS = (
    "You write the alternative text of a picture in a marketing email, for readers who do not see it. Say in one plain "
    f"sentence of at most {MOST_ALT} characters what is to be seen. Do not begin with words such as `image of`. State "
    "no figure, price, date or code. Use no template tags and no markup. Words that stand in the picture are repeated."
)
_PROTECTED = "What the mail is about stands between marks that begin with <brief-. " + FENCE_RULE.partition(". ")[2]


class AltTexts(Fields):
    """The texts of one answer."""

    alt_texts: dict[str, str]
    """A text by language."""


def check_alt(text: str, language: str, brief: VisualBrief) -> list[Check]:
    """Check one alternative text: length, no tags, no figures that the brief lacks, its language, forbidden words."""
    length, tags = len(text), [tag.text for tag in read_tags(text)]
    opening = _OPENING.match(text)
    return [
        _say("alt length", "" if LEAST_ALT <= length <= MOST_ALT else f"{length} characters, not 10 to {MOST_ALT}"),
        _say("alt tags", f"{', '.join(tags)} is not filled in there" if tags else ""),
        _say("alt opening", f"begins with {opening[0]!r}, which readers hear anyway" if opening else ""),
        check_markup({"alt": text}),
        check_facts(text, f"{brief.offer}\n{brief.lettering}\n{brief.instructions}"),
        check_language(text, language, brief.languages),
        check_forbidden(text, brief.forbidden),
    ]


def _say(name: str, problem: str) -> Check:
    return Check(name=name, verdict="error" if problem else "ok", found=problem)


def find_problems(texts: dict[str, str], brief: VisualBrief) -> dict[str, list[str]]:
    """Return what is wrong with the text of each language; nothing for a good one."""
    found = {}
    for language, text in texts.items():
        wrong = [f"{one.name}: {one.found}" for one in check_alt(text, language, brief) if one.verdict == "error"]
        if wrong:
            found[language] = wrong
    return found


def write_alt(module: str, picture: File) -> Operation[Any, AltTexts]:
    """Return the one call for a picture, with its repair; the languages are those that the brief still misses."""

    def prepare(input: Any, choice: ModelChoice) -> Ask:
        languages = input.missing_alt()
        orders = f"{_ORDERS}\n\nWrite it in each of these languages: {', '.join(languages)}.\n\n{_PROTECTED}"
        turn = Turn("user", fence(input.describe_offer(), "brief"), (Picture(picture.data_url(), "low"),))
        tokens = 60 * len(languages) + 40
        return build_ask(
            operation="make-visual",
            version=VERSION,
            choice=choice,
            talk=Talk(orders, (turn,), _schema(languages)),
            wishes=Wishes(max_tokens=tokens * 2),
            likely_output_tokens=tokens,
        )

    def read(input: Any, answer: Answer) -> AltTexts:
        texts = read_texts(input, answer)
        wrong = find_problems(texts, input)
        if wrong:
            said = " | ".join(f"{language}: {'; '.join(reasons)}" for language, reasons in wrong.items())
            error = OutputError(f"checks refuse {said[:1500]}", code="output.checks")
            error.text = read_text(answer.content)
            raise error
        return AltTexts(alt_texts=texts)

    return Operation(
        module=module, version=VERSION, input=VisualBrief, output=AltTexts, prepare=prepare, read=read, repair=repair
    )


def read_texts(brief: VisualBrief, answer: Answer) -> dict[str, str]:
    """Return the texts of an answer by language, unchecked; raises `OutputError` for another form."""
    value = read_json(read_text(answer.content), _schema(brief.missing_alt()))
    return {language: str(value["alt_texts"][language]).strip() for language in brief.missing_alt()}


def _schema(languages: list[str]) -> dict[str, Any]:
    texts = {language: {"type": "string"} for language in languages}
    inner = {"type": "object", "properties": texts, "required": languages, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"alt_texts": inner},
        "required": ["alt_texts"],
        "additionalProperties": False,
    }
