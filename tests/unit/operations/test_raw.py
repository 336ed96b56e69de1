from typing import Any

import pytest

from fake_asker import FakeAsker, choose
from penstock.base.errors import InputError
from penstock.operations import raw
from penstock.operations.raw import Input


async def test_the_body_is_sent_as_it_is_and_the_reply_given_as_it_came() -> None:
    asker = FakeAsker({"anything": [1]})
    output = await raw.run(asker, Input(path="/new/endpoint?x=1", body={"a": {"b": None}}), choose())
    (ask,) = asker.asked
    assert (ask.path, ask.body, ask.method) == ("/new/endpoint?x=1", {"a": {"b": None}}, "POST")
    assert output.content == {"anything": [1]}


def test_what_may_change_something_is_never_sent_twice_and_never_held() -> None:
    flags = {
        method: raw.prepare(Input(path="/files/f1", method=method), choose()) for method in ("GET", "POST", "DELETE")
    }
    assert {method: ask.is_once for method, ask in flags.items()} == {"GET": False, "POST": True, "DELETE": True}
    assert not any(ask.is_kept for ask in flags.values())


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"model": "gpt-6-luna", "max_output_tokens": 9}, 9),
        ({"model": "gpt-4.1", "max_tokens": 9}, 9),
        ({"model": "gpt-6-luna"}, 128_000),
        ({"model": "gpt-6-luna", "max_output_tokens": "many"}, 128_000),
        ({"model": "my-own-model"}, raw.LONGEST),
    ],
)
def test_money_is_put_aside_for_the_longest_answer_that_the_body_allows(body: dict[str, Any], limit: int) -> None:
    assert raw.prepare(Input(path="/responses", body=body), choose()).max_output_tokens == limit


def test_model_and_tier_of_the_body_are_those_of_the_books() -> None:
    ask = raw.prepare(Input(path="/responses", body={"model": "gpt-4.1", "service_tier": "flex"}), choose())
    assert (ask.model, ask.tier) == ("gpt-4.1", "flex")


@pytest.mark.parametrize(
    "path", ["responses", "//evil.example/x", "/../admin", "/a/../../b", "/\\evil.example", "http://evil.example", "/"]
)
def test_a_path_that_leaves_the_connection_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="path"):
        raw.OPERATION.parse({"path": path})


@pytest.mark.parametrize("path", ["/%2e%2e/admin", "/a\r\nHost: evil.example", "/a b", "/\u00e4", "/a#b"])
def test_a_path_that_is_not_written_as_it_travels_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="path"):
        raw.OPERATION.parse({"path": path})
