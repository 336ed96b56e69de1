"""edit-image: Change pictures as described, or make one from several.

GPT Image: up to 16 pictures; a mask says which part of the first one may change.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from penstock.base.errors import InputError
from penstock.operations.declare import Asker, ModelChoice, Operation
from penstock.operations.files import Fetch, MaskFile, PictureFile, load_files
from penstock.operations.media import RED_SQUARE, has_alpha, measure_picture
from penstock.operations.pictures import SECONDS, SOURCE_TOKENS, Look, Order, Pictures, read_pictures
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.tokens import count_tokens

_FIDELITY = {"gpt-image-1.5": ("low", "high"), "chatgpt-image-latest": ("low", "high"), "gpt-image-1-mini": ("low",)}
"""Fidelities to choose from; a model that is not listed has one of its own (contract of November 2026)."""


class Input(Look):
    """What to change, and how."""

    images: list[PictureFile] = Field(min_length=1, max_length=16, validation_alias=AliasChoices("images", "image"))
    """The pictures: png, jpg or webp, each under 50 MB; paths, URLs, base64 or data URLs."""
    mask: MaskFile | None = None
    """A png of the size of the first picture: where it is transparent, that picture may change."""
    fidelity: Literal["low", "high"] | None = None
    """How closely faces and details are kept, for models that let it be chosen."""

    @model_validator(mode="after")
    def _mask_fits(self) -> Input:
        check_mask(self)
        return self


class Output(Pictures):
    """What was made of them."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Edit; raises `RejectedError` for what the vendor does not draw, `OutputError` for an answer without pictures."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    order = Order(input, choice, is_form=True)
    _set_fidelity(order, input)
    tokens = count_tokens(order.body["prompt"], choice.model.id)
    field = "image[]" if len(input.images) > 1 else "image"
    files = [image.attach(field) for image in input.images]
    if input.mask is not None:
        files.append(input.mask.attach("mask"))
    return Ask(
        OPERATION.name,
        OPERATION.version,
        "/images/edits",
        choice.model.id,
        order.body,
        tokens + SOURCE_TOKENS * len(input.images),
        connection=choice.connection,
        files=tuple(files),
        images=input.copies,
        most=order.most(tokens, len(input.images)),
        likely=order.likely(tokens, len(input.images)),
        timeout=SECONDS,
        warnings=tuple(order.warnings),
    )


def _set_fidelity(order: Order, input: Input) -> None:
    wished, model = input.fidelity, order.model
    if wished is None:
        return
    taken = _FIDELITY.get(model.id, ())
    if wished in taken or not model.known:
        order.set("input_fidelity", "fidelity", wished)
    elif taken or wished == "low":
        order.give_up("fidelity", f"{model.id} does not take {wished}")


def check_mask(input: Input) -> None:
    """Raise `ValueError` where a mask does not fit the first picture; what is still to be fetched is checked then."""
    mask, first = input.mask, input.images[0]
    if mask is None or mask.url:
        return
    if not has_alpha(mask.data):
        raise ValueError("mask: it has no transparent part, so nothing could change")
    sizes = measure_picture(mask.data), measure_picture(first.data)
    if all(sizes) and sizes[0] != sizes[1]:
        shown = ["x".join(map(str, size or ())) for size in sizes]
        raise ValueError(f"mask: its size {shown[0]} is not that of the first picture, {shown[1]}")


async def load(input: Input, fetch: Fetch) -> Input:
    """Fetch what is behind URLs; raises `InputError` for a mask that does not fit."""
    loaded = await load_files(input, fetch)
    try:
        check_mask(loaded)
    except ValueError as error:
        raise InputError(str(error), code="operation.bad-input") from None
    return loaded


def read(input: Input, answer: Answer) -> Output:
    """Take the pictures; raises `OutputError`."""
    return Output(**dict(read_pictures(input, answer)))


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="image",
    load=load,
    example={
        "text": "Paint it blue",
        "quality": "low",
        "images": [f"data:image/png;base64,{RED_SQUARE}"],
    },
)
