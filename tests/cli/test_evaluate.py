import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ended import Ended

Run = Callable[..., Ended]
TEXTS = [
    ("I love it, great quality and a wonderful shop.", 5, "positive"),
    ("Terrible. It broke at once, I hate it.", 1, "negative"),
    ("Very good, thank you, I am happy.", 5, "positive"),
    ("The worst purchase ever, awful and sad.", 1, "negative"),
    ("It is a jacket.", 3, "neutral"),
    ("Horrible service, bad and rude.", 2, "negative"),
]


def write(folder: Path, name: str) -> str:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "review", "stars", "mood"])
        table.writerows((f"a|{number}", *row) for number, row in enumerate(TEXTS))
    return name


def test_a_table_with_columns_of_any_name_is_measured(penstock: Run, tmp_path: Path) -> None:
    pytest.importorskip("vaderSentiment")
    ended = penstock("evaluate", write(tmp_path, "rated.csv"), "--scale", "1..5", "--label", "mood", "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["examples"], report["judged"], report["accuracy"]) == (0, 6, 6, 1.0)
    assert report["pearson"] > 0.9
    assert report["intervals"]["accuracy"][0] < 0.7


def test_json_lines_are_measured_too(penstock: Run, tmp_path: Path) -> None:
    pytest.importorskip("vaderSentiment")
    rows = [json.dumps({"body": text, "label": label}) for text, _, label in TEXTS]
    (tmp_path / "rated.jsonl").write_text("\n".join(rows), encoding="utf-8")
    report = json.loads(penstock("evaluate", "rated.jsonl", "--json").out)
    assert (report["judged"], report["accuracy"], report["pearson"]) == (6, 1.0, None)


def test_recorded_answers_are_measured_again_without_a_call(penstock: Run, tmp_path: Path) -> None:
    name = write(tmp_path, "rated.csv")
    given = ("evaluate", name, "--scale", "1..5", "--injections", "2", "--sandbox", "--json")
    nothing = penstock(*given, "--recorded")
    assert nothing.code == 2
    assert "fewer than two" in nothing.err
    bought = json.loads(penstock(*given, "--by", "model").out)
    spent = penstock("cost", "--sandbox", "--json").out
    again = json.loads(penstock(*given, "--recorded").out)
    assert again == bought
    assert penstock("cost", "--sandbox", "--json").out == spent
    assert bought["flips"]["tried"] == 2 * len(bought["flips"]["by_injection"])
    assert sum(one["tried"] for one in bought["flips"]["by_injection"].values()) == bought["flips"]["tried"]


def test_what_a_flow_bought_is_measured_as_it_judges(penstock: Run, tmp_path: Path) -> None:
    name = write(tmp_path, "rated.csv")
    (tmp_path / "flow.yaml").write_text(
        json.dumps(
            {
                "name": "rated",
                "source": {"files": {"path": "rated.csv", "key": "id"}},
                "steps": [
                    {
                        "analyze-sentiment": {
                            "text": "${{ record.review }}",
                            "topics": ["price"],
                            "calibration": [0.5, 0],
                        }
                    }
                ],
            }
        )
    )
    assert penstock("run", "flow.yaml", "--sandbox", "--yes").code == 0
    given = ("evaluate", name, "--scale", "1..5", "--recorded", "--sandbox", "--json")
    assert penstock(*given).code == 2
    report = json.loads(penstock(*given, "--flow", "flow.yaml").out)
    assert report["judged"] == 6
    assert all(one["confidence"] < 0.95 for one in report["reliability"])


def test_the_text_report_shows_bins_and_intervals(penstock: Run, tmp_path: Path) -> None:
    ended = penstock("evaluate", write(tmp_path, "rated.csv"), "--scale", "1..5", "--by", "model", "--sandbox")
    assert ended.code == 0
    assert "confidence" in ended.out
    assert "accuracy" in ended.out
    assert " to " in ended.out


@pytest.mark.parametrize("words", [("--scale", "five"), ("--scale", "5..1"), ("--rating", "id", "--scale", "1..5")])
def test_what_cannot_be_read_is_said(penstock: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = penstock("evaluate", write(tmp_path, "rated.csv"), *words)
    assert ended.code == 2
    assert "scale" in ended.err
