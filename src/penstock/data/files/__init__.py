"""Files as sources and sinks: CSV, JSON lines and Parquet, and folders of made files."""

from penstock.data.files.folder import folder_sink
from penstock.data.files.snapshot import files_sink
from penstock.data.files.source import files_source

__all__ = ["files_sink", "files_source", "folder_sink"]
