"""One request to the emulated OpenAI, checked and ready: what it is charged for, and the work it will do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.decide import answer_question
from penstock.sandbox.judge import judge
from penstock.sandbox.openai_answers import Text, embed, encode_vector, moderate, write_text
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_replies import chat_body, response_body, response_usage
from penstock.sandbox.openai_requests import (
    ApiError,
    check_chat,
    check_decision,
    check_embedding,
    check_moderation,
    check_names,
    check_response,
    find_model,
    missing,
)
from penstock.sandbox.openai_routes import Call, Done, Job, Route, Service
from penstock.sandbox.prompt import Prompt, read_prompt
from penstock.sandbox.tokens import PromptCache

_HALF_HOUR = 1_800.0
_HALF_DAY = 43_200.0


class _Quick(msgspec.Struct):
    model: str
    questions: msgspec.Raw


class Desk:
    """Checks requests and does their work. With a fast service, decisions get one fixed answer per set of questions."""

    def __init__(self, service: Service, *, keep: int = 10_000) -> None:
        self._clock = service.world.clock
        self._models = service.models
        self._tokenizer = service.tokenizer
        self._cache = PromptCache(self._clock)
        self._fast = service.fast
        self._templates: dict[bytes, tuple[Model, bytes, int]] = {}
        self._stored: OrderedDict[str, bytes] = OrderedDict()
        self._keep = keep

    def retrieve(self, call: Call) -> Done:
        """Return a response that was created with `store`."""
        identity = call.names["id"]
        if identity not in self._stored:
            raise ApiError(404, f"Response with id '{identity}' not found.", param="id")
        return Done(self._stored[identity])

    def prepare(self, call: Call) -> Job:
        """Check a request; raises `ApiError` for what the service refuses."""
        operation = call.operation
        if self._fast and operation == "decisions":
            return self._quick_decision(call.content)
        body = check_names(operation, call.read_json())
        model = find_model(self._models, operation, body, self._clock.now())
        kinds: dict[str, Callable[[dict[str, Any], Model], Job]] = {
            "responses": self._response,
            "chat": self._chat,
            "decisions": self._decision,
            "embeddings": self._embedding,
            "moderations": self._moderation,
            "input_tokens": self._input_tokens,
        }
        return kinds[operation](body, model)

    def _response(self, body: dict[str, Any], model: Model) -> Job:
        effort = check_response(body, model)
        previous = body.get("previous_response_id")
        if previous and previous not in self._stored:
            text = f"Previous response with id '{previous}' not found."
            raise ApiError(400, text, code="previous_response_not_found", param="previous_response_id")
        wanted = (body.get("text") or {}).get("format")
        prompt = read_prompt(body["input"], body.get("instructions"), wanted, body.get("tools"))
        limit = body.get("max_output_tokens")
        self._check_size(prompt, model, limit, can_cut=body.get("truncation") == "auto")

        def run() -> Done:
            text = write_text(prompt, wanted, effort, limit, self._tokenizer)
            usage = self._usage(prompt, body, model, text)
            identity = self._clock.new_id("resp")
            reply = response_body(identity, self._clock.now(), body, text, usage, effort)
            content = msgspec.json.encode(reply)
            if body.get("store", True) is not False:
                self._stored[identity] = content
                if len(self._stored) > self._keep:
                    self._stored.popitem(last=False)
            return Done(content, usage)

        return Job(model, _charge(prompt, limit), run)

    def _chat(self, body: dict[str, Any], model: Model) -> Job:
        effort = check_chat(body, model)
        wanted = body.get("response_format")
        if isinstance(wanted, dict) and wanted["type"] == "json_schema":
            wanted = {"type": "json_schema", **wanted["json_schema"]}
        prompt = read_prompt(body["messages"], wanted, body.get("tools"))
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        self._check_size(prompt, model, limit)

        def run() -> Done:
            text = write_text(prompt, wanted, effort, limit, self._tokenizer)
            usage = self._usage(prompt, body, model, text)
            reply = chat_body(self._clock.new_id("chatcmpl"), self._clock.now(), body, text, usage)
            return Done(msgspec.json.encode(reply), usage)

        return Job(model, _charge(prompt, limit, body.get("n") or 1), run)

    def _decision(self, body: dict[str, Any], model: Model) -> Job:
        check_decision(body)
        questions = body["questions"]
        prompt = read_prompt(body["input"], questions)
        self._check_size(prompt, model, None)

        def run() -> Done:
            judgement = judge("\n".join(entry.text for entry in prompt.entries()))
            answers = [answer_question(question, judgement) for question in questions]
            text = Text("", judgement.refused, len(answers), 0, is_cut=False)
            usage = self._usage(prompt, body, model, text)
            reply = {"answers": answers, "model": body["model"], "usage": response_usage(usage)}
            return Done(msgspec.json.encode(reply), usage)

        return Job(model, _charge(prompt, None), run)

    def _quick_decision(self, content: bytes) -> Job:
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

    def _embedding(self, body: dict[str, Any], model: Model) -> Job:
        inputs = check_embedding(body, model)
        counts = [len(one) if isinstance(one, list) else self._tokenizer.count(one) for one in inputs]
        if max(counts) > model.max_input_tokens:
            text = f"This model's maximum input length is {model.max_input_tokens} tokens, got {max(counts)}."
            raise ApiError(400, text, code="context_length_exceeded", param="input")
        if sum(counts) > 300_000:
            text = f"Requested {sum(counts)} tokens, max 300000 tokens per request."
            raise ApiError(400, text, code="max_tokens_per_request", param="input")
        size = body.get("dimensions") or model.dimensions
        encoding = body.get("encoding_format") or "float"

        def run() -> Done:
            vectors = [encode_vector(embed(one, model.id, model.dimensions, size), encoding) for one in inputs]
            reply = {
                "object": "list",
                "data": [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)],
                "model": body["model"],
                "usage": {"prompt_tokens": sum(counts), "total_tokens": sum(counts)},
            }
            return Done(msgspec.json.encode(reply), Usage(input=sum(counts)))

        return Job(model, sum(len(one) if isinstance(one, list) else len(one) // 4 for one in inputs), run)

    def _moderation(self, body: dict[str, Any], model: Model) -> Job:
        texts = check_moderation(body)

        def run() -> Done:
            results = [moderate(text) for text in texts]
            reply = {"id": self._clock.new_id("modr"), "model": body.get("model") or model.id, "results": results}
            return Done(msgspec.json.encode(reply), None)

        return Job(model, sum(map(len, texts)) // 4, run)

    def _input_tokens(self, body: dict[str, Any], model: Model) -> Job:
        if body.get("input") is None:
            raise missing("input")
        wanted = (body.get("text") or {}).get("format")
        prompt = read_prompt(body["input"], body.get("instructions"), wanted, body.get("tools"))

        def run() -> Done:
            reply = {"object": "response.input_tokens", "input_tokens": self._count(prompt)}
            return Done(msgspec.json.encode(reply), None)

        return Job(model, None, run)

    def _count(self, prompt: Prompt) -> int:
        """Count a prompt: its text, four tokens around each message, three at the end, 85 for an image."""
        return self._tokenizer.count(prompt.text) + 4 * prompt.messages + 3 + 85 * prompt.images

    def _check_size(self, prompt: Prompt, model: Model, limit: int | None, *, can_cut: bool = False) -> None:
        most = model.max_input_tokens or model.context_window
        if can_cut or not most or len(prompt.text) + (limit or 0) < most:
            return
        tokens = self._count(prompt)
        if tokens > most or tokens + (limit or 0) > model.context_window:
            text = (
                f"This model's maximum context length is {model.context_window} tokens, of which at most {most} may be "
                f"input. However, your input has {tokens} tokens and {limit or 0} were asked for as output."
            )
            raise ApiError(400, text, code="context_length_exceeded", param="input")

    def _usage(self, prompt: Prompt, body: dict[str, Any], model: Model, text: Text) -> Usage:
        counted = self._count(prompt)
        cached = written = 0
        options = body.get("prompt_cache_options") or {}
        if counted >= 1024 and not self._fast and options.get("mode") != "explicit":
            partition = f"{model.id}\n{body.get('prompt_cache_key') or ''}"
            seconds = _HALF_DAY if options.get("ttl") == "12h" else _HALF_HOUR
            cached, written = self._cache.use(partition, self._tokenizer.blocks(prompt.text), seconds)
        return Usage(
            input=counted,
            cached=cached,
            cache_write=written if model.writes_cache else 0,
            output=(text.visible_tokens + text.reasoning_tokens) * (body.get("n") or 1),
            reasoning=text.reasoning_tokens * (body.get("n") or 1),
        )


def _charge(prompt: Prompt, limit: int | None, copies: int = 1) -> int:
    """Return what the limiter charges when the request comes in: characters / 4, and the most that may be written."""
    return len(prompt.text) // 4 + (limit or 0) * copies


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of this part."""
    desk = Desk(service)
    return [
        Route("POST", "/v1/responses", "responses", desk.prepare),
        Route("GET", "/v1/responses/{id}", "responses.retrieve", desk.retrieve),
        Route("POST", "/v1/responses/input_tokens", "input_tokens", desk.prepare),
        Route("POST", "/v1/chat/completions", "chat", desk.prepare),
        Route("POST", "/v1/decisions", "decisions", desk.prepare),
        Route("POST", "/v1/embeddings", "embeddings", desk.prepare),
        Route("POST", "/v1/moderations", "moderations", desk.prepare),
    ]
