"""The files of a batch: the input checked line by line, and the lines of output and errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from penstock.sandbox.openai_models import Model, Models

MOST_LINES = 50_000
_MOST_BYTES = 200_000_000
_MOST_EMBEDDINGS = 50_000
_MOST_FAULTS = 100
_IMAGE_MODELS = frozenset(["gpt-image-2", "gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"])
"""Image models with a batch price; the page of 2.5-flare says that it has none (contract 2.14)."""


class Line(NamedTuple):
    """One request of a batch."""

    custom_id: str
    body: bytes


class Checked(NamedTuple):
    """What was read of an input file: its lines, its model, and what is wrong with it (empty: nothing)."""

    lines: list[Line]
    model: Model | None
    faults: list[dict[str, Any]]


class _Row(msgspec.Struct):
    custom_id: str = ""
    method: str = ""
    url: str = ""
    body: msgspec.Raw = msgspec.Raw(b"")


class _Head(msgspec.Struct):
    model: str = ""
    input: Any = None


def check_input(content: bytes, endpoint: str, models: Models, now: float) -> Checked:
    """Read an input file of JSON lines; every fault has a code and, where there is one, its line from 1."""
    if len(content) > _MOST_BYTES:
        return Checked([], None, [_fault("file_too_large", "The input file is larger than 200 MB.")])
    rows = [(at, row) for at, row in enumerate(content.split(b"\n"), 1) if row.strip()]
    if not rows or len(rows) > MOST_LINES:
        code = "too_many_tasks" if rows else "empty_file"
        return Checked([], None, [_fault(code, f"The input file has {len(rows)} requests, 1 to {MOST_LINES} can be.")])
    reader = _Reader(endpoint)
    for at, row in rows:
        reader.read(at, row)
        if len(reader.faults) >= _MOST_FAULTS:
            break
    model = models.find(reader.model, now) if reader.model else None
    if not reader.faults and (model is None or not _takes_batches(model)):
        text = f"The provided model '{reader.model}' is not supported by the Batch API."
        reader.faults.append(_fault("model_not_found", text, param="body.model", line=rows[0][0]))
    if reader.embedded > _MOST_EMBEDDINGS:
        text = f"The input file has {reader.embedded} inputs to embed, at most {_MOST_EMBEDDINGS} can be."
        reader.faults.append(_fault("too_many_inputs", text))
    return Checked(reader.lines, model, reader.faults)


class _Reader:
    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._seen: set[str] = set()
        self.lines: list[Line] = []
        self.faults: list[dict[str, Any]] = []
        self.model = ""
        self.embedded = 0

    def read(self, at: int, text: bytes) -> None:
        """Take one line, or note what is wrong with it."""
        try:
            row = msgspec.json.decode(text, type=_Row)
            head = msgspec.json.decode(bytes(row.body) or b"{}", type=_Head)
        except msgspec.DecodeError as error:
            self.faults.append(_fault("invalid_json_line", f"This line is not a request in JSON: {error}.", line=at))
            return
        fault = self._find_fault(at, row, head)
        if fault is not None:
            self.faults.append(fault)
            return
        self._seen.add(row.custom_id)
        if self._endpoint == "/v1/embeddings":
            self.embedded += len(head.input) if isinstance(head.input, list) else 1
        self.lines.append(Line(row.custom_id, bytes(row.body)))

    def _find_fault(self, at: int, row: _Row, head: _Head) -> dict[str, Any] | None:
        # Moderations may leave the model out; theirs is then the usual one.
        model = head.model or ("omni-moderation-latest" if self._endpoint == "/v1/moderations" else "")
        self.model = self.model or model
        checks = (
            (not row.custom_id, "missing_required_parameter", "custom_id", "Missing required parameter: 'custom_id'."),
            (not bytes(row.body), "missing_required_parameter", "body", "Missing required parameter: 'body'."),
            (
                row.custom_id in self._seen,
                "duplicate_custom_id",
                "custom_id",
                f"The custom_id '{row.custom_id}' is used twice.",
            ),
            (row.method != "POST", "invalid_method", "method", "The method must be POST."),
            (
                row.url != self._endpoint,
                "invalid_url",
                "url",
                f"The URL '{row.url}' is not the endpoint of the batch, '{self._endpoint}'.",
            ),
            (not model, "missing_required_parameter", "body.model", "Missing required parameter: 'body.model'."),
            (
                model != self.model,
                "mismatched_model",
                "body.model",
                f"The model '{model}' is not that of the lines before, '{self.model}'.",
            ),
        )
        for is_wrong, code, param, text in checks:
            if is_wrong:
                return _fault(code, text, param=param, line=at)
        return None


def _fault(code: str, message: str, *, param: str | None = None, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}


def _takes_batches(model: Model) -> bool:
    return "batch" in model.apis or model.id in _IMAGE_MODELS


def write_answer(identity: str, request_id: str, line: Line, status: int, content: bytes) -> bytes:
    """Return the line of a request that was answered, well or not."""
    response = {"status_code": status, "request_id": request_id, "body": msgspec.Raw(content)}
    return msgspec.json.encode({"id": identity, "custom_id": line.custom_id, "response": response, "error": None})


def write_error(identity: str, line: Line, code: str, message: str) -> bytes:
    """Return the line of a request that was never answered."""
    error = {"code": code, "message": message}
    return msgspec.json.encode({"id": identity, "custom_id": line.custom_id, "response": None, "error": error})
