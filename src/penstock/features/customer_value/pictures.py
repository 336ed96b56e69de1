"""The pictures of a report, as PNG and SVG. Needs the extra `report`."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from penstock.base.errors import SettingsError

INK, FAINT, MAIN, OTHER, WARM = "#1f2933", "#9aa5b1", "#2563a8", "#8fb8de", "#c2570c"
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "penstock", "font.family": "DejaVu Sans", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT, "axes.labelcolor": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "legend.frameon": False, "axes.grid": True,
    "grid.color": FAINT, "grid.alpha": 0.3, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "text.parse_math": False,
}  # fmt: skip
_SIZE = (6.4, 3.9)


class Picture(NamedTuple):
    """One picture, with the sentence that says what it shows."""

    title: str
    alt: str
    png: bytes
    svg: bytes


def draw(report: dict[str, Any]) -> dict[str, Picture]:
    """Draw what the report has figures for; raises `SettingsError` (`settings.extra`) without the library."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise SettingsError(
            "the report extra is not installed", code="settings.extra", hint="pip install 'penstock[report]'"
        ) from error
    found = {}
    with rc_context(_STYLE):
        for name, (title, alt, paint) in _PICTURES.items():
            if picture := _paint(report, title, alt, paint):
                found[name] = picture
    return found


def _paint(
    report: dict[str, Any], title: str, alt: str, paint: Callable[[Any, dict[str, Any]], bool]
) -> Picture | None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    if not paint(figure, report):
        return None
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(
        title, alt, png.getvalue(), re.sub(rb"\s*<metadata>.*?</metadata>", b"", svg.getvalue(), flags=re.DOTALL)
    )


def _calibration(figure: Any, report: dict[str, Any]) -> bool:
    judged = report["calibration"]
    if not judged or not judged["churn"]:
        return False
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1, label="as predicted")
    bins = judged["churn"]
    _errors(upper, bins, "seen, with its 95 % interval")
    upper.set(ylabel="share without an order", ylim=(-0.03, 1.03), xlim=(-0.03, 1.03))
    upper.set_title(
        f"Churn: predicted and seen (error {judged['error']:.3f}, {judged['low']:.3f} to {judged['high']:.3f})"
    )
    upper.legend(loc="upper left")
    places = [one["predicted"] for one in bins]
    lower.bar(places, [one["count"] for one in bins], width=0.018, color=OTHER)
    _count_labels(lower, places, [one["count"] for one in bins])
    lower.set(xlabel="predicted chance of no order within the horizon", ylabel="customers")
    return True


def _orders(figure: Any, report: dict[str, Any]) -> bool:
    judged = report["calibration"]
    if not judged or not judged["orders"]:
        return False
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    bins = judged["orders"]
    top = max(*(one["predicted"] for one in bins), *(min(one["high"], 2 * one["seen"] + 1) for one in bins)) * 1.05
    upper.plot([0, top], [0, top], color=FAINT, linestyle="--", linewidth=1, label="as predicted")
    _errors(upper, bins, "counted, with its 95 % interval")
    upper.set(ylabel="orders in the holdout", ylim=(-0.02 * top, top), xlim=(-0.02 * top, top))
    upper.set_title("Orders: expected and counted")
    upper.legend(loc="upper left")
    places = [one["predicted"] for one in bins]
    lower.bar(places, [one["count"] for one in bins], width=0.018 * top, color=OTHER)
    _count_labels(lower, places, [one["count"] for one in bins])
    lower.set(xlabel="expected orders within the horizon", ylabel="customers")
    return True


def _errors(axes: Any, bins: Sequence[dict[str, Any]], label: str) -> None:
    seen = [one["seen"] for one in bins]
    below = [max(0.0, one["seen"] - one["low"]) for one in bins]
    above = [max(0.0, min(one["high"], 1e9) - one["seen"]) for one in bins]
    axes.errorbar(
        [one["predicted"] for one in bins], seen, yerr=[below, above], fmt="o", color=MAIN, ecolor=MAIN, capsize=3,
        markersize=4.5, linewidth=1.2, label=label,
    )  # fmt: skip


def _count_labels(axes: Any, places: Sequence[float], counts: Sequence[int]) -> None:
    """Write the number over a bar where it does not run into its neighbour's."""
    low, high = axes.get_xlim()
    written = low - (high - low)
    for place, count in zip(places, counts, strict=True):
        if place - written > 0.065 * (high - low):
            axes.annotate(f"{count:,}", (place, count), ha="center", va="bottom", fontsize=7, color=INK)
            written = place
    axes.set_ylim(0, max(counts) * 1.45)
    axes.grid(visible=False)


