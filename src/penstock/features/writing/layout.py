"""Puts written texts into the HTML of a mail, and makes its plain-text part. Texts are data: they are escaped.

MJML by mrml, styles into elements by css-inline (extra `content`), both behind the tag guard; nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Any, NamedTuple

from penstock.base.errors import InputError, SettingsError
from penstock.features.writing.guard import Guarded
from penstock.vendor.brevo_template import read_tags

SLOTS = (
    "subject",
    "preview_text",
    "headline",
    "picture",
    "body",
    "button",
    "link",
    "language",
    "mirror",
    "unsubscribe",
)
"""Where the parts of a mail go: `[[body]]` and so on."""

USUAL = """\
<mjml lang="[[language]]">
  <mj-head>
    <mj-title>[[subject]]</mj-title>
    <mj-preview>[[preview_text]]</mj-preview>
    <mj-attributes><mj-all font-family="Arial, Helvetica, sans-serif" /></mj-attributes>
  </mj-head>
  <mj-body background-color="#f4f4f5">
    <mj-section background-color="#ffffff" padding="32px 24px">
      <mj-column>
        [[picture]]
        <mj-text font-size="24px" line-height="32px" font-weight="bold">[[headline]]</mj-text>
        <mj-text font-size="16px" line-height="24px">[[body]]</mj-text>
        <mj-button href="[[link]]" background-color="#1d4ed8" font-size="16px">[[button]]</mj-button>
      </mj-column>
    </mj-section>
    <mj-section padding="16px 24px">
      <mj-column>
        <mj-text font-size="12px" line-height="18px" color="#52525b" align="center">
          <a href="{{ mirror }}">[[mirror]]</a> · <a href="{{ unsubscribe }}">[[unsubscribe]]</a>
        </mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""

_FOOTER = {
    "en": ("View in your browser", "Unsubscribe"),
    "de": ("Im Browser ansehen", "Abmelden"),
    "fr": ("Voir dans le navigateur", "Se désabonner"),
    "es": ("Ver en el navegador", "Darse de baja"),
    "it": ("Vedi nel browser", "Annulla l'iscrizione"),
    "nl": ("Bekijk in je browser", "Uitschrijven"),
    "pt": ("Ver no navegador", "Cancelar subscrição"),
    "pl": ("Zobacz w przeglądarce", "Wypisz się"),
    "sv": ("Visa i webbläsaren", "Avregistrera"),
}
_SLOT = re.compile(r"\[\[([a-z_]+)\]\]")
_DROPPED = re.compile(
    r"<!--.*?-->|<(head|style|script|title)\b[^>]*>.*?</\1\s*>|<div style=\"display: ?none[^>]*>[^<]*</div>",
    re.DOTALL | re.IGNORECASE,
)
_LINK = re.compile(r"<a\b[^>]*?\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)')[^>]*>(.*?)</a\s*>", re.DOTALL | re.IGNORECASE)
_BLOCK_END = re.compile(r"<br\s*/?>|</(?:p|div|tr|li|h[1-6]|table|ul|ol|blockquote)\s*>", re.IGNORECASE)
_ANY = re.compile(r"<[A-Za-z/!?](?:\"[^\"]*\"|'[^']*'|[^'\">])*>", re.DOTALL)


class Shown(NamedTuple):
    """A picture as a mail shows it: its address, what it says to those who do not see it, and its width in points."""

    address: str
    alt: str
    width: int


def fill(layout: str, parts: Mapping[str, str], language: str = "en", picture: Shown | None = None) -> str:
    """Put the parts into a layout, escaped, their tags untouched.

    Raises `InputError` for a slot that nothing goes into, and for a picture that has none.
    """
    if picture is not None and "[[picture]]" not in layout:
        raise InputError(
            "the layout has no place for the picture",
            code="content.slot",
            hint="Put [[picture]] where it goes: between the elements of an mj-column, or anywhere in HTML.",
        )
    mirror, unsubscribe = _FOOTER.get(language.partition("-")[0].lower(), _FOOTER["en"])
    own = {"mirror": mirror, "unsubscribe": unsubscribe, "language": language}
    values = {name: escape_text(text) for name, text in {**parts, **own}.items()}
    values["body"] = write_paragraphs(parts.get("body", ""))
    values["picture"] = _write_picture(picture, is_mjml(layout)) if picture else ""

    def take(slot: re.Match[str]) -> str:
        if slot[1] not in values:
            raise InputError(
                f"the layout has a slot [[{slot[1]}]] that nothing goes into",
                code="content.slot",
                hint=f"There are: {', '.join(f'[[{name}]]' for name in SLOTS)}.",
            )
        return values[slot[1]]

    return _SLOT.sub(take, layout)


