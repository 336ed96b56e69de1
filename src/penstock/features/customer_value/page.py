"""The report as one HTML page: nothing is loaded, light and dark, and what customers are called stays text."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from penstock.features.customer_value.pictures import FAINT, INK, MAIN, OTHER, WARM, Picture

_THEMED = {INK: "ink", FAINT: "faint", MAIN: "main", OTHER: "other", WARM: "warm"}


def render_page(report: dict[str, Any], pictures: dict[str, Picture], title: str) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "money": _money}
    source = files("penstock.features.customer_value").joinpath("page.html").read_text(encoding="utf-8")
    drawn = {name: Markup(to_inline(picture, name)) for name, picture in pictures.items()}  # noqa: S704 - drawn here
    return environment.from_string(source).render(**report, title=title, pictures=pictures, drawn=drawn)


def to_inline(picture: Picture, name: str) -> str:
    """Return the SVG for within a page: colours follow the page, and no id meets one of another picture."""
    text = picture.svg.decode()
    text = text[text.index("<svg") :]
    for colour, word in _THEMED.items():
        text = text.replace(colour, f"var(--{word})")
    text = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', rf'<svg \1 role="img" aria-label="{picture.alt}">', text, count=1
    )
    return re.sub(r' (?:d|points|transform)="[^"]*"', _shorten, text)


def _shorten(match: re.Match[str]) -> str:
    """Cut the digits that nobody sees."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", match[0])


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
