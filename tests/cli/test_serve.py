"""`penstock serve` and `penstock tokens` from the shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ended import Ended


def test_a_token_is_shown_once_and_listed_without_itself(penstock: Callable[..., Ended]) -> None:
    made = penstock("tokens", "add", "web-shop", "--allow", "events", "--mapping", "shopify-order", "--sandbox")
    assert made.code == 0
    token = made.out.strip()
    assert token.startswith("pst-web-shop.")
    listed = penstock("tokens", "list", "--json", "--sandbox")
    assert token not in listed.out
    (one,) = json.loads(listed.out)
    assert (one["name"], one["allow"], one["mapping"]) == ("web-shop", ["events"], "shopify-order")
    assert "web-shop" in penstock("tokens", "list", "--sandbox").out
    assert penstock("tokens", "remove", "web-shop", "--sandbox").code == 0
    assert json.loads(penstock("tokens", "list", "--json", "--sandbox").out) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tokens", "add", "Web Shop"), "token.bad-name"),
        (("tokens", "remove", "nobody"), "token.no-such-name"),
        (("serve", "--host", "0.0.0.0", "--no-auth"), "serve.no-auth"),
        (("serve", "--port", "70000"), "70000"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(
    penstock: Callable[..., Ended], arguments: tuple[str, ...], says: str
) -> None:
    ended = penstock(*arguments, "--sandbox")
    assert ended.code == 2
    assert says in ended.err
    assert ended.out == ""


def test_a_port_that_is_taken_is_named(penstock: Callable[..., Ended], tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = penstock("serve", "--port", str(port), "--sandbox", "--no-auth")
    assert ended.code == 2
    assert "serve.port-taken" in ended.err
    assert str(port) in ended.err
