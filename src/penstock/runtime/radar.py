"""What ends: says before a call, a plan or a run that its model is shut down or about to be.

Only where OpenAI itself answers: another server may serve a model of the same name for as long as it likes.
"""

from __future__ import annotations

from penstock.base.errors import FixError
from penstock.base.types import Finding
from penstock.vendor.models import Catalogue, Model
from penstock.vendor.openai import OpenAI

SANDBOX_HOST = "openai.sandbox"
"""Host name of the emulator inside this process, which shuts models down as OpenAI does."""


def is_vendor(host: str) -> bool:
    """Tell whether OpenAI answers at this host, or the emulator in its place."""
    return host in (SANDBOX_HOST, "openai.com") or host.endswith(".openai.com")


def check_alive(model: Model, client: OpenAI, at: float) -> None:
    """Raise `FixError` when the model is shut down: nothing needs to be sent to know the answer."""
    if model.shutdown is not None and model.state(at) == "dead" and is_vendor(client.host):
        raise FixError(
            f"{client.host} no longer serves {model.id}: it was shut down on {model.shutdown}",
            code="model.shut-down",
            hint=f"{_name_replacement(model)} `penstock models` lists what is alive.",
        )


def find_successor(catalogue: Catalogue, model: Model, at: float) -> Model:
    """Return the model that takes the place of one that is shut down: the named one of the same kind, or itself."""
    found, seen = model, {""}
    while found.state(at) == "dead":
        if found.replacement in seen:
            return model
        seen.add(found.replacement)
        found = catalogue.find(found.replacement)
        if not found.known or found.kind != model.kind:
            return model
    return found


def describe_end(model: Model, client: OpenAI, at: float, instead_of: str = "") -> str:
    """Say when a model ends and what to use instead, or which one it stands for; nothing for one that stays."""
    notes = (
        [f"{instead_of} is shut down: {model.id} answers in its place (setting replace-ended)"] if instead_of else []
    )
    if model.shutdown is not None and is_vendor(client.host):
        notes.append(model.advice(at))
    return ". ".join(notes)


def look_at_model(model: Model, client: OpenAI, at: float, instead_of: str = "") -> list[Finding]:
    """Return what a plan must say of its model: that it ends or stands for another, or that its cost is unknown."""
    if not model.known or not model.prices:
        message = f"the price of {model.id} is not known: no cost can be told, no budget kept"
        return [Finding("model", "warn", message, "Describe it in a models.toml of the workspace.")]
    advice = describe_end(model, client, at, instead_of)
    if not advice:
        return []
    is_dead = model.state(at) == "dead"
    fix = "Name the model that you want." if instead_of else _name_replacement(model)
    return [Finding("model", "fail" if is_dead else "warn", advice, fix)]


def _name_replacement(model: Model) -> str:
    if not model.replacement:
        return "Choose another model: no replacement is named."
    return f"Use {model.replacement} {model.replacement_note}".strip() + "."
