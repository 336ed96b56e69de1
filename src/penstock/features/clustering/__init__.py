"""Segments of customers from vectors and behaviour: found, held steady, watched, explained and drawn.

Mathematics only: it reads arrays and columns, calls nobody and writes nothing. Needs `penstock[segments]`.
"""

from __future__ import annotations

from penstock.base.errors import SettingsError

try:
    import numpy as _numpy  # noqa: F401 - every module here needs both; said once, where all of them pass
    import threadpoolctl as _threadpoolctl  # noqa: F401
except ImportError as error:
    raise SettingsError(
        "segments need packages that are not installed", code="settings.extra", hint="pip install 'penstock[segments]'"
    ) from error
