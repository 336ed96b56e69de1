"""The emulated Decisions, Embeddings and Moderations endpoints."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.decide import answer_question
from penstock.sandbox.judge import judge
from penstock.sandbox.openai_answers import embed, encode_vector, moderate
from penstock.sandbox.openai_meter import charge_of
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_plain import find_plain_model
from penstock.sandbox.openai_replies import response_usage
from penstock.sandbox.openai_requests import (
    ApiError,
    check_decision,
    check_embedding,
    check_moderation,
    find_model,
)
from penstock.sandbox.openai_routes import Call, Done, Job, Route, Service, answer_json
from penstock.sandbox.openai_shapes import check_items, check_shape
from penstock.sandbox.prompt import read_prompt

_MOST_TOKENS = 300_000


class _Quick(msgspec.Struct):
    model: str
    questions: msgspec.Raw


class Desk:
    """Checks requests and does their work.

    A fast service gives one fixed answer per set of questions, and one of 64 vectors per text.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clock = service.world.clock
        self._models = service.models
        self._meter = service.meter
        self._templates: dict[bytes, tuple[Model, bytes, int]] = {}

    def _read(self, call: Call) -> tuple[dict[str, Any], Model]:
        body = check_shape(call.operation, call.read_json())
        if self._service.plain:
            return body, find_plain_model(body["model"])
        retired = self._service.quirks.retired_status
        return body, find_model(self._models, call.operation, body, self._clock.now(), retired)

    def decide(self, call: Call) -> Job:
        """Answer questions about an input with probabilities."""
        if self._service.fast:
            return self._decide_fast(call)
        body, model = self._read(call)
        check_decision(body)
        check_items(body["input"], "input")
        questions = body["questions"]
        prompt = read_prompt(body["input"], questions)
        self._meter.check_size(prompt, model, None)

        def run() -> Done:
            judgement = judge("\n".join(entry.text for entry in prompt.entries()))
            answers = [answer_question(question, judgement) for question in questions]
            usage = self._meter.usage(prompt, body, model, len(answers))
            return answer_json({"answers": answers, "model": body["model"], "usage": response_usage(usage)}, usage)

        return Job(model, charge_of(prompt, None), run)

    def _decide_fast(self, call: Call) -> Job:
        content = call.content
        try:
            quick = msgspec.json.decode(content, type=_Quick)
        except msgspec.DecodeError as error:
            raise ApiError(400, "We could not parse the JSON body of your request.", code="invalid_json") from error
        key = quick.model.encode() + bytes(quick.questions)
        template = self._templates.get(key)
        if template is None:
            questions = msgspec.json.decode(quick.questions)
            body = {"model": quick.model, "input": "", "questions": questions}
            model = find_model(self._models, "decisions", body, self._clock.now())
            check_decision(body)
            answers = [answer_question(question, judge("")) for question in questions]
            start = msgspec.json.encode({"answers": answers, "model": quick.model})[:-1]
            if len(self._templates) >= 256:
                self._templates.clear()
            template = self._templates[key] = (model, start, len(answers))
        model, start, count = template
        tokens = len(content) * 10 // 44

        def run() -> Done:
            usage = Usage(input=tokens, output=count)
            return Done(start + b',"usage":' + msgspec.json.encode(response_usage(usage)) + b"}", usage)

        return Job(model, len(content) // 4, run)

    def embed(self, call: Call) -> Job:
        """Return a vector for each input."""
        body, model = self._read(call)
        inputs = check_embedding(body, model)
        counts = [len(one) if isinstance(one, list) else self._meter.tokenizer.count(one) for one in inputs]
        if max(counts) > model.max_input_tokens:
            text = f"This model's maximum input length is {model.max_input_tokens} tokens, got {max(counts)}."
            raise ApiError(400, text, code="context_length_exceeded", param="input")
        if sum(counts) > _MOST_TOKENS:
            text = f"Requested {sum(counts)} tokens, max {_MOST_TOKENS} tokens per request."
            raise ApiError(400, text, code="max_tokens_per_request", param="input")
        size = body.get("dimensions") or model.dimensions
        encoding = body.get("encoding_format") or "float"
        total = sum(counts)

        def run() -> Done:
            vectors = [self._vector(one, model, size, encoding) for one in inputs]
            data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
            usage = {"prompt_tokens": total, "total_tokens": total}
            reply = {"object": "list", "data": data, "model": body["model"], "usage": usage}
            return answer_json(reply, Usage(input=total))

        return Job(model, sum(len(one) if isinstance(one, list) else len(one) // 4 for one in inputs), run)

    def _vector(self, value: Any, model: Model, size: int, encoding: str) -> Any:
        if self._service.fast:
            return _fast_vector(zlib.crc32(str(value).encode()) % 64, model.id, model.dimensions, size, encoding)
        return encode_vector(embed(value, model.id, model.dimensions, size), encoding)

    def moderate(self, call: Call) -> Job:
        """Judge each text, or one input of texts and images."""
        body, model = self._read(call)
        inputs = check_moderation(body)

        def run() -> Done:
            results = [moderate(text, has_image=has_image) for text, has_image in inputs]
            reply = {"id": self._clock.new_id("modr"), "model": body.get("model") or model.id, "results": results}
            return answer_json(reply)

        return Job(model, sum(len(text) for text, _ in inputs) // 4, run)


@lru_cache(maxsize=1024)
def _fast_vector(bucket: int, model: str, full_size: int, size: int, encoding: str) -> Any:
    found = encode_vector(embed(f"bucket {bucket}", model, full_size, size), encoding)
    return found if isinstance(found, str) else msgspec.Raw(msgspec.json.encode(found))


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of this part."""
    desk = Desk(service)
    return [
        Route("POST", "/v1/decisions", "decisions", desk.decide),
        Route("POST", "/v1/embeddings", "embeddings", desk.embed),
        Route("POST", "/v1/moderations", "moderations", desk.moderate),
    ]
