"""What a forecast says of each customer: as columns for a file, and as records for a flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import InputError
from penstock.features.customer_value.forecast import VERSION, Forecast
from penstock.features.customer_value.reasons import Reasons
from penstock.features.customer_value.rfm import NAMES

FORMATS = {".csv": "csv, HEADER", ".parquet": "parquet, COMPRESSION zstd", ".jsonl": "json"}
_FORMULA = r"^[=+\-@\t\r]"


def columns_of(made: Forecast) -> dict[str, npt.NDArray[Any]]:
    """Return a column for each thing that is said; what is not known is left out."""
    known, said = made.summaries, made.predictions
    table: dict[str, npt.NDArray[Any]] = {
        "customer": known.customers,
        "orders": known.orders,
        "first_order": _dates(known.first),
        "last_order": _dates(known.last),
    }
    if said is not None:
        table |= {"p_alive": said.alive.round(4), "churn": said.churn.round(4), "expected_orders": said.orders.round(4)}
        table["propensity"] = propensity_of(made).round(4)
        if said.spend is not None and said.value is not None:
            table |= {"expected_spend": _money(said.spend), "lifetime_value": _money(said.value)}
    rfm = made.rfm
    table |= {"recency": rfm.recency, "frequency": rfm.frequency}
    if rfm.money is not None:
        table["money"] = rfm.money
    return table | {"group": rfm.names}


def propensity_of(made: Forecast) -> npt.NDArray[np.float64]:
    """Return the chance of an order within the horizon: of the trees where they are better, else of the model."""
    learnt = made.propensity
    if learnt is not None and learnt.is_worth_it:
        order = np.argsort(learnt.summaries.customers)
        places = np.searchsorted(learnt.summaries.customers[order], made.summaries.customers)
        return learnt.chances[order][places]
    assert made.predictions is not None  # noqa: S101 - asked for only where there are predictions
    return 1 - made.predictions.churn


def facts_of(made: Forecast) -> dict[str, Any]:
    """Return what every record says alike: by what, of when, how far."""
    trees = made.propensity is not None and made.propensity.is_worth_it
    return {
        "model": made.model,
        "version": f"{VERSION}",
        "as_of": made.as_of.isoformat(),
        "horizon_days": made.wishes.horizon,
        "value_horizon_days": made.wishes.value_horizon,
        "propensity_by": "boosted-trees" if trees else made.model,
        "is_forecast": made.predictions is not None,
        "is_sound": all(finding.verdict != "fail" for finding in made.findings),
    }


def records_of(made: Forecast) -> Iterator[dict[str, Any]]:
    """Yield a record for each customer, in the order of their names; every record has every field."""
    columns = columns_of(made)
    facts = facts_of(made)
    empty = dict.fromkeys(FIELDS)
    reasons = Reasons.of(made.summaries, made.predictions) if made.predictions else None
    order = np.argsort(made.summaries.customers)
    for at in order.tolist():
        record = {**empty, **{name: _plain(column[at]) for name, column in columns.items()}, **facts}
        record["rfm"] = "-".join(str(record[name]) for name in ("recency", "frequency", "money") if record[name])
        record["group_means"] = NAMES[record["group"]]
        record["reasons"] = reasons.explain(at) if reasons else []
        yield record


FIELDS = (
    "customer", "orders", "first_order", "last_order", "p_alive", "churn", "expected_orders", "propensity",
    "expected_spend", "lifetime_value", "recency", "frequency", "money", "rfm", "group", "group_means", "reasons",
    "model", "version", "as_of", "horizon_days", "value_horizon_days", "propensity_by", "is_forecast", "is_sound",
)  # fmt: skip


def save_table(made: Forecast, path: Path) -> int:
    """Write the predictions as CSV, Parquet or JSON lines; a file that is there is replaced as a whole."""
    import duckdb

    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"predictions cannot be written as {path.suffix or path.name}",
            code="files.unknown-format",
            hint=f"Name a file with {', '.join(FORMATS)}.",
        )
    table, facts = columns_of(made), facts_of(made)
    fresh = path.with_name(path.name + ".new")
    customer = "customer"
    if path.suffix.lower() == ".csv":  # no spreadsheet may take a name for a formula (OWASP, CSV Injection)
        customer = (
            f"CASE WHEN regexp_matches(customer, '{_FORMULA}') AND try_cast(customer AS DOUBLE) IS NULL "
            "THEN '''' || customer ELSE customer END AS customer"
        )
    more = ", ".join(f"'{facts[name]}' AS {name}" for name in ("model", "version", "as_of"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(":memory:") as store:
            store.register("made", {name: _to_seconds(column) for name, column in table.items()})
            rest = ", ".join(
                f'"{name}"::DATE AS "{name}"' if column.dtype.kind == "M" else f'"{name}"'
                for name, column in table.items()
                if name != "customer"
            )
            place = str(fresh).replace("'", "''")
            rows = f"SELECT {customer}, {rest}, {more} FROM made ORDER BY made.customer"
            store.execute(f"COPY ({rows}) TO '{place}' (FORMAT {kind})")
        fresh.replace(path)
    except (duckdb.Error, OSError) as error:
        raise InputError(f"{path} cannot be written: {error}", code="prediction.cannot-write") from error
    return len(made.summaries)


def _dates(days: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return days.astype("datetime64[D]")


def _to_seconds(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column.astype("datetime64[s]") if column.dtype.kind == "M" else column


def _money(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan).round(2)


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
