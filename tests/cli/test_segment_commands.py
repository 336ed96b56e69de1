"""`penstock segments`: what is shown, named, drawn and wished for."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ended import Ended
from segment_shop import SegmentShop, crowd

pytest.importorskip("numpy", reason="needs the extra segments")

Run = Callable[..., Ended]


@pytest.fixture
def shop(penstock: Run, tmp_path: Path) -> SegmentShop:
    customers = crowd(20)
    shop = SegmentShop(tmp_path, customers)
    shop.flow["sink"] = {"files": {"path": "out.csv", "match": "${{ record.email }}",
                                   "columns": {"name": "${{ record.name }}"}}}  # fmt: skip
    shop.write()
    assert penstock("run", "flow.yaml", "--sandbox").code == 0
    return shop


@pytest.mark.usefixtures("shop")
def test_segments_are_shown_with_what_speaks_for_each_number(penstock: Run) -> None:
    shown = penstock("segments", "show", "flow.yaml", "--sandbox")
    assert shown.code == 0
    assert "silhouette" in shown.out
    assert "suggested" in shown.out
    told = json.loads(penstock("segments", "show", "crowd", "--sandbox", "--json").out)
    assert sum(one["customers"] for one in told["segments"]) == 60
    assert all(one["profile"][0]["lift"] != 1 for one in told["segments"])
    assert sum(told["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert "points" not in told["picture"]


def test_a_name_that_a_person_gives_is_written_by_the_next_run(penstock: Run, shop: SegmentShop) -> None:
    given = penstock("segments", "names", "flow.yaml", "--set", "s1=<Loyal & kind>", "--sandbox")
    assert given.code == 0
    assert penstock("run", "flow.yaml", "--sandbox").code == 0
    assert "<Loyal & kind>" in (shop.folder / "out.csv").read_text(encoding="utf-8")
    names = json.loads(penstock("segments", "names", "crowd", "--json", "--sandbox").out)
    assert {"id": "s1", "name": "<Loyal & kind>", "by": "person"} in names
    assert penstock("segments", "map", "crowd", "--folder", "out", "--sandbox").code == 0
    page = (shop.folder / "out" / "segments.html").read_text(encoding="utf-8")
    assert "&lt;Loyal &amp; kind&gt;" in page
    assert "<Loyal" not in page
    assert penstock("segments", "names", "crowd", "--set", "s1=", "--sandbox").code == 0
    assert penstock("run", "flow.yaml", "--sandbox").code == 0
    assert "<Loyal & kind>" not in (shop.folder / "out.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("wished", "way"), [((), "followed"), (("--anew",), "found")])
@pytest.mark.usefixtures("shop")
def test_the_next_run_hears_a_wish_once(penstock: Run, wished: tuple[str, ...], way: str) -> None:
    assert penstock("segments", "refresh", "flow.yaml", *wished, "--sandbox").code == 0
    for version in (2, 2):
        assert penstock("run", "flow.yaml", "--sandbox").code == 0
        told = json.loads(penstock("segments", "show", "crowd", "--sandbox", "--json").out)
        assert (told["way"], told["version"], told["changed"]) == (way, version, 0)


@pytest.mark.usefixtures("shop")
def test_what_is_wrong_is_told(penstock: Run) -> None:
    unknown = penstock("segments", "show", "crowds", "--sandbox")
    assert (unknown.code, "segments.unknown" in unknown.err, "crowd" in unknown.err) == (2, True, True)
    for pair, code in (("s9=Name", "segments.unknown-id"), ("s1", "not ID=NAME")):
        ended = penstock("segments", "names", "crowd", "--set", pair, "--sandbox")
        assert ended.code == 2
        assert code in ended.err
    two = penstock("segments", "names", "crowd", "--set", "s1=A", "--set", "s2=a", "--sandbox")
    assert (two.code, "segments.same-name" in two.err) == (2, True)


@pytest.mark.usefixtures("shop")
def test_the_map_is_a_picture_and_a_page_that_load_nothing(penstock: Run, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the extra images")
    assert penstock("segments", "map", "flow.yaml", "--folder", "out", "--sandbox").code == 0
    page = (tmp_path / "out" / "segments.html").read_text(encoding="utf-8")
    assert len(page) < 500_000
    assert not any(word in page for word in ("<script", "<link", "url(", "src="))
    assert "may still differ in what is not shown" in page
    drawn = json.loads((tmp_path / "out" / "map.json").read_bytes())
    assert len(drawn["points"]) == 60
    assert (tmp_path / "out" / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("shop")
def test_the_page_draws_in_a_browser(penstock: Run, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser here: install chromium")
    assert penstock("segments", "map", "flow.yaml", "--folder", "out", "--sandbox").code == 0
    shot = tmp_path / "shot.png"
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}",
         f"--screenshot={shot}", "--window-size=900,1400", (tmp_path / "out" / "segments.html").as_uri()],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    from PIL import Image

    with Image.open(shot) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24) or []
    assert len(colours) > 100  # text and dots of several colours, not an empty page
