"""Tables of SQL databases as sources and sinks: SQLite, PostgreSQL, and whatever SQLAlchemy has a driver for."""

from penstock.data.sql.sink import sql_sink
from penstock.data.sql.source import sql_source

__all__ = ["sql_sink", "sql_source"]
