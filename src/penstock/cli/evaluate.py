"""`penstock evaluate`: how good judgements are, measured on texts that people have rated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.errors import InputError, PenstockError, SettingsError
from penstock.base.types import Reject
from penstock.calls import CallOptions
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.data.files import files_source
from penstock.features import evaluation, offline
from penstock.features import redaction as redaction_set
from penstock.features.recorded import judge_recorded
from penstock.flows.model import load_flow
from penstock.operations.catalogue import find_operation
from penstock.operations.result import Result
from penstock.workspace import Workspace

OPERATION = "analyze-sentiment"
NOTHING_MORE: Mapping[str, Any] = {}


class _Evaluate(click.Group):
    """What is evaluated may be left out: then it is sentiment."""

    def parse_args(self, context: click.Context, given: list[str]) -> list[str]:
        is_named = bool({*self.commands, "-h", "--help"} & set(given[:1]))
        return super().parse_args(context, given if is_named else ["sentiment", *given])


@click.group(cls=_Evaluate)
def evaluate() -> None:
    """Measure how good judgements are, or how much redaction finds."""


@evaluate.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
def redaction(as_json: bool) -> None:
    """Measure what is taken out of the synthetic texts that come with Penstock: recall by kind and language."""
    measured = redaction_set.measure()
    if as_json:
        render.show_json([{**msgspec.to_builtins(one), "recall": round(one.share, 4)} for one in measured])
        return
    shares = {(one.kind, one.language): f"{one.share:.2f}" for one in measured}
    languages = list(dict.fromkeys(one.language for one in measured))
    rows = [
        (kind, sum(one.values for one in measured if one.kind == kind), *(shares[kind, name] for name in languages))
        for kind in dict.fromkeys(one.kind for one in measured)
    ]
    render.show_table(["kind", "values", *languages], rows)
    render.note("Recall; for `clean`, the share of texts without personal data that were left alone.")
    render.note("`unseen` are values that are in no field of the contact and have no form: rules cannot find them.")


@evaluate.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--by",
    type=click.Choice(["offline", "model"]),
    default="offline",
    show_default=True,
    help="Who judges: the lexicon, or the model (held answers cost nothing).",
)
@click.option("--recorded", is_flag=True, help="Only answers of the model that are held: nothing is bought.")
@click.option("--model", help="Model instead of the setting.")
@click.option(
    "--flow",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge as this flow does: its topics, aspects, calibration.",
)
@click.option("--text", default="", metavar="COLUMN", help="Column of the texts, where it is not called text.")
@click.option("--rating", default="", metavar="COLUMN", help="Column of the ratings, where it is not called rating.")
@click.option("--label", default="", metavar="COLUMN", help="Column of the labels, where it is not called label.")
@click.option("--scale", default="4", show_default=True, help="Scale of the ratings: 4 is -4 to 4, 1..5 is 1 to 5.")
@click.option("--limit", type=int, help="Only the first so many texts.")
@click.option(
    "--injections",
    "injection_count",
    type=int,
    default=0,
    show_default=True,
    help="Negative texts to append each injection to, to measure the flip rate.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def sentiment(given: Given, /, file: Path, recorded: bool, as_json: bool, **options: Any) -> None:
    """Compare judgements with what people said of the texts in FILE.

    FILE is CSV, JSON lines or Parquet with columns, or lines of id, rating and text separated by tabs (.txt, .tsv).
    """

    async def work() -> dict[str, Any]:
        columns = evaluation.Columns(
            options["text"], options["rating"], options["label"], *_read_scale(options["scale"])
        )
        examples = (await _read(file, columns))[: options["limit"]]
        negative = [one for one in examples if one.label == "negative"][: options["injection_count"]]
        if options["by"] == "offline" and not recorded:
            return _report(examples, *_judge_offline(examples, negative))
        judge = _judge_recorded if recorded else _judge_by_model
        async with Workspace.open(given.folder, overrides=given.overrides, command="evaluate") as workspace:
            texts = _texts_of(examples, negative, _inputs_of(options["flow"]) if options["flow"] else {})
            judged = await judge(workspace, texts, CallOptions(model=options["model"]))
        return _report(examples, *_take_apart(judged, examples, negative))

    report = run_async(work)
    if as_json:
        render.show_json(report)
    else:
        _show(report)


def _read_scale(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        ends = (float(low), float(high)) if dots else (-float(low), float(low))
    except ValueError:
        ends = (0.0, 0.0)
    if not ends[0] < ends[1] < float("inf"):
        raise click.BadParameter(f"{text!r} is no scale: write 4, or 1..5", param_hint="--scale")
    return ends


async def _read(file: Path, columns: evaluation.Columns) -> list[evaluation.Example]:
    if file.suffix.lower() in (".txt", ".tsv"):
        return evaluation.read_examples(file, columns.high)
    problem: PenstockError = InputError("the file has no rows with a text", code="evaluation.no-columns")
    for name in (columns.text,) if columns.text else evaluation.COLUMNS["text"]:
        try:
            examples = await _read_table(file, columns._replace(text=name))
        except InputError as error:
            if error.code != "input.missing-column":
                raise
            problem = error
        else:
            if examples:
                return examples
    raise problem


async def _read_table(file: Path, columns: evaluation.Columns) -> list[evaluation.Example]:
    """Read the rows; a text is the key of its row, so that no other column is needed."""
    examples, unread = list[evaluation.Example](), list[Reject]()
    source = files_source({"path": file.name, "key": columns.text}, file.parent)
    try:
        async for page in source.pages():
            unread += page.rejects
            for record in page.records:
                examples.append(evaluation.to_example(str(len(examples)), record.data, columns, record.where))
    finally:
        await source.close()
    if unread and examples:
        render.note(f"{len(unread):,} rows could not be read, such as {unread[0].where}: {unread[0].problem.message}")
    return examples


def _judge_offline(examples: list[Any], negative: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    def judge(text: str) -> evaluation.Judged:
        verdict = offline.score_offline(text, "en")
        if verdict is None:
            raise SettingsError(
                "the offline scorer is not installed", code="settings.extra", hint="pip install 'penstock[offline]'"
            )
        return evaluation.Judged(verdict.score, verdict.label)

    judged = {key: judge(values["text"]) for key, values in _texts_of(examples, negative).items()}
    return _take_apart(judged, examples, negative)


def _inputs_of(path: Path) -> dict[str, Any]:
    """Return what a flow gives to the judgement of every record alike; raises `InputError` where it judges nothing."""
    for step in load_flow(path).steps:
        if step.operation.name == OPERATION:
            return {name: value.evaluate({}) for name, value in step.inputs.items() if not value.names}
    raise InputError(f"{path.name} has no step {OPERATION}", code="evaluation.no-step")


def _texts_of(
    examples: list[Any], negative: list[Any], inputs: Mapping[str, Any] = NOTHING_MORE
) -> dict[str, dict[str, Any]]:
    """Return what is judged: the texts, and the negative ones with each injection."""
    texts = {f"text {one.key}": {**inputs, "text": one.text} for one in examples}
    for number, injection in enumerate(evaluation.load_injections()):
        texts.update({f"{number} {one.key}": {**inputs, "text": injection.apply(one.text)} for one in negative})
    return texts


def _take_apart(judged: dict[str, Any], examples: list[Any], negative: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the judgements of the texts, and the pairs without and with each injection by its name."""
    plain = {one.key: judged[f"text {one.key}"] for one in examples if f"text {one.key}" in judged}
    pairs = [
        (f"{injection.name} ({injection.language})", plain[one.key], judged[f"{number} {one.key}"])
        for number, injection in enumerate(evaluation.load_injections())
        for one in negative
        if one.key in plain and f"{number} {one.key}" in judged
    ]
    return plain, pairs


