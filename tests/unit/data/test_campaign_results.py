"""What the results of a campaign say in words."""

from __future__ import annotations

import pytest

from penstock.campaigns.proof import compare, find_share
from penstock.data.brevo_results import Counts, _share_out


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((10_000, 200), (10_000, 300), "B is better."),
        ((10_000, 300), (10_000, 200), "B is worse."),
        ((500, 10), (500, 13), "too few to tell; a difference like that needs"),
        ((50, 5), (50, 5), "too small"),
        ((50, 0), (50, 1), "too small"),
        ((0, 0), (0, 0), "too small"),
    ],
)
def test_a_difference_is_called_one_only_when_it_is(first, second, words):
    arms = [Counts("", "", delivered=total, clicked=count) for total, count in (first, second)]
    assert words in compare(*arms)[1].describe()


@pytest.mark.parametrize("winner", ["A", "B"])
def test_the_mails_of_each_version_follow_from_the_rates_of_the_winner(winner):
    other = "B" if winner == "A" else "A"
    counted = {winner: {"opened": 79, "clicked": 29}, other: {"opened": 8, "clicked": 4}}
    content = {"openRate": f"{100 * 79 / 144:.2f}%", "clickRate": "20.14%"}
    assert _share_out(content, winner, counted, 180) == {winner: 144, other: 36}
    assert _share_out({}, winner, counted, 180) == {"A": 90, "B": 90}
    assert _share_out({"openRate": "0%", "clickRate": "20.14%"}, winner, counted, 180) == {winner: 144, other: 36}


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_of_shares_are_those_of_the_literature(count, total, low, high):
    share = find_share(count, total)
    assert (share.low, share.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"), [((48, 80), (56, 70), 0.0524, 0.3339), ((3, 10), (9, 10), 0.1705, 0.8090)]
)
def test_intervals_of_differences_are_those_of_the_literature(first, second, low, high):
    arms = [Counts("", "", delivered=total, opened=count) for count, total in (first, second)]
    (gap, _) = compare(*arms)
    assert (gap.low, gap.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