def _gains(figure: Any, report: dict[str, Any]) -> bool:
    gains, orders = report["gains"], report["order_gains"]
    if not gains and not orders:
        return False
    left, right = figure.subplots(1, 2)
    for found, colour, label in ((gains, WARM, "leavers"), (orders, MAIN, "orders")):
        if found:
            shares, held = [one["share"] for one in found], [one["captured"] for one in found]
            left.plot([0, *shares], [0, *held], color=colour, marker="o", markersize=3, label=label)
            right.plot(shares, [one["lift"] for one in found], color=colour, marker="o", markersize=3, label=label)
    left.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1, label="by chance")
    left.set(xlabel="best share by prediction", ylabel="share that they hold", xlim=(0, 1), ylim=(0, 1.02))
    left.set_title("Gain")
    left.legend(loc="lower right")
    right.axhline(1, color=FAINT, linestyle="--", linewidth=1)
    right.set(xlabel="best share by prediction", ylabel="times as many as by chance", xlim=(0, 1))
    right.set_ylim(bottom=0)
    right.set_title("Lift")
    return True


def _models(figure: Any, report: dict[str, Any]) -> bool:
    known = [one for one in report["models"] if one["squared"] is not None]
    if not known:
        return False
    axes = figure.subplots()
    known = sorted(known, key=lambda one: -one["squared"])
    colours = [MAIN if one["is_chosen"] else FAINT if one["is_baseline"] else OTHER for one in known]
    bars = axes.barh([one["title"] for one in known], [one["squared"] for one in known], color=colours)
    axes.bar_label(bars, [f"{one['squared']:.3f}" for one in known], padding=4, fontsize=9)
    axes.set(xlabel="orders missed in the holdout (root mean square), less is better")
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    axes.set_title("Models and baselines")
    return True


def _thresholds(figure: Any, report: dict[str, Any]) -> bool:
    rows = report["thresholds"]
    if not rows or rows[0]["value"] is None:
        return False
    axes = figure.subplots()
    places, values = [one["from"] for one in rows], [one["value"] for one in rows]
    axes.plot(places, values, color=MAIN, marker="o", markersize=3.5)
    axes.axhline(0, color=FAINT, linewidth=1)
    best = max(range(len(rows)), key=lambda at: values[at])
    axes.plot([places[best]], [values[best]], "o", color=WARM, markersize=8)
    note = f"most from {places[best]:.0%}: {values[best]:,.2f}"
    axes.annotate(note, (places[best], values[best]), xytext=(8, 10), textcoords="offset points",
                  color=WARM, annotation_clip=False, ha="left" if places[best] < 0.5 else "right")  # fmt: skip
    axes.margins(y=0.15)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlabel="act on customers with a chance of churn from", ylabel="expected value")
    axes.set_title("What acting brings, by threshold")
    return True


def _drift(figure: Any, report: dict[str, Any]) -> bool:
    if not report["drift"]:
        return False
    axes = figure.subplots()
    inputs = report["drift"]["inputs"]
    values = [min(value, 10.0) for value in inputs.values()]
    bars = axes.barh(list(inputs), values, color=[WARM if value >= 0.1 else OTHER for value in values])
    axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, fontsize=9)
    axes.axvline(0.1, color=FAINT, linestyle="--", linewidth=1)
    axes.axvline(0.25, color=FAINT, linestyle="--", linewidth=1)
    axes.set(xlabel="stability index: from 0.1 moved, from 0.25 another population", xlim=(0, max(0.3, *values) * 1.15))
    axes.grid(visible=False, axis="y")
    axes.set_title(f"Drift since {report['drift']['since']}")
    return True


_PICTURES: dict[str, tuple[str, str, Callable[[Any, dict[str, Any]], bool]]] = {
    "calibration": ("Calibration of churn", "Predicted chances of churn against the share that left", _calibration),
    "orders": ("Calibration of orders", "Expected orders against counted ones", _orders),
    "gains": ("Gain and lift", "How much of what came to pass the best customers by prediction hold", _gains),
    "models": ("Models and baselines", "How far each model and baseline missed the orders of the holdout", _models),
    "thresholds": ("Thresholds", "Expected value of acting by threshold of churn", _thresholds),
    "drift": ("Drift", "How far the inputs moved since the last run", _drift),
}