async def _judge_by_model(workspace: Workspace, texts: dict[str, Any], options: CallOptions) -> dict[str, Any]:
    results = await workspace.operations.call_many(OPERATION, texts, options)
    return {
        key: evaluation.Judged.from_output(result.output)
        for key, result in results.items()
        if isinstance(result, Result)
    }


async def _judge_recorded(workspace: Workspace, texts: dict[str, Any], options: CallOptions) -> dict[str, Any]:
    choice = workspace.operations.choose("chat", options)
    found = await judge_recorded(workspace.caller, find_operation(OPERATION), texts, choice)
    return {key: evaluation.Judged.from_output(output.model_dump()) for key, output in found.items()}


def _report(examples: list[Any], judged: dict[str, Any], pairs: list[Any]) -> dict[str, Any]:
    measured = evaluation.evaluate(examples, judged)
    report: dict[str, Any] = asdict(measured)
    report["intervals"] = {name: list(one) for name, one in measured.intervals.items()}
    report["reliability"] = [one._asdict() for one in measured.reliability]
    report["calibration"] = list(measured.calibration) if measured.calibration else None
    if pairs:
        flips = evaluation.count_flips([(before, after) for _, before, after in pairs])
        report["flips"] = {**flips._asdict(), "rate": flips.rate, "interval": list(flips.interval or ())}
        report["flips"]["by_injection"] = {
            name: evaluation.count_flips([(before, after) for one, before, after in pairs if one == name])._asdict()
            for name in dict.fromkeys(name for name, _, _ in pairs)
        }
    return report


def _show(report: dict[str, Any]) -> None:
    names = ("examples", "judged", "accuracy", "macro_f1", "pearson", "calibration_error")
    render.show_facts((name, _describe(report[name], report["intervals"].get(name))) for name in names)
    if report["reliability"]:
        render.show_table(
            ["confidence", "texts", "mean", "right"],
            [
                (
                    f"{one['low']:.1f} to {one['high']:.1f}",
                    one["texts"],
                    f"{one['confidence']:.3f}",
                    f"{one['right']:.3f}",
                )
                for one in report["reliability"]
            ],
        )
    if report["calibration"] and report["calibrated_error"] is not None:
        slope, offset = report["calibration"]
        render.note(
            f"`calibration: [{slope:.4f}, {offset:.4f}]` in the step brings the calibration error to about "
            f"{report['calibrated_error']:.3f}."
        )
    if "flips" in report:
        flips = report["flips"]
        render.show_facts([("injections", f"{flips['flipped']} of {flips['tried']} flipped"),
                           ("flip rate", _describe(flips["rate"], flips["interval"]))])  # fmt: skip


def _describe(value: Any, interval: Any) -> str | None:
    if not isinstance(value, float):
        return None if value is None else str(value)
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
