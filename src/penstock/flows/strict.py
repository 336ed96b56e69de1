"""The base of every part of a flow file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of the file: unknown words are refused, field docstrings are the help."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)
