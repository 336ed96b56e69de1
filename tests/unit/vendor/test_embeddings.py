"""Vectors out of a reply, whatever the server's way of writing them."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from penstock.base.errors import UnavailableError
from penstock.vendor.embeddings import read_vectors
from penstock.vendor.http import Reply


def pack(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def coded(*numbers: float) -> str:
    return base64.b64encode(pack(*numbers)).decode()


def reply(*vectors: Any, **rest: Any) -> Reply:
    data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
    body = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}, **rest}
    return Reply(200, {"x-request-id": "req_9"}, json.dumps(body).encode(), "host")


def test_base64_becomes_the_very_bytes_with_usage_model_and_request() -> None:
    seen = read_vectors(reply(coded(1.5, -2.0), coded(0.1, 3e-9)))
    assert seen.content == [pack(1.5, -2.0), pack(0.1, 3e-9)]
    assert (seen.usage.input, seen.model, seen.request_id, seen.error) == (7, "m", "req_9", None)


def test_numbers_of_a_server_that_ignores_the_wish_become_the_same_bytes() -> None:
    assert read_vectors(reply([1.5, -2], [0.25, 1])).content == [pack(1.5, -2.0), pack(0.25, 1.0)]


def test_vectors_are_put_in_the_order_of_their_index() -> None:
    data = [{"index": 1, "embedding": coded(1.0)}, {"index": 0, "embedding": coded(0.0)}]
    assert read_vectors(reply(data=data)).content == [pack(0.0), pack(1.0)]


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": coded(1.0)}, {"index": 0, "embedding": coded(2.0)}],
        [{"index": 1, "embedding": coded(1.0)}],
        [{"index": 0, "embedding": coded(1.0)}, {"index": 1, "embedding": coded(1.0, 2.0)}],
        [{"index": 0, "embedding": ""}],
        [{"index": 0, "embedding": "AAAA"}],
        [{"index": 0, "embedding": "no base64"}],
        [{"index": 0, "embedding": [1e300]}],
        [{"embedding": coded(1.0)}],
        [],
        "none",
    ],
)
def test_what_is_no_whole_set_of_vectors_stays_what_it_is(data: Any) -> None:
    seen = read_vectors(reply(data=data))
    assert seen.content["data"] == data
    assert seen.usage.input == 7


def test_a_page_in_place_of_json_is_an_error() -> None:
    seen = read_vectors(Reply(200, {}, b"<html>", "host"))
    assert isinstance(seen.error, UnavailableError)
