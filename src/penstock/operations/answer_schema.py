"""The schema of an answer as people give it: JSON Schema, or a pydantic model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator


def _to_schema(given: Any) -> Any:
    is_model = isinstance(given, type) and issubclass(given, BaseModel)
    return given.model_json_schema() if is_model else given


AnswerSchema = Annotated[dict[str, Any], BeforeValidator(_to_schema)]
"""JSON Schema; where Python is spoken, a pydantic model does as well."""
