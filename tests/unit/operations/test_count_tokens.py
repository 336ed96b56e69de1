from typing import Any

import pytest

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import OutputError
from penstock.operations import count_tokens
from penstock.operations.count_tokens import Input
from penstock.vendor import tokens


async def test_the_vendor_counts_for_free() -> None:
    asker = FakeAsker({"object": "response.input_tokens", "input_tokens": 13})
    output = await count_tokens.run(asker, Input(text="Hi.", instructions="Be kind."), choose())
    assert (output.tokens, output.method) == (13, "vendor")
    (ask,) = asker.asked
    assert (ask.path, ask.is_free) == ("/responses/input_tokens", True)
    assert ask.body == {"model": "gpt-6-luna", "input": "Hi.", "instructions": "Be kind."}


async def test_this_machine_counts_without_a_call() -> None:
    asker = FakeAsker()
    output = await count_tokens.run(asker, Input(text="Rain in May.", method="here"), choose())
    assert (output.tokens, output.method) == (tokens.count_tokens("Rain in May.", "gpt-6-luna"), "here")


@pytest.mark.parametrize("content", [{}, None, {"input_tokens": "13"}, {"input_tokens": None}, {"input_tokens": True}])
def test_a_reply_without_a_count_is_an_error(content: Any) -> None:
    with pytest.raises(OutputError):
        count_tokens.read(Input(text="Hi."), answer(content))
