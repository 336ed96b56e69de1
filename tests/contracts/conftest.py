"""The service in this process is needed here too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "server"))
