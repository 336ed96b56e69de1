"""What a campaign picture is to be, and the request for it: at the very size that a mail shows, so nothing is changed.

A picture in a mail is at most 600 points wide; twice that looks sharp on every screen, and more is only weight.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import Field, field_validator

from penstock.features.minimise import minimise
from penstock.features.writing.brief import Language, Words
from penstock.operations.declare import Fields
from penstock.operations.pictures import Look
from penstock.vendor.brevo_template import read_tags

MOST_POINTS = 600
MOST_WIDTH = 1_200
"""Points across that a mail can use: twice what it shows."""
MOST_ALT = 125
"""Characters of an alternative text: some screen readers break longer ones."""
_LEAST_EDGE = 100
_STEP, _LEAST_PIXELS = 16, 655_360
"""What GPT Image 2 and newer make: multiples of 16, from so many points on (contract 2.14)."""
_SHAPES = {"wide": 2 / 3, "banner": 1 / 2, "square": 1.0, "tall": 5 / 4}
_SIZE = r"^(wide|banner|square|tall|[1-9]\d{1,4}x[1-9]\d{1,4})$"
_OLD_STYLES: dict[str, Literal["", "vivid", "natural"]] = {"vivid": "vivid", "natural": "natural"}
_FIGURE = re.compile(
    r"\b[A-Z]{3,}[-_]?\d+\w*|(?:[€$£]\s?)?\b\d(?:[\d.,:/-]*\d)?(?!\w)(?:\s?(?:[%€$£]|(?:EUR|Euro|USD|percent|Prozent)\b))?"
)
_RULES = (
    "One clear subject that is understood at a glance on a small screen, with calm space around it; nothing important "
    "at the edges. No recognisable real people, no logos, no trademarks, no watermark, no frame."
)
_NO_TEXT = "No text of any kind in the picture: no letters, no numbers, no labels, no signs."


class VisualBrief(Fields):
    """What the picture is for, and how it should look."""

    offer: str = Field(min_length=1, max_length=8000)
    """What the campaign is about, in plain words; prices and codes do not go into a picture."""
    readers: str = Field(default="", max_length=4000)
    """Whom it is for, such as the description of a segment; personal data is taken out."""
    style: str = Field(default="", max_length=1000)
    """How it should look, such as `flat illustration, warm colours`."""
    instructions: str = Field(default="", max_length=8000)
    """What else is to be seen, or how."""
    lettering: str = Field(default="", max_length=100)
    """Words inside the picture; usually none: they are not translated, and not seen where pictures are blocked."""
    forbidden: list[Words] = Field(default=[], max_length=50)
    """What must not be seen, and what the alternative text must not say."""
    size: str = Field(default="wide", pattern=_SIZE)
    """Its shape: wide (3:2), banner (2:1), square or tall (4:5); or width and height in pixels."""
    width: int = Field(default=MOST_POINTS, ge=100, le=MOST_POINTS)
    """How wide the mail shows it, in points; the file has twice as many pixels, 1,200 at most."""
    copies: int = Field(default=1, ge=1, le=4)
    """How many pictures to choose from."""
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] = "medium"
    """How much work goes into them, and money; standard and hd are the old words for medium and high."""
    format: Literal["auto", "jpeg", "png", "webp"] = "auto"
    """Kind of the file: jpeg, or png where something shines through; webp is not shown by all mail programs."""
    background: Literal["opaque", "transparent"] = "opaque"
    """What is behind; transparent makes a png."""
    languages: list[Language] = Field(default=["en"], min_length=1, max_length=30)
    """Languages of the alternative text."""
    alt: dict[str, str] = Field(default={}, max_length=30)
    """Alternative texts that are there already, by language; the others are written by a text model that looks."""
    moderation: bool = True
    """Ask the vendor's moderation before and after, which is free."""

    @field_validator("lettering")
    @classmethod
    def _check_lettering(cls, value: str) -> str:
        if read_tags(value):
            raise ValueError("a template tag inside a picture is never filled in")
        return value

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: str) -> str:
        if "x" in value and min(int(edge) for edge in value.split("x")) < _LEAST_EDGE:
            raise ValueError(f"a picture has at least {_LEAST_EDGE} pixels each way")
        return value

    def aim(self) -> tuple[int, int]:
        """Return width and height in pixels that the mail can use of the wished shape."""
        across = min(2 * self.width, MOST_WIDTH)
        share = _SHAPES.get(self.size)
        if share is None:
            wide, high = (int(part) for part in self.size.split("x"))
            across, share = min(wide, across), min(max(high / wide, 1 / 3), 3.0)
        return across, round(across * share)

    def ask_size(self) -> str:
        """Return the size to ask for: the aim in steps of 16, larger only where a model makes none so small."""
        across, down = self.aim()
        scale = max(1.0, math.sqrt(_LEAST_PIXELS / (across * down)))
        return "x".join(str(math.ceil(edge * scale / _STEP - 1e-9) * _STEP) for edge in (across, down))

    def look(self) -> Look:
        """Return the wishes for the operation that draws."""
        is_png = self.background == "transparent" or self.format == "png"
        return Look(
            text=self.write_prompt(),
            copies=self.copies,
            size=self.ask_size(),
            quality=self.quality,
            format="png" if is_png else "jpeg",
            compression=None if is_png else 90,
            background=self.background,
            style=_OLD_STYLES.get(self.style, ""),
        )

    def warn(self) -> list[str]:
        """Say which wishes do not fit a mail, and what happens instead."""
        warnings = []
        across, down = self.aim()
        if self.size not in (*_SHAPES, f"{across}x{down}"):
            known = " (a size of DALL-E 3)" if self.size in ("1792x1024", "1024x1792") else ""
            warnings.append(f"size: a mail has no use for {self.size}{known}; {self.ask_size()} is asked for")
        if self.format == "webp":
            warnings.append("format: webp is not shown by all mail programs and not taken by Brevo; another is used")
        if self.format == "jpeg" and self.background == "transparent":
            warnings.append("format: jpeg is never transparent; png is used")
        return warnings

    def write_prompt(self) -> str:
        """Return what the model is told to draw: the offer without its figures, tags and personal data."""
        avoided = f"Do not show: {'; '.join(self.forbidden)}." if self.forbidden else ""
        parts = [
            "A picture for the top of a marketing email.",
            f"It is about: {self.describe_offer()}",
            f"It is for: {minimise(_without_tags(self.readers), [])}" if self.readers else "",
            f"It looks like this: {self.style}" if self.style and self.style not in _OLD_STYLES else "",
            _without_tags(self.instructions),
            _RULES,
            f"The only words in it, spelt exactly so: {self.lettering}" if self.lettering else _NO_TEXT,
            avoided,
        ]
        return "\n".join(part for part in parts if part)

    def describe_offer(self) -> str:
        """Return the offer as far as it can be seen: a figure or a code would be written into the picture."""
        plain = _FIGURE.sub("…", _without_tags(self.offer))
        return minimise(" ".join(plain.split()), [])

    def missing_alt(self) -> list[str]:
        """List the languages whose alternative text is still to be written."""
        return [language for language in self.languages if not self.alt.get(language)]


def _without_tags(text: str) -> str:
    for tag in reversed(read_tags(text)):
        text = f"{text[: tag.start]}{text[tag.end :]}"
    return text
