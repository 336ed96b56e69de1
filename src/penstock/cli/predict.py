"""`penstock predict`: who comes back, how often and worth how much, from an order log, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.base.errors import InputError
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.ends import open_forecaster
from penstock.flows.model import load_flow
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from penstock.features.customer_value.forecast import Forecast

_COLUMNS = ("contact", "date", "value", "currency", "order", "format")
_DIRECT = ("horizon", "unit", "as-of", "value-horizon", "discount", "margin", "zone", "refunds", "contact-cost",
           "win-back")  # fmt: skip


@click.command()
@click.argument("orders", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--horizon", help="How far to look, such as 13w or 90d (default 13w).")
@click.option("--as-of", metavar="DATE", help="The day to look from; nothing after it is read (default: today).")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write predictions (.csv, .parquet, .jsonl)."
)
@click.option(
    "--report",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a report: HTML page, JSON, pictures.",
)
@click.option("--contact", metavar="COLUMN", help="Column of the customer, where the name does not tell.")
@click.option("--date", metavar="COLUMN", help="Column of the day or time.")
@click.option("--value", metavar="COLUMN", help="Column of what the order was worth.")
@click.option("--currency", metavar="COLUMN", help="Column of the currency.")
@click.option("--order", metavar="COLUMN", help="Column of the order's number.")
@click.option("--format", metavar="PATTERN", help="How dates are written, such as %d.%m.%Y.")
@click.option("--unit", help="The unit of time that models count in (default 1w).")
@click.option("--value-horizon", help="Over how long lifetime value is summed (default 1y).")
@click.option("--discount", type=float, help="Yearly discount of later money (default 0.1).")
@click.option("--margin", type=float, help="Share of revenue that is kept (default 1).")
@click.option(
    "--rate", "rates", multiple=True, metavar="CUR=RATE", help="What one of a currency is worth, as USD=0.92."
)
@click.option("--zone", help="Time zone in which a day begins (default UTC).")
@click.option("--refunds", type=click.Choice(["drop", "net"]), help="Leave refunds out, or take them off the total.")
@click.option("--contact-cost", type=float, help="What it costs to act on one customer.")
@click.option("--win-back", type=float, help="Share of leavers who order when acted on (default 0.05).")
@click.option("--propensity", is_flag=True, help="Also learn from all that is known, by boosted trees.")
@click.option("--add", is_flag=True, help="ORDERS holds the days since the last run; add them to what is kept.")
@click.option("--rfm", is_flag=True, help="Below the data minimum give RFM scores, which are no forecast.")
@click.option("--name", help="Under which name the run is kept for the next one (default: the file's).")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON document on stdout.")
@common
@click.pass_obj
def predict(given: Given, /, orders: Path, as_json: bool, name: str | None, **options: Any) -> None:
    """Predict customers from ORDERS: a CSV, TSV, JSON lines or Parquet file, or a flow file with such a source.

    The flow file's own options count then (SQL, Brevo), and nothing is written to its sinks.
    """
    folder, wishes = _wishes_of(orders, options)
    kept_as = name or (load_flow(orders).name if _is_flow(orders) else orders.resolve().name)

    async def work() -> Forecast:
        async with Workspace.open(given.folder, overrides=given.overrides, command="predict") as workspace:
            maker = open_forecaster(workspace.vendors, workspace.store, kept_as, folder, wishes)
            made = await maker.forecast()
            await maker.keep()
            return made

    made = run_async(work)
    if (path := options["save"]) is not None:
        from penstock.features.customer_value.outcome import save_table

        render.note(f"{save_table(made, path):,} customers written to {path}")
    _show(made, as_json)


def _is_flow(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _wishes_of(orders: Path, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return the folder where relative paths start, and the options; what is named in the shell counts first."""
    if _is_flow(orders):
        flow = load_flow(orders)
        if flow.source_kind != "predictions":
            raise InputError(
                f"the source of {orders} is {flow.source_kind}, not predictions",
                code="prediction.no-source",
                hint="Give an order log, or a flow with `source: { predictions: { orders: … } }`.",
            )
        folder, wishes = flow.folder, dict(flow.source_options)
    else:
        folder, wishes = orders.resolve().parent, {"orders": {"files": {"path": orders.name}}}
    columns = {one: options[one] for one in _COLUMNS if options[one]}
    if columns:
        wishes["columns"] = {**wishes.get("columns", {}), **columns}
    wishes |= {one: value for one in _DIRECT if (value := options[one.replace("-", "_")]) is not None}
    wishes |= {one: True for one in ("propensity", "add") if options[one]}
    if options["rates"]:
        wishes["rates"] = dict(_read_rate(text) for text in options["rates"])
    if options["rfm"]:
        wishes["fallback"] = "rfm"
    if options["report"] is not None:
        wishes["report"] = str(options["report"].resolve())
    return folder, wishes


def _read_rate(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no rate: write USD=0.92", param_hint="--rate") from None


def _show(made: Forecast, as_json: bool) -> None:
    from penstock.features.customer_value.report import build_report

    report = build_report(made)
    if as_json:
        render.show_json(report)
        return
    render.show_facts(report["facts"].items())
    if report["models"]:
        render.show_table(
            ["model on the holdout", "misses by", "mean error", "all orders", "churn Brier"],
            [
                (
                    one["title"],
                    _number(one["squared"]),
                    _number(one["error"]),
                    _share(one["off"]),
                    _number(one["brier"]),
                )
                for one in report["models"]
            ],
        )
    if report["thresholds"]:
        render.show()
        render.show_table(
            ["churn from", "customers", "expected leavers", "expected value"],
            [(f"{one['from']:.0%}", f"{one['customers']:,}", f"{one['leavers']:,.0f}", _amount(one["value"]))
             for one in report["thresholds"]],
        )  # fmt: skip
    render.show()
    render.show_findings(made.findings)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:+.1%}"


def _amount(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"
