"""Segments of customers from vectors and behaviour: found, held steady, watched, explained and drawn.

Mathematics only: it reads arrays and columns, calls nobody and writes nothing. Needs numpy (`penstock[segments]`).
"""

from __future__ import annotations

from penstock.base.errors import SettingsError

try:
    import numpy as _numpy  # noqa: F401 - every module here needs it; said once, where all of them pass
except ImportError as error:
    raise SettingsError(
        "segments need the package numpy", code="settings.extra", hint="pip install 'penstock[segments]'"
    ) from error
