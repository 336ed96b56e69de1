"""Customer value from an order log: who comes back, how often, worth how much, and how far to trust it.

Needs the extra `predict`. Every model is fitted on summaries that know one `as_of`, judged on a holdout after it,
and refuses with a reason when there is too little to learn from.
"""

from penstock.base.errors import SettingsError

try:
    import duckdb as _duckdb  # noqa: F401 - only whether it is there
    import numpy as _numpy  # noqa: F401
    import scipy as _scipy  # noqa: F401
except ImportError as error:
    raise SettingsError(
        "the prediction extra is not installed", code="settings.extra", hint="pip install 'penstock[predict]'"
    ) from error
