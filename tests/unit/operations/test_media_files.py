"""Files into operations: every form, every refusal, and who may read paths."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_asker import choose
from penstock.base.errors import InputError
from penstock.operations import edit_image, transcribe
from penstock.operations.files import (
    ANY_PATH,
    MASK,
    NO_PATHS,
    PICTURE,
    RECORDING,
    File,
    FilePolicy,
    load_files,
    made_file,
    read_file,
)
from penstock.operations.media import RED_SQUARE, measure_picture, name_file, sniff
from penstock.sandbox.pixels import draw_look, encode_picture
from penstock.sandbox.sound import TYPES, Speech, encode_speech

PNG = base64.b64decode(RED_SQUARE)
MP3 = encode_speech(Speech("Hello", 1.0), "mp3")
URL = "https://files.example/shoes.png?signature=x"


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "shoes.png"
    path.write_bytes(PNG)
    return path


@pytest.mark.parametrize(
    "value",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        RED_SQUARE,
        f"{RED_SQUARE[:40]}\n{RED_SQUARE[40:]}",
        f"data:image/png;base64,{RED_SQUARE}",
        f"DATA:image/jpeg;name=x.jpg;BASE64,{RED_SQUARE}",
        {"base64": RED_SQUARE},
        {"url": f"data:image/png;base64,{RED_SQUARE}", "name": "picture.png"},
    ],
)
def test_bytes_base64_and_data_urls_are_the_same_file(value: Any) -> None:
    assert read_file(value, PICTURE) == File("picture.png", "image/png", PNG)


@pytest.mark.parametrize("value", ["path", "object", "Path"])
def test_a_path_is_read_for_who_may_read_it(png: Path, value: str) -> None:
    given: dict[str, Any] = {"path": str(png), "object": {"path": str(png)}, "Path": png}
    assert read_file(given[value], PICTURE, ANY_PATH) == File("shoes.png", "image/png", PNG)


@pytest.mark.parametrize("there", [True, False])
def test_a_caller_from_outside_does_not_learn_whether_a_path_exists(png: Path, there: bool) -> None:
    path = str(png) if there else "/nowhere/at/all.png"
    for value in (path, {"path": path}):
        with pytest.raises(ValueError, match="paths are not read here"):
            read_file(value, PICTURE, NO_PATHS)


def test_without_a_policy_no_path_is_read(png: Path) -> None:
    with pytest.raises(InputError, match=r"images\.?0?: .*paths are not read here|paths are not read here"):
        edit_image.OPERATION.parse({"text": "x", "images": [str(png)]})
    assert edit_image.OPERATION.parse({"text": "x", "images": [str(png)]}, ANY_PATH).images[0].data == PNG


def test_a_policy_of_folders_keeps_to_them(png: Path, tmp_path: Path) -> None:
    inside = FilePolicy((png.parent,))
    assert read_file(str(png), PICTURE, inside).data == PNG
    assert read_file("shoes.png", PICTURE, inside).data == PNG
    other = tmp_path / "other"
    other.mkdir()
    (other / "link.png").symlink_to(png)
    for path in (str(png), "../shoes.png", "link.png"):
        with pytest.raises(ValueError, match="outside of the folders"):
            read_file(path, PICTURE, FilePolicy((other,)))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "neither a path"),
        ("shoes.png", "no file 'shoes.png'"),
        ("a\0b", "neither a path"),
        ("x" * 5000, "neither a path"),
        (7, "not int"),
        (None, "not NoneType"),
        ([PNG], "not list"),
        ({}, "one of base64, url and path"),
        ({"base64": RED_SQUARE, "url": URL}, "one of base64, url and path"),
        ({"base64": 7}, "one of base64, url and path"),
        ({"base64": RED_SQUARE, "kind": "png"}, "one of base64, url and path"),
        ({"base64": "????"}, "not valid base64"),
        ("data:image/png;base64,????", "data:TYPE;base64"),
        ("data:image/png", "data:TYPE;base64|empty"),
        ("data:text/plain,hello", "no known kind"),
        ("http://files.example/x.png", "only https: and data:"),
        ("file:///etc/passwd", "only https: and data:"),
        ("ftp://files.example/x.png", "only https: and data:"),
        ("https://[::1", "cannot be read"),
        (b"", "empty"),
        (b"GIF89a....", "is image/gif; taken are png, jpg, webp"),
        (MP3, "is audio/mpeg"),
        (b"%PDF-1.7", "is application/pdf"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_reason(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_file(value, PICTURE, ANY_PATH)


def test_a_name_that_lies_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(MP3)
    with pytest.raises(ValueError, match="told from the content, not the name"):
        read_file(str(path), PICTURE, ANY_PATH)
    assert read_file(str(path), RECORDING, ANY_PATH).name == "photo.png.mp3"


@pytest.mark.parametrize("rule", [PICTURE, MASK, RECORDING])
def test_what_is_too_large_is_refused_before_it_is_read(rule: Any, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(rule.most_bytes + 1)
    with pytest.raises(ValueError, match=f"takes up to {rule.most_bytes:,}"):
        read_file(path, rule)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", [(1024, 1024), (1536, 1024), (17, 300)])
def test_kind_and_size_of_a_picture_are_read_from_its_bytes(kind: str, size: tuple[int, int]) -> None:
    data = encode_picture(draw_look("x"), *size, kind)
    assert (sniff(data), measure_picture(data)) == (f"image/{kind}", size)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "pcm"])
def test_the_kind_of_a_recording_is_read_from_its_bytes(kind: str) -> None:
    expected = {"opus": "audio/ogg"}.get(kind, TYPES[kind].decode())
    found = sniff(encode_speech(Speech("Hello", 1.0), kind))
    assert found == expected or (kind == "aac" and found == "audio/aac")


@given(st.binary(max_size=200))
def test_no_bytes_confuse_the_readers(data: bytes) -> None:
    sniff(data)
    for beginning in (b"", b"\xff\xd8\xff", b"RIFF0000WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"ID3", b"GIF89a"):
        measure_picture(beginning + data)


@given(st.text(max_size=300) | st.binary(max_size=60) | st.dictionaries(st.text(max_size=6), st.text(max_size=20)))
def test_no_value_escapes_as_another_error(value: Any) -> None:
    try:
        assert read_file(value, PICTURE).rule in (None, PICTURE)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("name", "media_type", "expected"),
    [
        ("voice.mp3", "audio/mpeg", "voice.mp3"),
        ("voice.MPGA", "audio/mpeg", "voice.MPGA"),
        ("voice", "audio/wav", "voice.wav"),
        ("C:\\calls\\voice.m4a", "video/mp4", "voice.m4a"),
        ("a/b/voice.ogg", "audio/mpeg", "voice.ogg.mp3"),
        ("", "audio/flac", "file.flac"),
        ("mp3", "audio/mpeg", "mp3.mp3"),
    ],
)
def test_a_name_always_has_the_ending_of_its_kind(name: str, media_type: str, expected: str) -> None:
    assert name_file(name, media_type) == expected


async def test_a_url_is_fetched_and_held_against_the_rule() -> None:
    asked: list[tuple[str, int]] = []

    async def fetch(url: str, most: int) -> bytes:
        asked.append((url, most))
        return PNG

    given = edit_image.OPERATION.parse({"text": "x", "images": [URL, RED_SQUARE]})
    assert (given.images[0].url, given.images[0].data) == (URL, b"")
    loaded = await load_files(given, fetch)
    assert loaded.images[0] == File("shoes.png", "image/png", PNG)
    assert loaded.images[1] is given.images[1]
    assert asked == [(URL, PICTURE.most_bytes)]


async def test_files_inside_of_parts_are_fetched_too_and_named_when_they_do_not_fit() -> None:
    async def fetch(_url: str, _most: int) -> bytes:
        return PNG

    speaker = {"name": "Ann", "file": "https://files.example/ann.mp3"}
    given = transcribe.OPERATION.parse({"recording": MP3, "speakers": [speaker]})
    with pytest.raises(InputError, match="is image/png") as caught:
        await load_files(given, fetch)
    assert caught.value.code == "operation.bad-input"


async def test_an_input_without_urls_is_left_as_it_is() -> None:
    async def fetch(url: str, _most: int) -> bytes:
        raise AssertionError(url)

    given = transcribe.OPERATION.parse({"recording": MP3})
    assert await load_files(given, fetch) is given


def test_a_file_that_is_not_fetched_can_be_shown_and_never_sent() -> None:
    ask = edit_image.prepare(edit_image.OPERATION.parse({"text": "x", "images": [URL]}), choose("gpt-image-2"))
    assert ask.files[0].name == "shoes.png"
    assert ask.address("a") != edit_image.prepare(
        edit_image.OPERATION.parse({"text": "x", "images": [URL + "2"]}), choose("gpt-image-2")
    ).address("a")
    with pytest.raises(InputError, match="not fetched here"):
        _ = ask.content


def test_bytes_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    file = read_file(PNG, PICTURE)
    logging.getLogger().warning("%r %s", file, [file])
    assert "IHDR" not in caplog.text
    with pytest.raises(InputError) as caught:
        edit_image.OPERATION.parse({"text": "x", "images": [b"secret bytes"]})
    assert "secret" not in str(caught.value)


def test_a_made_file_has_a_name_with_its_ending() -> None:
    made = made_file(PNG, "image/png", "picture-1")
    assert (made.name, base64.b64decode(made.base64)) == ("picture-1.png", PNG)
