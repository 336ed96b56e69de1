"""Our token counts against `tiktoken`, on the ranks that the vendor publishes, without a network."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from penstock.vendor.models import load_catalogue
from penstock.vendor.tokens import count_tokens, encoding_of, is_assumed, is_exact

PUBLISHED = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""SHA-256 of the rank files, as tiktoken 0.14 expects them."""
URL = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
MODELS = {"o200k_base": "gpt-6-luna", "cl100k_base": "text-embedding-3-small"}
TEXTS = json.loads((Path(__file__).parents[1] / "unit" / "vendor" / "texts.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(not is_exact(), reason="needs the extra penstock[tokens]")


def ranks(name: str) -> bytes:
    package = find_spec("bpe_openai")  # not imported: that would read every rank
    assert package is not None
    assert package.origin is not None
    return gzip.decompress((Path(package.origin).parent / "data" / f"{name}.tiktoken.gz").read_bytes())


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tiktoken.Encoding]]:
    """Give tiktoken the rank files where it looks for its downloads."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in PUBLISHED:
        address = hashlib.sha1(URL.format(name=name).encode(), usedforsecurity=False).hexdigest()
        (folder / address).write_bytes(ranks(name))
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    yield {name: tiktoken.get_encoding(name) for name in PUBLISHED}
    os.environ.pop("TIKTOKEN_CACHE_DIR")
    if before is not None:
        os.environ["TIKTOKEN_CACHE_DIR"] = before


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_ranks_are_those_that_the_vendor_publishes(name: str) -> None:
    assert hashlib.sha256(ranks(name)).hexdigest() == PUBLISHED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_real_texts_count_as_tiktoken_counts_them(peers: dict[str, tiktoken.Encoding], name: str) -> None:
    for text in (
        *TEXTS["feedback"].values(),
        *TEXTS["other"].values(),
        "",
        " ",
        "\n\n\t x",
        "<|endoftext|>",
        "a" * 5000,
    ):
        assert count_tokens(text, MODELS[name]) == len(peers[name].encode(text, disallowed_special=())), text[:40]


@pytest.mark.slow
@given(text=st.text(max_size=400))
def test_any_text_counts_as_tiktoken_counts_it(peers: dict[str, tiktoken.Encoding], text: str) -> None:
    for name, model in MODELS.items():
        assert count_tokens(text, model) == len(peers[name].encode(text, disallowed_special=()))


@pytest.mark.parametrize("model", MODEL_TO_ENCODING)
def test_a_model_that_tiktoken_knows_has_the_same_encoding_here(model: str) -> None:
    if MODEL_TO_ENCODING[model] in PUBLISHED:
        assert encoding_of(model) == MODEL_TO_ENCODING[model]
        assert not is_assumed(model)


@pytest.mark.parametrize("prefix", MODEL_PREFIX_TO_ENCODING)
def test_a_family_that_tiktoken_knows_has_the_same_encoding_here(prefix: str) -> None:
    if MODEL_PREFIX_TO_ENCODING[prefix] in PUBLISHED:
        assert encoding_of(f"{prefix}x" if prefix.endswith("-") else f"{prefix}-x") == MODEL_PREFIX_TO_ENCODING[prefix]


def test_what_no_source_names_is_marked_as_assumed() -> None:
    assumed = {model.id for model in load_catalogue().all() if model.kind == "chat" and is_assumed(model.id)}
    families = ("gpt-5.5", "gpt-5.6", "gpt-6")
    assert assumed == {model.id for model in load_catalogue().all() if model.id.startswith(families)}
    assert is_assumed("house-model")
    assert encoding_of("house-model") == "o200k_base"
