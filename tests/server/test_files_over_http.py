"""Files over HTTP: parts of a form, data URLs and base64; never a path of the server."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from service import Client, open_service

from penstock.sandbox.pixels import draw_look, encode_picture

PNG = encode_picture(draw_look("x"), 64, 64, "png")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_service(tmp_path) as client:
        yield client


@pytest.mark.parametrize("suffix", ["", "/preview"])
@pytest.mark.parametrize("path", ["/etc/hostname", "x.png", {"path": "x.png"}])
async def test_a_path_of_the_server_is_never_read(client: Client, tmp_path: Path, suffix: str, path: object) -> None:
    (tmp_path / "x.png").write_bytes(PNG)
    body = {"input": {"text": "What is it?", "images": [path]}}
    answered = await client.post(f"/v1/operations/analyze-image{suffix}", body)
    assert (answered.status, answered.problem["code"]) == (422, "operation.bad-input")
    assert "paths are not read here" in answered.problem["detail"]


async def test_no_stream_reads_a_path_either(client: Client) -> None:
    body = {"input": {"text": "What is it?", "images": ["/etc/hostname"]}}
    answered = await client.post("/v1/operations/analyze-image", body, accept="text/event-stream")
    assert "paths are not read here" in answered.problem["detail"]


async def test_files_of_a_form_are_pictures_and_the_result_carries_them(client: Client) -> None:
    request = json.dumps({"input": {"text": "Paint it blue", "quality": "low"}}).encode()
    lines = [b'--edge\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + request]
    head = b'--edge\r\nContent-Disposition: form-data; name="images[]"; filename="x.png"\r\n'
    head += b"Content-Type: image/png\r\n\r\n"
    lines += [head + PNG, head + PNG, b"--edge--"]
    kind = "multipart/form-data; boundary=edge"
    answered = await client.post("/v1/operations/edit-image", b"\r\n".join(lines), content_type=kind)
    assert answered.status == 200, answered.body
    picture = answered.json()["output"]["images"][0]
    assert (picture["media_type"], picture["name"]) == ("image/png", "picture-1.png")
    assert base64.b64decode(picture["base64"]).startswith(b"\x89PNG")
    in_python = await client.app.workspace.operations.edit_image(text="Paint it blue", quality="low", images=[PNG, PNG])
    assert (in_python.output, in_python.cached) == (answered.json()["output"], True)


async def test_what_is_no_picture_is_refused_and_named(client: Client) -> None:
    body = {"input": {"text": "x", "images": [base64.b64encode(b"%PDF-1.7 and so on").decode()]}}
    answered = await client.post("/v1/operations/analyze-image", body)
    assert (answered.status, answered.problem["code"]) == (422, "operation.bad-input")
    assert "images" in answered.problem["detail"]
    assert "application/pdf" in answered.problem["detail"]
