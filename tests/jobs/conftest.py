"""Jobs on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import SystemClock
from penstock.runtime.jobs import Jobs
from postgres import new_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
async def jobs(database: str) -> AsyncIterator[Jobs]:
    """Jobs that are not started yet; stopped at the end."""
    jobs = Jobs(database, SystemClock())
    yield jobs
    await jobs.stop()
