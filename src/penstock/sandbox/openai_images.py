"""Images of the emulated OpenAI: generations and edits, with the sizes, qualities and formats that each model takes.

Previews (gif, svg) are refused, as to a project without access to them. Answers are `moderation_blocked` where the
moderation of the sandbox flags the prompt.
"""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any, NamedTuple

from penstock.base.types import Usage
from penstock.sandbox.openai_answers import moderate
from penstock.sandbox.openai_fields import Fields, find_media_model, invalid, name_set, read_fields, unsupported
from penstock.sandbox.openai_files import Files
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import ApiError, missing
from penstock.sandbox.openai_routes import EVENTS, Call, Done, Job, Route, Service, answer_json
from penstock.sandbox.openai_streams import frame
from penstock.sandbox.pixels import Picture, draw_look, encode_picture, read_picture

_SHARED = (
    "model prompt n size quality background output_format output_compression moderation stream partial_images user "
    "safety_identifier complexity frame_count frame_duration_ms svg response_format style"
)
_KNOWN = {
    "images.generate": name_set(_SHARED),
    "images.edit": name_set(f"{_SHARED} image images mask markup input_fidelity"),
}
_NAMED_SIZES = ("1024x1024", "1536x1024", "1024x1536")
_MOST_BYTES = 50_000_000
_MASK_BYTES = 4_000_000
_STRICTEST = ("sexual/minors", "self-harm/instructions", "illicit/violent", "hate/threatening")
"""What even `moderation: low` blocks; an assumption."""

_TOKENS = {
    "gpt-image-2": {"low": 200, "medium": 1_767, "high": 7_033},
    "older": {"low": 272, "medium": 1_056, "high": 4_160},
}
"""Output tokens of 1024 by 1024, from the published prices per image at $30 and $32 (and $8) per million tokens."""

_TALL_TOKENS = {"low": 167, "medium": 1_367, "high": 5_500}
"""Output tokens of 1024 by 1536 on gpt-image-2, from the same prices."""


class _Order(NamedTuple):
    """What is to be drawn."""

    fields: Fields
    model: Model
    name: str
    prompt: str
    copies: int
    width: int
    height: int
    quality: str
    background: str
    kind: str
    stream: bool
    partials: int
    sources: tuple[tuple[bytes, Picture], ...] = ()


