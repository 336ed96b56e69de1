"""How many contacts each arm of a test needs, before anyone asks for five variants on three thousand contacts.

Two-sided comparison of two shares with the pooled variance under no difference (Fleiss, Levin and Paik 2003, 4.2).
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


def size_arm(usual: float, better: float, *, power: float = 0.8, significance: float = 0.05) -> int:
    """Return the contacts per arm to see a share rise from one value to another; raises `ValueError`."""
    if not 0 < usual < 1 or not 0 < better < 1 or usual == better:
        raise ValueError("two different shares between 0 and 1 are needed")
    normal = NormalDist()
    mean = (usual + better) / 2
    spread = normal.inv_cdf(1 - significance / 2) * sqrt(2 * mean * (1 - mean))
    spread += normal.inv_cdf(power) * sqrt(usual * (1 - usual) + better * (1 - better))
    return round((spread / (usual - better)) ** 2)


class Trial(NamedTuple):
    """What a test of some variants on some contacts can show."""

    arms: int
    each: int
    needed: int
    says: str

    @property
    def is_enough(self) -> bool:
        """Whether an arm has as many contacts as it needs."""
        return self.each >= self.needed


def weigh_test(variants: int, contacts: int, click_rate: float, lift: float = 0.1) -> Trial:
    """Say whether variants can be told apart by clicks when one is better by the share `lift`."""
    better = min(click_rate * (1 + lift), 0.999)
    needed, arms = size_arm(click_rate, better), max(variants, 2)
    each = contacts // arms
    aim = f"to see clicks rise from {click_rate:.2%} to {better:.2%}, each arm needs {needed:,} contacts"
    if not contacts:
        return Trial(arms, 0, needed, f"{aim} (80 % power, 5 % error)")
    if each >= needed:
        return Trial(arms, each, needed, f"{aim}; {arms} arms have {each:,}: enough")
    able = contacts // needed
    advice = f"{able} arms are possible" if able >= 2 else "such a test shows nothing: choose one variant by hand"
    return Trial(arms, each, needed, f"{aim}; {arms} arms of {contacts:,} have {each:,}: too few, {advice}")
