"""`penstock evaluate`: how good judgements are, measured on texts that people have rated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.base.errors import SettingsError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.features import evaluation, offline
from penstock.features import redaction as redaction_set
from penstock.operations.result import Result
from penstock.workspace import Workspace

_FIELDS = ("examples", "judged", "accuracy", "macro_f1", "pearson", "calibration_error")


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
@click.option("--limit", type=int, help="Only the first so many texts.")
@click.option(
    "--injections",
    "injection_count",
    type=int,
    default=0,
    show_default=True,
    help="Negative texts to append each injection to, to measure the flip rate.",
)
@click.option("--scale", type=float, default=4.0, show_default=True, help="Largest rating in the file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@common
@click.pass_obj
def sentiment(
    given: Given, file: Path, by: str, limit: int | None, injection_count: int, scale: float, as_json: bool
) -> None:  # fmt: skip
    """Compare judgements with the human ratings of FILE (tab-separated: id, rating, text)."""
    examples = evaluation.read_examples(file, scale)[:limit]
    negative = [one for one in examples if one.label == "negative"][:injection_count]
    if by == "offline":
        judgements, pairs = _judge_offline(examples, negative)
    else:
        judgements, pairs = run_async(lambda: _judge_by_model(given, examples, negative))
    report: dict[str, Any] = asdict(evaluation.evaluate(examples, judgements))
    if pairs:
        report["flips"] = evaluation.count_flips(pairs)._asdict()
    if as_json:
        render.show_json(report)
        return
    render.show_facts(
        (name, f"{report[name]:.3f}" if isinstance(report[name], float) else report[name]) for name in _FIELDS
    )
    if pairs:
        render.show_facts(report["flips"].items())


def _judge_offline(examples: list[Any], negative: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    def judge(text: str) -> evaluation.Judged:
        verdict = offline.score_offline(text, "en")
        if verdict is None:
            raise SettingsError(
                "the offline scorer is not installed", code="settings.extra", hint="pip install 'penstock[offline]'"
            )
        return evaluation.Judged(verdict.score, verdict.label)

    judged = {one.key: judge(one.text) for one in examples}
    injections = evaluation.load_injections()
    pairs = [(judged[one.key], judge(injection.apply(one.text))) for one in negative for injection in injections]
    return judged, pairs


async def _judge_by_model(given: Given, examples: list[Any], negative: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    async with Workspace.open(given.folder, overrides=given.overrides, command="evaluate") as workspace:
        texts = {one.key: one.text for one in examples}
        for injection in evaluation.load_injections():
            texts.update({f"{one.key}|{injection.name}": injection.apply(one.text) for one in negative})
        inputs = {key: {"text": text} for key, text in texts.items()}
        results = await workspace.operations.call_many("analyze-sentiment", inputs)
    judged = {
        key: evaluation.Judged.from_output(result.output)
        for key, result in results.items()
        if isinstance(result, Result)
    }
    pairs = [(judged[key.partition("|")[0]], judged[key]) for key in judged if "|" in key]
    return {one.key: judged[one.key] for one in examples if one.key in judged}, pairs
