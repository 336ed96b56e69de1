"""A request that is put together from wishes: its fields, and what of the wishes was not honoured."""

from __future__ import annotations

from typing import Any

from penstock.base.errors import InputError
from penstock.operations.declare import ModelChoice
from penstock.vendor.models import Kind, Model


class Request:
    """The fields of one request under way."""

    def __init__(self, choice: ModelChoice, kind: Kind, **fields: Any) -> None:
        """Begin with the model and the fields that every such request has; raises `InputError` for another kind."""
        if choice.model.known and choice.model.kind != kind:
            raise InputError(
                f"{choice.model.id} is a model for {choice.model.kind}, not for {kind}",
                code="model.wrong-kind",
                hint=f"Leave the model out, or set model.{kind}.",
            )
        self.choice = choice
        self.model: Model = choice.model
        self.body: dict[str, Any] = {"model": choice.model.id, **fields}
        self.warnings: list[str] = []

    def give_up(self, name: str, why: str, instead: str = "left out") -> None:
        """Say what happens instead of a wish; raises `InputError` where the call is strict."""
        if self.choice.strict:
            raise refuse(name, why, f"leave {name} out, choose another model, or call without strict: {instead}")
        self.warnings.append(f"{name}: {why}; {instead}")

    def set(self, parameter: str, name: str, value: Any) -> None:
        """Set a field for the wish `name`, unless this model was seen to refuse it."""
        if parameter in self.choice.refused:
            self.give_up(name, f"{self.model.id} refused it")
        else:
            self.body[parameter] = value


def refuse(name: str, why: str, advice: str) -> InputError:
    """Return the error of a wish that cannot be honoured."""
    return InputError(
        f"{name} cannot be honoured: {why}",
        code="parameters.not-taken",
        hint=f"{advice[:1].upper()}{advice[1:]}.",
    )
