"""A map of customers by segment as SVG, PNG and JSON, and a page with all that is said of the segments."""

from __future__ import annotations

import colorsys
from html import escape
from importlib.resources import files
from io import BytesIO
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from penstock.base.errors import SettingsError
from penstock.features.segment_book import About

WIDTH, HEIGHT = 960, 640
_EDGE, _FOOT = 40, 44
_HUES = (0.58, 0.08, 0.33, 0.97, 0.75, 0.13, 0.5, 0.87, 0.25, 0.66)
_DOT = 5.0


class Label(NamedTuple):
    """The name of a segment, at the middle of its customers."""

    x: float
    y: float
    text: str


def colour_of(place: int) -> str:
    """Return the colour of a segment; after ten they come again, darker."""
    lightness = (0.5, 0.36, 0.62)[place // len(_HUES) % 3]
    parts = colorsys.hls_to_rgb(_HUES[place % len(_HUES)], lightness, 0.62)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def write_json(about: About) -> bytes:
    """Return the map with the names of segments: points as x, y and the place of the segment."""
    names = [{"id": one.id, "name": one.name.name, "customers": one.customers} for one in about.segments]
    return msgspec.json.encode({"segments": names, **msgspec.to_builtins(about.picture)})


def write_svg(about: About) -> str:
    """Return the map as SVG; nothing in it is loaded from elsewhere."""
    places, labels = _lay_out(about)
    marks = [
        f'<path stroke="{colour_of(at)}" d="{"".join(f"M{x:.0f} {y:.0f}h0" for x, y in points)}"/>'
        for at, points in sorted(places.items())
    ]
    texts = [f'<text x="{one.x:.0f}" y="{one.y:.0f}">{escape(one.text)}</text>' for one in labels]
    note = "".join(
        f'<text x="{_EDGE}" y="{HEIGHT - _FOOT + 14 + 15 * at}" class="note">{escape(line)}</text>'
        for at, line in enumerate(_wrap(about.picture.note))
    )
    style = (
        "text{font:600 14px system-ui,sans-serif;text-anchor:middle;fill:#1d2430;stroke:#fff;stroke-width:3px;"
        "paint-order:stroke}.note{font:12px system-ui,sans-serif;text-anchor:start;fill:#5a6472;stroke:none}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Map of {about.customers} customers in {len(about.segments)} segments"><style>{style}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<g fill="none" stroke-width="{_DOT:g}" stroke-linecap="round" stroke-opacity="0.55">{"".join(marks)}</g>'
        f"{''.join(texts)}{note}</svg>"
    )


def write_png(about: About) -> bytes:
    """Return the map as PNG, twice as large as the SVG says; raises `SettingsError` without Pillow."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise SettingsError(
            "a picture as PNG needs the package pillow", code="settings.extra", hint="pip install 'penstock[images]'"
        ) from error
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), "#ffffff")
    over = Image.new("RGBA", image.size, (0, 0, 0, 0))
    brush = ImageDraw.Draw(over)
    places, labels = _lay_out(about)
    for at, points in sorted(places.items()):
        for x, y in points:
            box = (2 * x - _DOT, 2 * y - _DOT, 2 * x + _DOT, 2 * y + _DOT)
            brush.ellipse(box, fill=f"{colour_of(at)}90")
    image.paste(over, (0, 0), over)
    pen = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(28), ImageFont.load_default(22)
    for one in labels:
        pen.text((2 * one.x, 2 * one.y), one.text, "#1d2430", large, anchor="mm", stroke_width=4, stroke_fill="#ffffff")
    for at, line in enumerate(_wrap(about.picture.note)):
        pen.text((2 * _EDGE, 2 * (HEIGHT - _FOOT + 6 + 15 * at)), line, "#5a6472", small)
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def write_page(about: About) -> str:
    """Return a page with the map, every segment with its profile, drift, and what each number would be like."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["colour"] = colour_of
    source = files("penstock.features").joinpath("segment_page.html").read_text(encoding="utf-8")
    drawn = Markup(write_svg(about))  # noqa: S704 - drawn here, with names escaped
    return environment.from_string(source).render(about=about, drawn=drawn)


def _lay_out(about: About) -> tuple[dict[int, list[tuple[float, float]]], list[Label]]:
    """Return the dots of each segment on the canvas, and where its name stands."""
    points = about.picture.points
    if not points:
        return {}, []
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    low_x, low_y = min(xs), min(ys)
    scale_x = (WIDTH - 2 * _EDGE) / ((max(xs) - low_x) or 1.0)
    scale_y = (HEIGHT - 2 * _EDGE - _FOOT) / ((max(ys) - low_y) or 1.0)
    places: dict[int, list[tuple[float, float]]] = {}
    for x, y, at in points:
        places.setdefault(at, []).append((_EDGE + (x - low_x) * scale_x, _EDGE + (y - low_y) * scale_y))
    labels = [_label(about, at, dots) for at, dots in sorted(places.items())]
    return places, _spread(labels)


def _label(about: About, at: int, dots: list[tuple[float, float]]) -> Label:
    middle = len(dots) // 2
    x, y = sorted(x for x, _ in dots)[middle], sorted(y for _, y in dots)[middle]
    text = about.segments[at].name.name
    room = 4.2 * len(text)
    return Label(min(max(x, _EDGE / 2 + room), WIDTH - _EDGE / 2 - room), y, text)


def _spread(labels: list[Label]) -> list[Label]:
    """Move names down that would stand on one another."""
    done: list[Label] = []
    for label in sorted(labels, key=lambda one: one.y):
        y = label.y
        while any(abs(one.y - y) < 17 and abs(one.x - label.x) < 4.2 * len(one.text + label.text) for one in done):
            y += 6
        done.append(label._replace(y=y))
    return done


def _wrap(text: str, most: int = 125) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def list_figures(about: About) -> dict[str, Any]:
    """Return what a version says, without the points of its map."""
    told: dict[str, Any] = msgspec.to_builtins(about)
    told["picture"].pop("points")
    return told
