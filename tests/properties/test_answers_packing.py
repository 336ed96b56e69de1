"""What is stored comes back whole or counts as absent; addresses depend on all that matters and on nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.types import Usage
from penstock.runtime.answers import pack, unpack
from penstock.runtime.ask import Answer, Ask

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
ANSWERS = st.builds(
    lambda content, cost, long: Answer([content] * (200 if long else 1), Usage(7), cost, "m", "default", "req", 1.0),
    JSON,
    st.none() | st.integers(0, 10**15),
    st.booleans(),
)


@given(ANSWERS)
def test_an_answer_comes_back_as_it_was_and_says_that_it_was_held(answer: Answer) -> None:
    found = unpack(pack(answer))
    assert found is not None
    assert found.content == answer.content
    assert msgspec.structs.replace(found, body=answer.body) == msgspec.structs.replace(answer, cached=True)


@given(JSON)
def test_a_body_is_kept_as_it_came(content: object) -> None:
    body = json.dumps([content], indent=2).encode()
    found = unpack(pack(Answer(msgspec.Raw(body), Usage(7), 5, "m", "default", "req", 1.0)))
    assert found is not None
    assert (bytes(found.body), found.content) == (body, [content])


@given(ANSWERS, st.data())
def test_a_torn_answer_counts_as_absent(answer: Answer, data: st.DataObject) -> None:
    stored = pack(answer)
    assert unpack(stored[: data.draw(st.integers(0, len(stored) - 1))]) is None


@given(ANSWERS, st.data())
def test_a_flipped_bit_counts_as_damage(answer: Answer, data: st.DataObject) -> None:
    stored = bytearray(pack(answer))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert unpack(bytes(stored)) is None


@given(st.binary(max_size=200))
def test_rubbish_is_never_an_answer_and_never_an_error(stored: bytes) -> None:
    assert unpack(stored) is None


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def make_ask(**changes: Any) -> Ask:
    values = {"operation": "decide", "version": 1, "path": "/decisions", "model": "m", "prompt_tokens": 1}
    return Ask(**{**values, "body": {"model": "m"}, **changes})


@given(st.dictionaries(TEXTS, JSON, max_size=5))
def test_the_order_of_keys_changes_no_address(body: dict[str, Any]) -> None:
    assert make_ask(body=body).address("a") == make_ask(body=shuffled(body)).address("a")


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_estimates_change_no_address(prompt: int, output: int) -> None:
    ask = make_ask(prompt_tokens=prompt, max_output_tokens=output)
    assert ask.address("a") == make_ask().address("a")


def test_everything_that_changes_the_answer_changes_the_address() -> None:
    addresses = [
        make_ask().address("a"),
        make_ask().address("b"),
        make_ask(operation="respond").address("a"),
        make_ask(version=2).address("a"),
        make_ask(path="/responses").address("a"),
        make_ask(tier="flex").address("a"),
        make_ask(body={"model": "other"}).address("a"),
        make_ask(body={"model": "m", "input": "x"}).address("a"),
        make_ask(body={"model": "m", "input": "x "}).address("a"),
    ]
    assert len(set(addresses)) == len(addresses)
    assert all(len(address) == 16 for address in addresses)
