"""What operations send, held against the vendor's own description of its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openai_server import make_check
from penstock.base.errors import InputError
from penstock.operations.catalogue import Entry, all_operations
from penstock.operations.declare import ModelChoice
from penstock.runtime.ask import Ask
from penstock.vendor.models import Model, load_catalogue

SCHEMAS = {
    "/responses": "CreateResponse",
    "/chat/completions": "CreateChatCompletionRequest",
    "/moderations": "CreateModerationRequest",
    "/embeddings": "CreateEmbeddingRequest",
    "/images/generations": "CreateImageRequest",
    "/audio/speech": "CreateSpeechRequest",
    "/responses/input_tokens": "TokenCountsBody",
}
WISHES: tuple[dict[str, Any], ...] = (
    {}, {"effort": "high"}, {"temperature": 0.2, "top_p": 0.5}, {"stop": ["#", "."]}, {"verbosity": "low", "seed": 3},
    {"answer_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}, "max_tokens": 5},
    {"answer_schema": {"type": "array", "items": {"type": "string"}}, "frequency_penalty": 1.5},
)  # fmt: skip

every_operation = pytest.mark.parametrize("entry", all_operations(), ids=lambda entry: entry.name)


@pytest.fixture(scope="module")
def check() -> Callable[[str, Any], None]:
    made: Callable[[str, Any], None] = make_check()
    return made


def models_of(kind: str) -> list[Model]:
    return [one for one in load_catalogue().all() if one.kind == kind and one.apis] or [Model(id="", known=False)]


def check_body(check: Callable[[str, Any], None], ask: Ask) -> None:
    """Hold a body against its schema; messages on their own, because they fit two of the offered kinds at once."""
    items = ask.body.get("input") if ask.path == "/responses" else None
    if isinstance(items, list):
        for item in items:
            check("EasyInputMessage", item)
        check(SCHEMAS[ask.path], {**ask.body, "input": "checked already"})
    else:
        check(SCHEMAS[ask.path], ask.body)


@every_operation
def test_the_body_fits_for_every_model_and_wish(entry: Entry, check: Callable[[str, Any], None]) -> None:
    operation = entry.load()
    sent = set()
    for model in models_of(operation.kind) if entry.name != "decide" else ():  # the description is older than decisions
        for wishes in WISHES if "seed" in operation.input.model_fields else ({},):
            given = operation.parse({**operation.example, **wishes})
            choice = ModelChoice(model, tier="flex" if "seed" in wishes else "default")
            try:
                prepared = operation.prepare(given, choice)
            except InputError as error:  # such a model is not asked at all
                assert error.code == "parameters.not-taken", error  # noqa: PT017
                continue
            if isinstance(prepared, Ask) and prepared.path in SCHEMAS and not prepared.files:
                check_body(check, prepared)
                sent.add(prepared.path)
    if not sent:
        pytest.skip("nothing that the description knows as JSON: decisions, lists and forms with files")
