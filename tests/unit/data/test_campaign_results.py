"""What the results of a campaign say in words."""

from __future__ import annotations

import pytest

from penstock.cli.campaign_results import describe_difference
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
    assert words in describe_difference(*arms, "clicked")


@pytest.mark.parametrize("winner", ["A", "B"])
def test_the_mails_of_each_version_follow_from_the_rates_of_the_winner(winner):
    other = "B" if winner == "A" else "A"
    counted = {winner: {"opened": 79, "clicked": 29}, other: {"opened": 8, "clicked": 4}}
    content = {"openRate": f"{100 * 79 / 144:.2f}%", "clickRate": "20.14%"}
    assert _share_out(content, winner, counted, 180) == {winner: 144, other: 36}
    assert _share_out({}, winner, counted, 180) == {"A": 90, "B": 90}
    assert _share_out({"openRate": "0%", "clickRate": "20.14%"}, winner, counted, 180) == {winner: 144, other: 36}
