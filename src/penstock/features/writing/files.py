"""Reads a brief from YAML, with its brand voice and its text template beside it.

A text template is what other connectors keep per kind of text: model, system prompt, `max_tokens`, `temperature`. Each
part is translated for the model that answers, and what cannot be honoured is a warning of the call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.base.document import Document, Kind, read_document
from penstock.base.errors import FlowError
from penstock.operations.catalogue import find_operation

EXAMPLE = "examples/content/brief.yaml"
OPERATIONS = ("write-subjects", "write-email", "write-cta", "translate-template")
FRAME_TOKENS = 60
"""Tokens that the frame of an answer takes for each variant, beside its text."""

_BRIEF = Kind("brief", "operation, offer and what else the operation takes", EXAMPLE)
_VOICE = Kind("brand voice", "sound, prefer, forbidden, examples", "examples/content/voice.yaml")
_TEMPLATES = Kind(
    "file of text templates", "templates, each with model and system_prompt", "examples/content/templates.yaml"
)


class BriefFile(NamedTuple):
    """A brief that was read: which operation, its input, and the model that its template names (or nothing).

    `campaign` is what a campaign file needs beside the texts, such as sender and recipients; `visual` is the input of
    `make-visual` and `visual_model` its model. Both are empty without a wish.
    """

    operation: str
    values: dict[str, Any]
    model: str | None
    campaign: dict[str, Any]
    visual: dict[str, Any]
    visual_model: str | None


class TextTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one kind of text is asked for."""

    model: str | None = None
    system_prompt: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    effort: str | None = None


def read_brief(path: Path) -> BriefFile:
    """Read a brief; `voice`, `layout` and `templates` may name files beside it. Raises `FlowError` with the place."""
    document = read_document(path, _BRIEF)
    values = dict(document.plain)
    operation = values.pop("operation", "write-email")
    if operation not in OPERATIONS:
        raise FlowError(
            f"{operation!r} writes no texts",
            code="content.operation",
            where=document.place(("operation",)),
            hint=f"There are: {', '.join(OPERATIONS)}.",
        )
    if isinstance(values.get("voice"), str):
        values["voice"] = read_document(path.parent / values["voice"], _VOICE).plain
    for name in ("layout", "template"):
        if isinstance(values.get(name), str) and _names_file(values[name]):
            values[name] = _read_text(path.parent / values[name], document.place((name,)))
    model, campaign = values.pop("model", None), values.pop("campaign", None) or {}
    if not isinstance(campaign, dict):
        raise FlowError(
            "campaign is a mapping with name, sender and recipients",
            code="content.field",
            where=document.place(("campaign",)),
            hint=f"See {EXAMPLE}.",
        )
    visual = _read_visual(document, values.pop("visual", None), operation, values)
    style, templates = values.pop("style", None), values.pop("templates", None)
    if style is not None:
        template = read_template(path.parent / str(templates or "templates.yaml"), str(style))
        model = model or template.model
        values = {**_as_input(template, int(values.get("variants", 3))), **values}
    known = find_operation(operation).input.model_fields
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise FlowError(
            f"{operation} takes no {unknown!r}",
            code="content.field",
            where=document.place((unknown,)),
            hint=f"It takes: {', '.join(known)}; and the file itself operation, model, style, templates, campaign "
            "and visual.",
        )
    visual_model = visual.pop("model", None)
    return BriefFile(operation, values, model, campaign, visual, visual_model)


def _read_visual(document: Document, given: Any, operation: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the input of the picture: its part of the brief, with offer, readers and languages of the mail."""
    if given is None:
        return {}
    known = find_operation("make-visual").input.model_fields
    unknown = next((name for name in given if name not in (*known, "model")), None) if isinstance(given, dict) else ""
    if unknown is not None or operation != "write-email":
        raise FlowError(
            f"make-visual takes no {unknown!r}" if unknown else "visual is a mapping, in the brief of write-email",
            code="content.field",
            where=document.place(("visual", unknown) if unknown else ("visual",)),
            hint=f"It takes: model, {', '.join(known)}.",
        )
    if "[[picture]]" not in str(values.get("layout") or "[[picture]]"):
        raise FlowError(
            "the layout has no place for the picture",
            code="content.slot",
            where=document.place(("layout",)),
            hint="Put [[picture]] where it goes: between the elements of an mj-column, or anywhere in HTML.",
        )
    shared = ("offer", "readers", "languages", "forbidden", "moderation")
    return {**{name: values[name] for name in shared if name in values}, **given}


def read_template(path: Path, name: str) -> TextTemplate:
    """Read one text template of a file; raises `FlowError` with the place of what is wrong."""
    document = read_document(path, _TEMPLATES)
    templates = document.plain.get("templates")
    if not isinstance(templates, dict) or name not in templates:
        known = ", ".join(templates) if isinstance(templates, dict) else "none"
        raise FlowError(
            f"there is no text template {name!r}", code="content.template", where=str(path), hint=f"There are: {known}."
        )
    try:
        return msgspec.convert(templates[name], TextTemplate)
    except msgspec.ValidationError as error:
        raise FlowError(
            f"the text template {name} is wrong: {error}",
            code="content.template",
            where=document.place(("templates", name)),
            hint=f"It takes: {', '.join(TextTemplate.__struct_fields__)}.",
        ) from error


def _as_input(template: TextTemplate, variants: int) -> dict[str, Any]:
    """Return a text template as input; its limit is that of one text, and the answer holds all variants."""
    values: dict[str, Any] = {"instructions": template.system_prompt.strip()}
    if template.max_tokens is not None:
        values["max_tokens"] = (template.max_tokens + FRAME_TOKENS) * variants
    if template.temperature is not None:
        values["temperature"] = template.temperature
    if template.effort is not None:
        values["effort"] = template.effort
    return values


def _names_file(text: str) -> bool:
    return "\n" not in text and text.endswith((".mjml", ".html", ".htm", ".txt"))


def _read_text(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FlowError(
            f"{path} cannot be read: {error}", code="content.file", where=where, hint="Give a path beside the brief."
        ) from error
