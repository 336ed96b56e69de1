"""Campaign content from a brief to files: evidence, picture, texts, what each costs, and what waits for a person.

written = await Content(workspace.operations, workspace.store, workspace.clock).write(brief, folder=Path("drafts"))

A cut-off command is simply started again: what was bought is held, and equal content is the same piece.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.base.clock import Clock
from penstock.base.errors import InputError
from penstock.calls import CallOptions, Operations, Preview
from penstock.features.writing.files import BriefFile
from penstock.features.writing.pieces import Kind, Piece, digest_of, keep_pieces
from penstock.features.writing.results import Evidence, read_results, remember_written, weigh_evidence
from penstock.operations.media import RED_SQUARE
from penstock.operations.result import Result
from penstock.runtime.store import Store

_USUAL = CallOptions()
_KINDS: dict[str, Kind] = {"write-subjects": "subject", "write-email": "email", "write-cta": "button"}
_VISUAL = "make-visual"


class Cost(NamedTuple):
    """What a brief probably and at most costs, in dollars, while nothing is held; None where a price is unknown."""

    likely: float | None
    most: float | None

    def describe(self) -> str:
        """Say it in a sentence."""
        if self.likely is None or self.most is None:
            return "cost: unknown, because a price is not published"
        return f"cost: about ${self.likely:.4f}, at most ${self.most:.4f}; what is held already costs nothing"


class Content:
    """Writes what briefs ask for, and keeps what a person has to decide about."""

    def __init__(self, operations: Operations, store: Store, clock: Clock) -> None:
        self._operations = operations
        self._store = store
        self._clock = clock

    async def weigh(self, brief: BriefFile) -> Evidence:
        """Return what former results say to this brief; nothing where it names its angles, or nothing is known."""
        if "offer" not in brief.values or brief.values.get("angles"):
            return Evidence([], [])
        return weigh_evidence(await read_results(self._store))

    def estimate(self, brief: BriefFile, options: CallOptions = _USUAL) -> Cost:
        """Return what a brief costs: a call a language, each repaired at most once, and the picture."""
        if brief.operation not in _KINDS:
            return Cost(None, None)
        values, calls = brief.values, list[tuple[Preview, int]]()
        text = msgspec.structs.replace(options, model=options.model or brief.model)
        for language in values.get("languages") or ["en"]:
            calls.append((self._operations.preview(brief.operation, {**values, "languages": [language]}, text), 2))
        if brief.visual:
            drawn = msgspec.structs.replace(options, model=brief.visual_model)
            calls.append((self._operations.preview(_VISUAL, brief.visual, drawn), 1))
            told = 120 * len(brief.visual.get("languages") or ["en"]) + 80
            look = {"text": "x" * 2000, "images": [f"data:image/png;base64,{RED_SQUARE}"], "max_tokens": told}
            copies = int(brief.visual.get("copies", 1))
            calls.append((self._operations.preview("analyze-image", look), 2 * copies))
        return Cost(
            _sum((preview.likely_dollars, 1) for preview, _ in calls),
            _sum((preview.most_dollars, times) for preview, times in calls),
        )

    async def write(self, brief: BriefFile, options: CallOptions = _USUAL, folder: Path | None = None) -> Result:
        """Write what a brief asks for, into files of `folder` where it is given; raises what a paid call raises.

        The output also holds `evidence`, `visuals` and `pieces`. Raises `InputError` (`content.no-folder`) for a
        picture that nobody wants to keep.
        """
        if brief.visual and folder is None:
            raise InputError(
                "the mail would name a picture that lies nowhere",
                code="content.no-folder",
                hint="Add --save FOLDER: picture, mails and campaign files are written there.",
            )
        evidence, values = await self.weigh(brief), dict(brief.values)
        if evidence.angles:
            values |= {"angles": evidence.angles, "evidence": evidence.says}
        visual = await self._draw(brief, options) if brief.visual else None
        visuals = _write_visuals(visual, folder) if visual is not None and folder is not None else []
        if visual is not None and visuals:
            first = visuals[0]
            values["picture"] = {"address": first["file"], "alt": first["alt"], "width": first["shown"]}
            options = _spend(options, visual)
        text = msgspec.structs.replace(options, model=options.model or brief.model)
        result = await self._operations.call(brief.operation, values, text)
        await remember_written(self._store, self._clock, _remembered(result.output))
        pieces = await keep_pieces(self._store, self._clock, _list_pieces(brief.operation, result.output, visuals))
        if folder is not None:
            write_files(result.output, folder, brief.campaign)
        result = _warn_of_single(result, brief.campaign)
        more = {"evidence": evidence.says, "visuals": visuals, "pieces": msgspec.to_builtins(pieces)}
        return _join(result, visual, {**result.output, **more})

    async def _draw(self, brief: BriefFile, options: CallOptions) -> Result:
        drawn = msgspec.structs.replace(options, model=brief.visual_model)
        return await self._operations.call(_VISUAL, brief.visual, drawn)


def _sum(parts: Iterable[tuple[float | None, int]]) -> float | None:
    total = 0.0
    for dollars, times in parts:
        if dollars is None:
            return None
        total += dollars * times
    return total


def _spend(options: CallOptions, visual: Result) -> CallOptions:
    """Return what is left of a budget when the picture is paid."""
    if options.budget is None:
        return options
    return msgspec.structs.replace(options, budget=max(options.budget - (visual.cost_dollars or 0.0), 1e-9))


def _join(result: Result, visual: Result | None, output: dict[str, Any]) -> Result:
    """Return texts and picture as one result: what both cost, used and warned of."""
    if visual is None:
        return msgspec.structs.replace(result, output=output)
    usage = {name: visual.usage.get(name, 0) + result.usage.get(name, 0) for name in {**visual.usage, **result.usage}}
    return msgspec.structs.replace(
        result,
        output=output,
        usage=usage,
        cost_dollars=_sum([(visual.cost_dollars, 1), (result.cost_dollars, 1)]),
        saved_dollars=_sum([(visual.saved_dollars, 1), (result.saved_dollars, 1)]),
        cached=visual.cached and result.cached,
        calls=visual.calls + result.calls,
        request_ids=(*visual.request_ids, *result.request_ids),
        warnings=(*(f"visual: {warning}" for warning in visual.warnings), *result.warnings),
    )


def _write_visuals(visual: Result, folder: Path) -> list[dict[str, Any]]:
    """Write the pictures into files, and return what is known of each without its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    visuals = []
    for one in visual.output["visuals"]:
        name = str(one["picture"]["name"])
        (folder / name).write_bytes(base64.b64decode(one["picture"]["base64"]))
        visuals.append({**one, "picture": one["picture"]["media_type"], "file": name, "model": visual.output["model"]})
    return visuals


