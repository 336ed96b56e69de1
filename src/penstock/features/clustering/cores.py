"""All cores at work on blocks of rows. The matrix library keeps to one thread meanwhile.

Left to itself it gives each product to threads that spin while they wait; beside other work that costs far more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

BLOCK = 8192
"""Rows that are worked on at once: 8 MB at 256 numbers a row, whatever the number of customers."""


def calmly(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function run with one thread in each product of matrices."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with threadpool_limits(1, user_api="blas"):
            return function(*args, **kwargs)

    return run


def each(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Do work on all cores; the results come in the order of the items, so they should be small."""
    listed = list(items)
    if len(listed) < 2:
        yield from map(work, listed)
        return
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, listed)


def blocks(rows: int, size: int = BLOCK) -> Iterator[slice]:
    """Cut so many rows into blocks."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
