"""Writes what `litellm` charges, as data: it cannot be installed beside the SDK that the tests use.

python -m venv /tmp/peer && /tmp/peer/bin/pip install litellm==1.106.2
export LITELLM_LOCAL_MODEL_COST_MAP=True
/tmp/peer/bin/python scripts/litellm_costs.py PRICE_MAP.json VERSION tests/conformance/data/litellm_costs.json < MODELS

PRICE_MAP.json is `model_prices_and_context_window_backup.json` out of the wheel of VERSION; MODELS are ids, one a line.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import litellm
from litellm import Usage
from litellm.cost_calculator import batch_cost_calculator
from litellm.litellm_core_utils.llm_cost_calc.utils import generic_cost_per_token
from litellm.types.utils import PromptTokensDetailsWrapper

USAGES = {
    "plain": (1000, 0, 0, 0),
    "output": (1000, 0, 0, 400),
    "cached": (10_000, 4096, 0, 0),
    "written": (10_000, 2048, 1024, 50),
    "short": (272_000, 0, 0, 1000),
    "long": (272_001, 1024, 0, 1000),
}
"""Input, of it cached, of it written, output."""
SUFFIXES = {"default": "", "flex": "_flex", "fast": "_priority", "batch": "_batches"}


def main(price_map: Path, version: str, target: Path) -> None:
    """Write rates and computed costs of the models on standard input."""
    prices = json.loads(price_map.read_text())
    litellm.model_cost.clear()
    litellm.model_cost.update(prices)
    rows = {name: prices[name] for name in sys.stdin.read().split() if name in prices}
    document = {
        "rates": f"price map of litellm {version} (MIT licence, Copyright (c) 2023 Berri AI)",
        "costs": f"computed from it by litellm {importlib.metadata.version('litellm')}",
        "made": datetime.now(UTC).date().isoformat(),
        "usages": USAGES,
        "models": {
            name: {"rates": _rates(row), "costs": _costs(name, row)}
            for name, row in sorted(rows.items())
        },
    }  # fmt: skip
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _rates(row: dict[str, Any]) -> dict[str, str]:
    return {
        key: str(Decimal(str(value)))
        for key, value in row.items()
        if "cost" in key and "12hr" not in key and isinstance(value, int | float)
    }


def _costs(name: str, row: dict[str, Any]) -> dict[str, dict[str, str]]:
    if row["litellm_provider"] != "openai" or row["mode"] not in ("chat", "responses", "embedding"):
        return {}
    costs: dict[str, dict[str, str]] = {}
    for tier, suffix in SUFFIXES.items():
        if f"input_cost_per_token{suffix}" in row:  # else it would fall back to the standard price
            costs[tier] = {usage: _cost(name, tier, amounts) for usage, amounts in USAGES.items()}
    if "regional_processing_uplift_multiplier_eu" in row:
        costs["regional"] = {usage: _cost(name, "regional", amounts) for usage, amounts in USAGES.items()}
    return costs


def _cost(name: str, tier: str, amounts: tuple[int, int, int, int]) -> str:
    taken, cached, written, given = amounts
    details = PromptTokensDetailsWrapper(cached_tokens=cached, cache_creation_tokens=written)
    usage = Usage(
        prompt_tokens=taken, completion_tokens=given, total_tokens=taken + given, prompt_tokens_details=details
    )
    if tier == "batch":
        parts = batch_cost_calculator(usage=usage, model=name, custom_llm_provider="openai")
    elif tier == "regional":
        parts = generic_cost_per_token(model=name, usage=usage, custom_llm_provider="openai", data_residency="eu")
    else:
        served = {"default": None, "fast": "priority"}.get(tier, tier)
        parts = generic_cost_per_token(model=name, usage=usage, custom_llm_provider="openai", service_tier=served)
    return str(round(Decimal(str(parts[0])) + Decimal(str(parts[1])), 12))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
