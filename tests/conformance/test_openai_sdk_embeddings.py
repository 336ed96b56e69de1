"""Our vectors beside those of the official SDK, and our requests beside the published description."""

from __future__ import annotations

import numpy
import openai
import pytest

from embedding_vendor import choose
from openai_server import OpenAIServer, make_check
from penstock.operations.declare import ModelChoice
from penstock.operations.parcels import make_ask
from penstock.runtime.ask import Ask
from penstock.vendor.embeddings import read_vectors
from penstock.vendor.http import Http
from penstock.vendor.openai import Exchange, OpenAI

TEXTS = ["late parcel", "late delivery", "blue sky", "Größe passt 🎉"]


@pytest.fixture(scope="module")
def conforms():
    return make_check()


@pytest.fixture(scope="module")
def server():
    with OpenAIServer() as server:
        yield server


async def post(server: OpenAIServer, ask: Ask) -> Exchange:
    http = Http()
    try:
        client = OpenAI(http, "sk-test", base_url=server.url)
        return await client.post(ask.path, ask.content, "pk-1", read=read_vectors)
    finally:
        await http.close()


@pytest.mark.parametrize("dimensions", [None, 1, 256])
def test_our_request_is_the_described_one(conforms, dimensions):
    conforms("CreateEmbeddingRequest", make_ask(choose(), TEXTS, 9, dimensions, frozenset()).body)


@pytest.mark.parametrize("dimensions", [None, 256])
@pytest.mark.parametrize("refused", [frozenset(), frozenset({"encoding_format"})])
async def test_we_read_the_numbers_that_the_sdk_reads(server, dimensions, refused):
    ask = make_ask(choose(), TEXTS, 9, dimensions, refused)
    seen = await post(server, ask)
    client = openai.AsyncOpenAI(api_key="sk-test", base_url=server.url)
    size = {} if dimensions is None else {"dimensions": dimensions}
    theirs = await client.embeddings.create(model="text-embedding-3-small", input=TEXTS, **size)
    await client.close()
    ours = numpy.frombuffer(b"".join(seen.content), "<f4").reshape(len(TEXTS), -1)
    assert numpy.allclose(ours, [one.embedding for one in theirs.data], atol=1e-7)
    assert seen.usage.input == theirs.usage.prompt_tokens


async def test_a_plain_server_gives_its_vectors_too(server):
    choice = ModelChoice(choose("bge-small").model, connection="own")
    plain = OpenAI(http := Http(), "sk-test", base_url=server.url.replace("/openai/v1", "/plain/v1"))
    seen = await plain.post(
        "/embeddings", make_ask(choice, TEXTS, 9, None, frozenset()).content, "pk-1", read=read_vectors
    )
    await http.close()
    assert seen.error is None
    assert [len(row) for row in seen.content] == [4 * 384] * len(TEXTS)
