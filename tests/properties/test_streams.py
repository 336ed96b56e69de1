"""However a stream is cut into parts, and whatever it holds: the same events, one end, never a crash."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import UnavailableError
from penstock.operations.parameters import cut_at
from penstock.runtime.stream import Speaker
from penstock.sandbox.openai_streams import chat_chunks
from penstock.vendor.http import Incoming
from penstock.vendor.openai_stream import hear
from penstock.vendor.sse import EventReader

LINES = st.sampled_from(
    [b"data: one", b"data:two", b"data", b"event: error", b": quiet", b"id: 7", b"", b"data:  {", b"x", b"\xff\xfe"]
)
BREAKS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, BREAKS), max_size=12).map(lambda lines: b"".join(a + b for a, b in lines))

NAMES = (
    *("type", "delta", "item", "response", "output_index", "output", "choices", "index", "message", "content"),
    *("refusal", "finish_reason", "usage", "tool_calls", "function", "function_call", "arguments", "name", "id"),
    *("logprobs", "annotations", "error", "code"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "stop", "message", "error", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CHAT_CHUNKS = st.lists(
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({}, optional={"delta": JSON, "index": JSON, "logprobs": JSON}))},
        optional={"usage": JSON, "model": JSON, "error": JSON},
    )
    | JSON,
    max_size=4,
)
KINDS = st.sampled_from(
    ["response.output_text.delta", "response.output_item.done", "response.completed", "response.failed", "error", "odd"]
)
RESPONSE_EVENTS = st.lists(
    st.builds(lambda kind, rest: {**(rest if isinstance(rest, dict) else {}), "type": kind}, KINDS, JSON), max_size=4
)


def read_events(parts):
    reader = EventReader()
    events = [event for part in parts for event in reader.feed(part)]
    return [*events, *reader.end()]


def cut(data, stream):
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def incoming(parts, content_type="text/event-stream"):
    rest = list(parts)

    async def read():
        return rest.pop(0) if rest else None

    return Incoming(200, {"content-type": content_type}, "api.openai.com", read, 10.0)


def hear_all(parts, *, is_chat):
    said = []
    exchange = asyncio.run(hear(incoming(parts), said.append, is_chat=is_chat))
    return said, exchange


@given(STREAMS, st.data())
def test_events_are_the_same_however_the_stream_is_cut(stream, data):
    assert read_events(cut(data, stream)) == read_events([stream])


@given(st.binary(max_size=60), st.data())
def test_any_bytes_are_read_alike_in_one_part_and_in_many(stream, data):
    assert read_events(cut(data, stream)) == read_events([stream])


def test_a_break_of_two_characters_may_be_cut_between_them():
    assert read_events([b"data: a\r", b"\n\r", b"\ndata: b\n\n"]) == read_events([b"data: a\n\ndata: b\n\n"])


def test_an_event_leaves_with_the_part_that_completes_it():
    reader = EventReader()
    assert reader.feed(b"data: a\r\n\r") != []
    assert reader.feed(b"\ndata: b\r\n") == []
    assert [event.data for event in reader.feed(b"\r\n")] == [b"b"]


def test_lines_of_data_are_joined_and_a_mark_at_the_beginning_is_no_text():
    events = read_events([b"\xef\xbb\xbfdata: a\ndata:  b\nevent: x\n\n"])
    assert events == [("x", b"a\n b")]


@pytest.mark.parametrize("is_chat", [True, False])
@given(events=CHAT_CHUNKS | RESPONSE_EVENTS)
def test_whatever_the_events_hold_the_answer_ends_or_is_broken(is_chat, events):
    parts = [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events]
    try:
        _, exchange = hear_all(parts, is_chat=is_chat)
    except UnavailableError:
        return
    assert exchange.error is not None or isinstance(exchange.content, dict)


@given(st.binary(max_size=80), st.booleans())
def test_bytes_that_are_no_answer_are_a_broken_one(stream, is_chat):
    with pytest.raises(UnavailableError):
        hear_all([stream], is_chat=is_chat)


FINAL = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-6-luna",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Wörter mit Umlauten – und 漢字.",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12},
    "service_tier": "default",
}


@given(st.data())
def test_a_chat_answer_is_the_same_however_its_bytes_are_cut(data):
    stream = b"".join(chat_chunks(FINAL, include_usage=True))
    said, exchange = hear_all(cut(data, stream), is_chat=True)
    assert "".join(said) == FINAL["choices"][0]["message"]["content"]
    assert exchange.content == FINAL


LETTERS = st.text("abc", max_size=30)


@given(LETTERS, st.lists(st.text("abc", max_size=5), max_size=4), st.data())
def test_a_text_in_pieces_ends_where_the_whole_text_would(text, stops, data):
    said = []
    speaker = Speaker(said.append, stops)
    for piece in cut(data, text):
        speaker.hear(piece)
        assert cut_at(text, stops).startswith("".join(said))
    speaker.end()
    assert "".join(said) == cut_at(text, stops)
    assert "" not in said


@given(LETTERS, st.data())
def test_without_stop_texts_every_piece_is_given_out_at_once(text, data):
    said = []
    speaker = Speaker(said.append)
    for piece in cut(data, text):
        speaker.hear(piece)
        assert text.startswith("".join(said))
        assert not piece or said[-1] == piece
