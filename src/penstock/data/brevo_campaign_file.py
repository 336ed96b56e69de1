"""Reads a campaign or a template from a YAML file and the HTML or MJML beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.document import Document, Kind, read_document
from penstock.base.errors import FlowError
from penstock.data.brevo_campaigns import Campaign, check_campaign

CAMPAIGN_FILE = Kind("campaign file", "name, sender, subject and html", "examples/campaign/campaign.yaml")
ENDINGS = {"html": (".html", ".htm"), "mjml": (".mjml",)}

ToHtml = Callable[[str], str]


class CampaignFile(NamedTuple):
    """What a file says, which of both it is, and the folder that its pictures are looked for in."""

    campaign: Campaign
    kind: Literal["campaign", "template"]
    folder: Path


def read_campaign(path: Path, to_html: ToHtml) -> CampaignFile:
    """Read a campaign file; `to_html` turns MJML into HTML.

    Raises `FlowError` with line and column for what does not fit, `InputError` for what Brevo would refuse.
    """
    document = read_document(path, CAMPAIGN_FILE)
    given = dict(document.plain)
    kind = given.pop("kind", "campaign")
    if kind not in ("campaign", "template"):
        raise _wrong(document, ("kind",), "`kind` is campaign or template")
    given["html"] = _read_body(document, given, to_html)
    try:
        campaign = msgspec.convert(given, Campaign)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        parts = tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[\w-]+", place))
        if unknown := re.search(r"unknown field `([^`]+)`", message):
            parts = (*parts, unknown[1])
        raise _wrong(document, parts, message) from error
    check_campaign(campaign)
    return CampaignFile(campaign, kind, path.parent)


def _read_body(document: Document, given: dict[str, Any], to_html: ToHtml) -> str:
    names = [name for name in ENDINGS if name in given]
    if len(names) != 1:
        raise _wrong(document, tuple(names[:1]), "it needs exactly one of html and mjml: the name of a file")
    name = names[0]
    file = document.path.parent / str(given.pop(name))
    if file.suffix.lower() not in ENDINGS[name]:
        raise _wrong(document, (name,), f"{file.name} is not a file that ends in {ENDINGS[name][0]}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(document, (name,), f"{file} cannot be read as UTF-8 text") from error
    return to_html(text) if name == "mjml" else text


def _wrong(document: Document, path: tuple[Any, ...], message: str) -> FlowError:
    return FlowError(
        f"the campaign file does not fit: {message}",
        code="campaign.file",
        where=document.place(path),
        hint="docs/how-to/campaigns.md shows a whole file.",
    )
