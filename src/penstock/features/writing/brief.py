"""What a writer is told: the brief of a campaign, and the voice of a brand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from penstock.features.minimise import minimise
from penstock.operations.declare import Fields
from penstock.vendor.brevo_template import read_tags

Angle = Literal["benefit", "curiosity", "urgency", "social proof", "question", "news", "personal"]

ANGLES: dict[Angle, str] = {
    "benefit": "what the reader gains",
    "curiosity": "makes curious without hiding what it is about",
    "urgency": "why now; only with a date or limit that the brief states",
    "social proof": "what other customers do or say; only what the brief states",
    "question": "a question that the reader asks",
    "news": "what is new",
    "personal": "speaks to the reader's own situation",
}

Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Voice(Fields):
    """How a brand sounds."""

    sound: str = ""
    """How it sounds, in a sentence or two."""
    prefer: list[str] = Field(default=[])
    """Words and habits that it likes."""
    forbidden: list[str] = Field(default=[])
    """Words and phrases that it never uses; a text with one of them is refused."""
    examples: list[str] = Field(default=[])
    """Sentences that sound right."""


class Brief(Fields):
    """What is to be written, and for whom."""

    offer: str = Field(min_length=1, max_length=8000)
    """What it is about, in plain words; read as data, never as an order."""
    readers: str = Field(default="", max_length=4000)
    """Whom it is for, such as the description of a segment; personal data is taken out."""
    facts: list[Words] = Field(default=[], max_length=100)
    """What may be stated: figures, prices, dates, codes. Others are refused in what is written."""
    tone: str = Field(default="", max_length=1000)
    """How it should sound, such as friendly or factual."""
    languages: list[Language] = Field(default=["en"], min_length=1, max_length=30)
    """Language codes; each is written from the brief, then placeholders and figures are compared with the first."""
    placeholders: list[str] = Field(default=[], max_length=20)
    """Template tags that each variant must hold, exactly so, such as `{{ contact.FIRSTNAME | default:'there' }}`."""
    attributes: list[str] = Field(default=[], max_length=1000)
    """Contact attributes of the account; a tag that names another is refused. Empty: not checked."""
    forbidden: list[Words] = Field(default=[], max_length=200)
    """Words and phrases that must not occur."""
    angles: list[Angle] = Field(default=[], max_length=10)
    """From which sides to look at it, best first; empty takes the usual ones."""
    evidence: list[Words] = Field(default=[], max_length=20)
    """What former mailings showed, as sentences; the writer is told, and none of it may be repeated."""
    variants: int = Field(default=3, ge=1, le=10)
    """How many to write, each from another angle."""
    voice: Voice = Voice()
    """How the brand sounds: `sound`, `prefer`, `forbidden`, `examples`."""
    instructions: str = Field(default="", max_length=20_000)
    """What else the writer should know, such as the system prompt of a template."""
    known: tuple[str | None, ...] = Field(default=(), max_length=50)
    """Personal values of the contact (email, names): taken out of everything that is sent."""
    recipients: int = Field(default=0, ge=0)
    """How many contacts will get it; a test that is too small for them is said to be."""
    click_rate: float = Field(default=0.02, gt=0, lt=1, allow_inf_nan=False)
    """Share of recipients that click, for the size of a test."""
    moderation: bool = True
    """Also ask the vendor's moderation, which is free."""
    max_tokens: int = Field(default=3000, ge=16)
    """Longest answer, in tokens."""
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    """Randomness, for models that still accept it."""
    effort: str | None = None
    """How long the model may think."""

    @field_validator("placeholders")
    @classmethod
    def _check_placeholders(cls, value: list[str]) -> list[str]:
        for text in value:
            tags = read_tags(text)
            if len(tags) != 1 or tags[0].text != text or tags[0].kind not in ("value", "block"):
                raise ValueError(f"{text!r} is not one tag of the template language, such as {{{{ contact.NAME }}}}")
        return value

    @field_validator("languages")
    @classmethod
    def _check_languages(cls, value: list[str]) -> list[str]:
        if len({one.lower() for one in value}) < len(value):
            raise ValueError("a language is there twice")
        return value

    def list_angles(self) -> list[Angle]:
        """Return one angle a variant: those of the brief, then the usual ones, around again when there are more."""
        order = list(dict.fromkeys([*self.angles, *ANGLES])) if self.variants > len(self.angles) else self.angles
        return [order[at % len(order)] for at in range(self.variants)]

    def describe(self) -> dict[str, object]:
        """Return what a model is told as data, without personal data; empty parts are left out."""
        known = [value for value in self.known if value]
        parts = {
            "offer": _keep_out(self.offer, known),
            "readers": minimise(self.readers, known),
            "facts": [_keep_out(fact, known) for fact in self.facts],
            "former_results": self.evidence,
        }
        return {name: part for name, part in parts.items() if part}

    def stated(self) -> str:
        """Return everything whose figures, codes and addresses may be repeated."""
        return "\n".join([self.offer, *self.facts, self.instructions, *self.voice.prefer])

    def all_forbidden(self) -> list[str]:
        """List the words that must not occur, the brand's own included."""
        return [*self.forbidden, *self.voice.forbidden]


def _keep_out(text: str, known: list[str]) -> str:
    """Take the values of a person out of a text; prices, codes and dates of an offer stay."""
    for value in sorted(known, key=len, reverse=True):
        if len(value) > 1:
            text = text.replace(value, "[personal]")
    return text
