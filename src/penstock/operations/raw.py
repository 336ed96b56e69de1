"""raw: Call any endpoint of the connection, with the body as it is.

For what has no operation of its own. Nothing is translated, held or repeated; the key never
leaves the connection's own host.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator

from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.models import load_catalogue
from penstock.vendor.tokens import count_tokens

LONGEST = 128_000
"""Tokens put aside for an answer that the body does not limit, of a model whose own limit is unknown."""
_PATH = re.compile(r"/(?!/)[A-Za-z0-9\-._~%!$&'()*+,;=:@/?\[\]]+")
_WRITERS = ("/responses", "/chat/completions", "/completions")


class Input(Fields):
    """What to send, and where."""

    path: str = Field(min_length=2)
    """Path below the connection's base URL, such as `/responses/resp_123`, with its query if there is one."""
    method: Literal["POST", "GET", "DELETE"] = "POST"
    """HTTP method."""
    body: dict[str, Any] = Field(default={})
    """JSON body of a POST, exactly as it is sent."""
    reply: Literal["json", "media"] = "json"
    """What is expected: JSON, or a file or plain text."""

    @field_validator("path")
    @classmethod
    def _stays_on_the_host(cls, path: str) -> str:
        steps = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
        if not _PATH.fullmatch(path) or ".." in steps:
            raise ValueError("a path begins with one /, stays below the connection's base URL, and is URL-encoded")
        return path

    @field_validator("body")
    @classmethod
    def _comes_whole(cls, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("stream"):
            raise ValueError("a reply is read whole here: leave stream out (respond and chat give text as it comes)")
        return body


class Output(Fields):
    """What came back."""

    content: Any
    """The decoded reply."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Call it; raises the typed error of a refusal."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    model = str(input.body.get("model") or "")
    limits = (input.body.get(name) for name in ("max_output_tokens", "max_completion_tokens", "max_tokens"))
    limit = next((value for value in limits if isinstance(value, int)), None)
    if limit is None:
        limit = (load_catalogue().find(model).max_output_tokens or LONGEST) if input.path in _WRITERS else 0
    return Ask(
        OPERATION.name,
        OPERATION.version,
        input.path,
        model,
        dict(input.body),
        count_tokens(str(input.body), model) if input.body else 0,
        limit,
        connection=choice.connection,
        tier=str(input.body.get("service_tier") or choice.tier),
        method=input.method,
        reply=input.reply,
        is_kept=False,
        is_once=input.method != "GET",
        is_free=input.method != "POST",
    )


def read(input: Input, answer: Answer) -> Output:  # noqa: ARG001 - whatever came is the output
    """Give the reply as it came."""
    return Output(content=answer.content)


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    kind="unknown",
    example={
        "path": "/responses",
        "body": {"model": "gpt-6-luna", "input": "Write one line about rain.", "max_output_tokens": 400},
    },
)