class Images:
    """Draws what is asked for: equal orders give equal pictures."""

    def __init__(self, service: Service, files: Files) -> None:
        self._service = service
        self._files = files

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v1/images/generations", "images.generate", self.generate),
            Route("POST", "/v1/images/edits", "images.edit", self.edit),
            Route("POST", "/v1/images/variations", "images.variations", _refuse_variations),
        ]

    def generate(self, call: Call) -> Job:
        """POST /images/generations."""
        order = self._read(call, read_fields(call, form=False), "images/generations")
        return self._job(call, order)

    def edit(self, call: Call) -> Job:
        """POST /images/edits: a form with files, or JSON that refers to files and data URLs."""
        fields = read_fields(call)
        order = self._read(call, fields, "images/edits")
        _check_fidelity(fields, order.model)
        sources = [_check_source(content, "image", _MOST_BYTES) for content in self._find_sources(fields)]
        if not 1 <= len(sources) <= 16:
            raise missing("image") if not sources else invalid("image", "at most 16 images can be edited together.")
        for param in ("mask", "markup"):
            self._check_overlay(fields, param, order.model, sources[0][1])
        if fields.get("mask") is not None and fields.get("markup") is not None:
            raise invalid("markup", "it cannot be combined with 'mask'.")
        return self._job(call, order._replace(sources=tuple(sources)))

    def _read(self, call: Call, fields: Fields, api: str) -> _Order:
        fields.refuse_unknown(_KNOWN[call.operation] - ({"moderation"} if fields.is_form else set()))
        model = find_media_model(self._service, fields, api, default="gpt-image-2")
        for param in ("response_format", "style"):
            if fields.get(param) is not None:
                raise ApiError(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
        prompt = fields.text("prompt", most=32_000)
        count = fields.whole("n", 1, 10, 1)
        width, height = _read_size(fields.text("size", "auto"), model)
        is_newest = model.id.startswith(("gpt-image-2.5", "gpt-image-2.6"))
        qualities = ("low", "medium", "high", "auto") + (("xhigh", "max") if is_newest else ())
        quality = fields.choice("quality", qualities, "auto")
        kind, background = _read_format(fields)
        partials = fields.whole("partial_images", 0, 3, 0)
        stream = fields.flag("stream")
        if partials and not stream:
            raise invalid("partial_images", "it needs 'stream' to be true.")
        _check_prompt(prompt, fields.choice("moderation", ("auto", "low"), "auto"))
        return _Order(
            fields,
            model,
            fields.text("model", "gpt-image-2"),
            prompt,
            count,
            width,
            height,
            "medium" if quality == "auto" else quality,
            background,
            kind,
            stream,
            partials,
        )

    def _find_sources(self, fields: Fields) -> list[bytes]:
        if fields.is_form:
            return [one.content for one in fields.files("image")]
        references = fields.get("images")
        if not isinstance(references, list) or not references:
            raise missing("images")
        return [self._fetch(reference, f"images[{at}]") for at, reference in enumerate(references)]

    def _fetch(self, reference: Any, param: str) -> bytes:
        """Return the bytes of a reference in JSON: a file's id or a data URL."""
        identity = reference.get("file_id") if isinstance(reference, dict) else None
        url = reference.get("image_url") if isinstance(reference, dict) else None
        if (identity is None) == (url is None):
            raise invalid(param, "give one of 'image_url' and 'file_id'.")
        if identity is not None:
            return self._files.find(str(identity)).content
        _, found, data = str(url).partition(";base64,")
        try:
            if not found:
                raise ValueError(url)
            return base64.b64decode(data, validate=True)
        except ValueError as error:
            text = "the sandbox fetches nothing: give a data URL with base64, or the id of a file."
            raise invalid(f"{param}.image_url", text) from error

    def _check_overlay(self, fields: Fields, param: str, model: Model, first: Picture) -> None:
        given = fields.get(param)
        if given is None:
            return
        if param == "markup" and not model.id.startswith(("gpt-image-2.5", "gpt-image-2.6")):
            raise unsupported(param, f"is not supported with {model.id}.")
        content = fields.file(param).content if fields.is_form else self._fetch(given, param)
        _, mask = _check_source(content, param, _MASK_BYTES)
        if mask.kind != "png" or not mask.has_alpha:
            raise invalid(param, "expected a PNG with an alpha channel.", "invalid_image_file")
        if (mask.width, mask.height) != (first.width, first.height):
            text = f"its size {mask.width}x{mask.height} is not that of the image, {first.width}x{first.height}."
            raise invalid(param, text, "invalid_image_file")

    def _job(self, call: Call, order: _Order) -> Job:
        usage = self._measure(order)
        sources = "".join(hashlib.blake2b(content, digest_size=8).hexdigest() for content, _ in order.sources)
        seed = f"{self._service.world.seed}\n{order.name}\n{order.prompt}\n{sources}"

        def run() -> Done:
            drawn = [self._draw(order, f"{seed}\n{number}") for number in range(order.copies)]
            return self._stream(call, order, drawn, seed, usage) if order.stream else self._answer(order, drawn, usage)

        return Job(order.model, len(order.prompt) // 4, run, images=order.copies)

    def _draw(self, order: _Order, seed: str) -> str:
        transparent = order.background == "transparent"
        picture = encode_picture(draw_look(seed), order.width, order.height, order.kind, transparent=transparent)
        return base64.b64encode(picture).decode()

    def _measure(self, order: _Order) -> Usage:
        text = self._service.tokenizer.count(order.prompt)
        seen = sum(_count_patches(picture) for _, picture in order.sources)
        made = _count_output(order) * order.copies
        return Usage(input=text + seen, output=made, images=order.copies, image_input=seen, image_output=made)

    def _common(self, order: _Order) -> dict[str, Any]:
        return {
            "background": order.background,
            "output_format": order.kind,
            "quality": order.quality,
            "size": f"{order.width}x{order.height}",
        }

    def _answer(self, order: _Order, drawn: list[str], usage: Usage) -> Done:
        body = {
            "created": int(self._service.world.clock.now()),
            **self._common(order),
            "data": [{"b64_json": one} for one in drawn],
            "usage": {**_usage_body(usage), "output_tokens_details": {"image_tokens": usage.output, "text_tokens": 0}},
        }
        return answer_json(body, usage)

    def _stream(self, call: Call, order: _Order, drawn: list[str], seed: str, usage: Usage) -> Done:
        """Send previews, whose look is not yet the final one, then each finished picture."""
        prefix = "image_generation" if call.operation == "images.generate" else "image_edit"
        common = {"created_at": int(self._service.world.clock.now()), **self._common(order)}
        events: list[dict[str, Any]] = []
        for index in range(order.partials):
            picture = self._draw(order, f"{seed}\npartial {index}")
            event = {"type": f"{prefix}.partial_image", "b64_json": picture, **common, "partial_image_index": index}
            events.append(event)
        share = _share(usage, order.copies)
        events += [
            {"type": f"{prefix}.completed", "b64_json": one, **common, "usage": _usage_body(share)} for one in drawn
        ]
        return Done(b"", usage, EVENTS, pieces=tuple(frame(event, event["type"]) for event in events))


def _refuse_variations(_call: Call) -> Done:
    raise ApiError(404, "The endpoint /v1/images/variations was retired with DALL-E.", code="endpoint_retired")


def _share(usage: Usage, count: int) -> Usage:
    """Return one picture's part of the usage: its own output, and all of the input once it is alone."""
    return usage if count == 1 else Usage(input=usage.input // count, output=usage.output // count)


def _usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": usage.input - usage.image_input, "image_tokens": usage.image_input},
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }


def _read_size(size: str, model: Model) -> tuple[int, int]:
    """Return width and height; GPT Image 2 and newer take any that are multiples of 16 within bounds."""
    if size == "auto":
        return 1024, 1024
    width, _, height = size.partition("x")
    if size in _NAMED_SIZES:
        return int(width), int(height)
    listed = ", ".join((*_NAMED_SIZES, "auto"))
    if not model.id.startswith("gpt-image-2") or not (width.isascii() and width.isdigit() and height.isdigit()):
        raise invalid("size", f"'{size}' is not supported by {model.id}. Supported values are: {listed}.")
    across, down = int(width), int(height)
    if across % 16 or down % 16:
        raise invalid("size", f"'{size}': width and height must be divisible by 16.")
    if not across or not down or max(across, down) > 3 * min(across, down):
        raise invalid("size", f"'{size}': the aspect ratio must be between 1:3 and 3:1.")
    if max(across, down) > 3_840 or not 655_360 <= across * down <= 8_294_400:
        raise invalid("size", f"'{size}': edges up to 3840, and 655,360 to 8,294,400 pixels.")
    return across, down


def _read_format(fields: Fields) -> tuple[str, str]:
    """Return the file format and the background that a request asks for."""
    kind = fields.choice("output_format", ("png", "webp", "jpeg", "gif", "svg"), "png")
    if kind in ("gif", "svg"):
        text = f"This project has no access to the preview of the output format '{kind}'."
        raise ApiError(400, text, code="unsupported_value", param="output_format")
    for param in ("frame_count", "frame_duration_ms", "svg"):
        if fields.get(param) is not None:
            raise invalid(param, f"it needs another output_format than '{kind}'.")
    fields.choice("complexity", ("low", "medium", "high"), "medium")
    compression = fields.whole("output_compression", 0, 100, 100)
    if kind == "png" and compression != 100:
        raise invalid("output_compression", "compression below 100 needs the output_format webp or jpeg.")
    background = fields.choice("background", ("auto", "opaque", "transparent"), "auto")
    if background == "transparent" and kind == "jpeg":
        raise invalid("background", "a transparent background needs the output_format png or webp.")
    return kind, "opaque" if background == "auto" else background


def _check_prompt(prompt: str, moderation: str) -> None:
    verdict = moderate(prompt)["categories"]
    found = [name for name, flagged in verdict.items() if flagged and (moderation == "auto" or name in _STRICTEST)]
    if found:
        text = f"Your request was rejected by the safety system. safety_violations=[{', '.join(found)}]"
        raise ApiError(400, text, code="moderation_blocked", kind="image_generation_user_error")


def _check_fidelity(fields: Fields, model: Model) -> None:
    """Check `input_fidelity`: high and low on 1.5, low on mini, to be left out elsewhere."""
    given = fields.get("input_fidelity")
    if given is None:
        return
    allowed = {"gpt-image-1.5": ("high", "low"), "gpt-image-1-mini": ("low",)}.get(model.id)
    if allowed is None:
        raise unsupported("input_fidelity", f"is not supported with {model.id}.")
    fields.choice("input_fidelity", allowed, "low")


def _check_source(content: bytes, param: str, most: int) -> tuple[bytes, Picture]:
    if len(content) >= most:
        raise ApiError(413, f"'{param}' is too large: it must be under {most // 1_000_000} MB.", param=param)
    picture = read_picture(content)
    if picture is None:
        text = "Invalid image file or mode. Supported are png, webp and jpg."
        raise ApiError(400, text, code="invalid_image_file", param=param)
    return content, picture


def _count_patches(picture: Picture) -> int:
    """Return the input tokens of a picture: patches of 32 by 32, at most 1,536; an assumption."""
    return min(1_536, math.ceil(picture.width / 32) * math.ceil(picture.height / 32))


def _count_output(order: _Order) -> int:
    """Return the output tokens of a picture; sizes not published go by area, xhigh and max are 1.5 and 2 times high."""
    newer = order.model.id.startswith("gpt-image-2")
    factor = {"xhigh": 1.5, "max": 2.0}.get(order.quality, 1.0)
    quality = order.quality if factor == 1.0 else "high"
    if newer and {order.width, order.height} == {1024, 1536}:
        return round(_TALL_TOKENS[quality] * factor)
    square = _TOKENS["gpt-image-2" if newer else "older"][quality]
    return round(square * factor * order.width * order.height / (1024 * 1024))
