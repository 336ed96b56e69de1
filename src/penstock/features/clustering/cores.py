"""All cores at work on blocks of rows. The matrix library keeps to one thread meanwhile.

Left to itself it gives each product to threads that spin while they wait; beside other work that costs far more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

BLOCK = 8192
"""Rows that are worked on at once: 8 MB at 256 numbers a row, whatever the number of customers."""
_MOST_THREADS = 8
"""More would take more memory, and reading is what then holds them up."""


def calmly(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function run with one thread in each product of matrices."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _CALM:
            return function(*args, **kwargs)

    return run


class _Calm:
    """Holds the matrix library to one thread from the first who enters to the last who leaves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limits is not None:
                self._limits.restore_original_limits()


_CALM = _Calm()


def each(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Do work on all cores; the results come in the order of the items, so they should be small."""
    listed = list(items)
    if len(listed) < 2:
        yield from map(work, listed)
        return
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        yield from pool.map(work, listed)


def blocks(rows: int, size: int = BLOCK) -> Iterator[slice]:
    """Cut so many rows into blocks."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
