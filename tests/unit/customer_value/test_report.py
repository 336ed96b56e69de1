"""The report of a run: whole in itself, small, honest, and what customers are called stays text."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

import cohorts
from penstock.features.customer_value.forecast import Forecast, forecast, leave_out
from penstock.features.customer_value.report import build_report, write_report
from penstock.features.customer_value.wishes import read_wishes

pytest.importorskip("matplotlib", reason="needs the extra report")

EVIL = "<script>alert(1)</script>@example.com"
WISHES = {"orders": {"files": {"path": "orders.csv"}}, "contact-cost": 0.2, "margin": 0.5}


def make(**more: object) -> Forecast:
    rows = [(EVIL if name == "c249" else name, day, value) for name, day, value in cohorts.orders(800)]
    log = cohorts.log_of(rows)
    first = forecast(log, read_wishes({**WISHES, **more}), log.last_day)
    return forecast(log, read_wishes({**WISHES, **more}), log.last_day, first.keep())


@pytest.fixture(scope="module")
def made() -> Forecast:
    return make()


@pytest.fixture(scope="module")
def folder(made: Forecast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    write_report(made, place, "predictions of <b>orders</b>")
    return place


def test_the_page_is_small_and_needs_nothing_else(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 500_000
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    assert not re.findall(r"url\((?!#)", page)
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page


def test_what_customers_are_called_is_never_markup(made: Forecast, tmp_path: Path) -> None:
    at = int((made.summaries.customers == EVIL).argmax())
    assert made.predictions is not None
    made.predictions.churn[at], worth = 1.0, made.summaries.total.copy()
    worth[at] = 1e9
    rich = replace(made, summaries=replace(made.summaries, total=worth))
    write_report(rich, tmp_path, "predictions of <b>orders</b>")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;@example.com" in page
    assert "<script>alert" not in page
    assert "<b>orders" not in page


def test_every_picture_is_there_twice(folder: Path) -> None:
    names = {path.stem for path in folder.glob("*.svg")}
    assert names == {"calibration", "orders", "gains", "models", "thresholds", "drift"}
    for name in names:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert ET.fromstring((folder / f"{name}.svg").read_text()).tag.endswith("svg")


def test_the_same_run_gives_the_same_bytes(made: Forecast, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(made, tmp_path / name, "predictions")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_pictures_in_the_page_share_no_ids_and_follow_its_colours(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:xlink:)?href="#([^"]+)"', page)) <= set(ids)
    assert "var(--main)" in page
    assert "#2563a8" not in page.partition("</style>")[2]


def test_a_browser_draws_the_page(folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    picture = tmp_path / "page.png"
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage", "--window-size=1100,1400",
         f"--screenshot={picture}", "--virtual-time-budget=2000", (folder / "report.html").as_uri()],
        capture_output=True, timeout=150, check=False,
    )  # fmt: skip
    assert picture.exists(), done.stderr[-2000:]
    content = picture.read_bytes()
    assert int.from_bytes(content[16:20], "big") == 1100
    assert len(content) > 60_000  # an empty page is a few kilobytes


def test_the_slider_says_what_stands_in_its_row(folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage", "--dump-dom",
         (folder / "report.html").as_uri()],
        capture_output=True, timeout=150, check=False, text=True,
    )  # fmt: skip
    assert re.search(r'<output id="told">from 50%: [\d,]+ customers, expected value -?[\d,.]+</output>', done.stdout)


def test_who_is_left_out_is_nowhere(made: Forecast) -> None:
    without = leave_out(made, {EVIL, "c1"})
    assert len(without.summaries) == len(made.summaries) - 2
    assert EVIL not in str(build_report(without))
    kept = without.keep()
    assert kept is not None
    assert EVIL not in kept.summaries.customers


def test_scores_without_a_forecast_have_a_report_too(tmp_path: Path) -> None:
    log = cohorts.log_of(cohorts.orders(40))
    scores = forecast(log, read_wishes({**WISHES, "fallback": "rfm"}), log.last_day)
    write_report(scores, tmp_path, "scores")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "this is no forecast" in page
    assert "not enough data" in page
    assert build_report(scores)["models"] == []
