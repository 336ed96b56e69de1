import os
from pathlib import Path

import pytest

from fake_asker import choose
from penstock.base.errors import InputError
from penstock.features import sentiment
from penstock.features.evaluation import (
    Example,
    Judged,
    calibration_error,
    count_flips,
    evaluate,
    load_injections,
    macro_f1,
    pearson,
    read_examples,
)
from penstock.features.offline import score_offline
from penstock.runtime.ask import Ask

SHARED = Path(os.environ.get("PENSTOCK_SHARED") or Path(__file__).parents[4] / "shared")


def score_all(examples: list[Example]) -> dict[str, Judged]:
    verdicts = {example.key: score_offline(example.text, "en") for example in examples}
    return {key: Judged(*verdict) for key, verdict in verdicts.items() if verdict}


@pytest.mark.parametrize(
    ("name", "lines", "correlation", "accuracy"),
    [("tweets", 4200, 0.872, 0.899), ("amazonReviewSnippets", 3708, 0.590, 0.587)],
)
def test_the_offline_scorer_agrees_with_people_as_published(
    name: str, lines: int, correlation: float, accuracy: float
) -> None:
    pytest.importorskip("vaderSentiment")
    path = SHARED / "data" / "rated-snippets" / f"{name}_GroundTruth.txt"
    if not path.is_file():
        pytest.skip(f"the rated snippets are not at {path}; set PENSTOCK_SHARED")
    examples = read_examples(path)
    report = evaluate(examples, score_all(examples))
    assert (report.examples, report.judged) == (lines, lines)
    assert report.pearson == pytest.approx(correlation, abs=0.001)
    assert report.accuracy == pytest.approx(accuracy, abs=0.001)


def test_a_file_in_either_encoding_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "latin-1", "utf-8-sig"):
        path = tmp_path / f"{encoding}.txt"
        path.write_bytes("1\t-2.0\tschön\ttab inside\r\n\n2\t4\tgut\n".encode(encoding))
        assert [one[:3] for one in read_examples(path)] == [("1", -0.5, "schön\ttab inside"), ("2", 1.0, "gut")]


def test_a_line_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rated.txt"
    path.write_text("1\t2\tgood\n2\tgood\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_examples(path)
    assert caught.value.where == "rated.txt:2"


def test_measures_of_a_small_set_are_those_by_hand() -> None:
    examples = [Example("a", 0.5, ""), Example("b", -0.5, ""), Example("c", 0.0, ""), Example("d", -1.0, "")]
    judged = {
        "a": Judged(0.5, "positive", 0.95),
        "b": Judged(0.5, "positive", 0.55),
        "c": Judged(0.0, "mixed", 0.55),
        "d": Judged(0.0, "unclear", 0.3),
    }
    report = evaluate(examples, judged)
    assert (report.examples, report.judged, report.accuracy) == (4, 3, pytest.approx(2 / 3))
    assert report.macro_f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert report.calibration_error == pytest.approx((0.05 + abs(1.1 - 1)) / 3)


def test_without_confidences_there_is_no_calibration_error() -> None:
    assert calibration_error([]) is None


def test_correlation_is_exact_at_its_ends_and_unknown_without_spread() -> None:
    assert pearson([1, 2, 3], [2, 4, 6]) == 1.0
    assert pearson([1, 2, 3], [3, 2, 1]) == -1.0
    assert pearson([1, 2], [5, 5]) != pearson([1, 2], [5, 5])
    assert macro_f1(["a", "b"], ["a", "b"]) == 1.0


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InputError):
        evaluate([Example("a", 0.5, "")], {})


def test_flips_are_counted_among_negative_judgements_only() -> None:
    bad, good = Judged(-0.5, "negative"), Judged(0.5, "positive")
    flips = count_flips(
        [(bad, bad), (bad, good), (good, bad), (bad, Judged(0, "neutral")), (bad, Judged(0.1, "mixed"))]
    )
    assert (flips.tried, flips.flipped, flips.rate) == (4, 2, 0.5)
    assert count_flips([]).rate == 0.0


def test_there_are_injections_of_many_kinds_and_languages() -> None:
    injections = load_injections()
    assert len(injections) >= 12
    assert len({injection.language for injection in injections}) >= 6
    assert all("{text}" in injection.template for injection in injections)
    assert len({injection.template for injection in injections}) == len(injections)


@pytest.mark.parametrize("injection", load_injections(), ids=lambda one: f"{one.name}-{one.language}")
def test_no_injection_gets_out_of_the_fence_or_into_the_instructions(injection: object) -> None:
    review = "It broke after a day and nobody answered."
    plain = sentiment.prepare(sentiment.Input(text=review), choose())
    attacked = sentiment.prepare(sentiment.Input(text=injection.apply(review)), choose())  # type: ignore[attr-defined]
    assert isinstance(plain, Ask)
    assert isinstance(attacked, Ask)
    assert attacked.body["questions"] == plain.body["questions"]
    assert attacked.body["input"][0] == plain.body["input"][0]
    sent = attacked.body["input"][1]["content"]
    mark = sent.split("\n", 1)[0].strip("<>")
    assert (sent.count(f"<{mark}>"), sent.count(f"</{mark}>"), sent.count("<")) == (1, 1, 2)
    assert review in sent