def _remembered(output: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what results are found by: the subject, or what stands on the button."""
    variants = [one for one in output.get("variants", ()) if one.get("angle")]
    return [(str(one.get("subject") or one.get("button")), one["language"], one["angle"]) for one in variants]


def _warn_of_single(result: Result, campaign: dict[str, Any]) -> Result:
    """Say for which languages there is no second subject to test against; nothing where no campaign is wished for."""
    languages = [one["language"] for one in result.output.get("variants", ()) if one.get("html")]
    single = [one for one in dict.fromkeys(languages) if languages.count(one) == 1] if campaign else []
    said = tuple(f"campaign {language}: one good variant only, so no A/B test" for language in single)
    return msgspec.structs.replace(result, warnings=(*result.warnings, *said))


def _list_pieces(operation: str, output: dict[str, Any], visuals: list[dict[str, Any]]) -> list[Piece]:
    """Return everything that a person has to decide about: pictures, subjects, mails, buttons, templates."""
    model, pieces = str(output.get("model", "")), list[Piece]()
    for one in visuals:
        title = next(iter(one["alt"].values()), one["file"])
        pieces.append(Piece(one["digest"], "visual", "", "", title, one["model"], _warnings(one)))
    for one in output.get("variants", ()):
        told = (one["language"], one["angle"], str(one.get("subject") or one.get("button")), model, _warnings(one))
        main = _KINDS[operation]
        if main == "email":
            pieces.append(Piece(digest_of(one["subject"]), "subject", *told))
        content = one["html"] if main == "email" else one[main]
        pieces.append(Piece(digest_of(content), main, *told))
    for one in output.get("translations", ()):
        title = f"template in {one['language']}"
        pieces.append(Piece(digest_of(one["template"]), "template", one["language"], "", title, model, _warnings(one)))
    return pieces


def _warnings(one: dict[str, Any]) -> list[str]:
    return [f"{check['name']}: {check['found']}" for check in one["checks"] if check["verdict"] == "warning"]


def write_files(output: dict[str, Any], folder: Path, campaign: dict[str, Any]) -> None:
    """Write each text into a file of its own, with a campaign file per language; files of before are written over."""
    folder.mkdir(parents=True, exist_ok=True)
    by_language: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for number, one in enumerate(output.get("variants", ()), 1):
        name = f"{number}-{one['language']}"
        by_language.setdefault(one["language"], []).append((name, one))
        (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(one), indent=2))
        for kind, suffix in (("html", "html"), ("text", "txt")):
            if one.get(kind):
                (folder / f"{name}.{suffix}").write_text(one[kind], encoding="utf-8")
    for one in output.get("translations", ()):
        (folder / f"{one['language']}.html").write_text(one["template"], encoding="utf-8")
    for language, named in by_language.items():
        if campaign and named[0][1].get("html"):
            _write_campaign(folder / f"campaign-{language}.yaml", language, named, campaign, str(output["model"]))


def _write_campaign(
    path: Path, language: str, named: list[tuple[str, dict[str, Any]]], campaign: dict[str, Any], model: str
) -> None:
    """Write what `penstock campaigns draft` reads: the first mail, and for an A/B test two subjects."""
    from ruamel.yaml import YAML

    file, first = named[0]
    subjects = [one["subject"] for _, one in named[:2]]
    said: dict[str, Any] = {**campaign, "name": f"{campaign.get('name', 'campaign')}-{language}"}
    said |= {"subjects": subjects} if len(subjects) == 2 else {"subject": subjects[0]}
    said |= {"preview-text": first["preview_text"], "html": f"{file}.html", "assisted-by": model}
    with path.open("w", encoding="utf-8") as stream:
        YAML().dump(said, stream)