def _write_picture(picture: Shown, is_mjml: bool) -> str:
    """Write a picture that shrinks with a narrow screen and is never shown larger than it is."""
    address, alt, width = escape(picture.address), escape_text(picture.alt), picture.width
    if is_mjml:
        return f'<mj-image src="{address}" alt="{alt}" width="{width}px" padding="0 0 24px" />'
    style = f"display:block;width:100%;max-width:{width}px;height:auto;border:0"
    return f'<img src="{address}" alt="{alt}" width="{width}" style="{style}" />'


def escape_text(text: str) -> str:
    """Return a text as it can stand in HTML and in attribute values; template tags stay as they are."""
    parts, end = [], 0
    for tag in read_tags(text):
        parts += [escape(text[end : tag.start]), tag.text]
        end = tag.end
    return "".join([*parts, escape(text[end:])])


def write_paragraphs(text: str) -> str:
    """Write a text with blank lines between its paragraphs as HTML."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "\n".join(f"<p>{escape_text(part).replace(chr(10), '<br />')}</p>" for part in paragraphs)


def render(source: str) -> str:
    """Turn MJML or HTML into the HTML of a mail, with styles inside the elements.

    Raises `InputError` for markup that cannot be read or where a tag would not stay in place, and
    `SettingsError` `settings.extra` where the extra `content` is missing.
    """
    html = _from_mjml(source) if is_mjml(source) else source
    guarded = Guarded(html, hide_styles=True)
    tool: Any = _load("css_inline")
    try:
        inlined = tool.inline(guarded.text, load_remote_stylesheets=False, keep_at_rules=True)
    except Exception as error:
        raise _unreadable("HTML", error) from error
    return guarded.restore(inlined)


def is_mjml(source: str) -> bool:
    """Tell whether a source is MJML rather than HTML."""
    return re.search(r"<mjml\b", source, re.IGNORECASE) is not None


def _from_mjml(source: str) -> str:
    guarded = Guarded(source)
    tool: Any = _load("mrml")
    try:
        made = tool.to_html(guarded.text)
    except Exception as error:
        raise _unreadable("MJML", error) from error
    html, title = str(made.content), str(made.title or "")
    if guarded.hides(title):  # mrml repeats the title as a label of the whole mail, and a tag would stand there twice
        html = html.replace(f'aria-label="{title}" ', "", 1)
    return guarded.restore(html, may_sort=True)


def _unreadable(kind: str, error: Exception) -> InputError:
    return InputError(
        f"the {kind} cannot be read: {error}", code="content.markup", hint="Check that every element is closed."
    )


def _load(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"the mail cannot be rendered: the package {name} is not installed",
            code="settings.extra",
            hint="Install the extra: pip install 'penstock[content]'",
        ) from error


def to_plain(html: str) -> str:
    """Return the plain-text part of a mail: its text, links as `text (address)`, tags untouched."""
    hidden = Guarded(html)  # what is inside tags is no markup
    text = hidden.restore(html) and _DROPPED.sub("", html)
    text = _LINK.sub(_write_link, text)
    text = _ANY.sub("", _BLOCK_END.sub("\n", re.sub(r"\s+", " ", text)))
    lines = [re.sub(r"[ \u00a0]+", " ", line).strip() for line in unescape_text(text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _write_link(link: re.Match[str]) -> str:
    address, words = (link[1] or link[2] or "").strip(), link[3].strip()
    return words if not address or address == words else f"{words} ({address})"


def unescape_text(text: str) -> str:
    """Return what a text of HTML without markup says; template tags stay as they are."""
    parts, end = [], 0
    for tag in read_tags(text):
        parts += [unescape(text[end : tag.start]), tag.text]
        end = tag.end
    return "".join([*parts, unescape(text[end:])])
