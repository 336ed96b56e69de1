"""Files and uploads of the emulated OpenAI, and the forms that bring them."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_desk import Desk

from penstock.sandbox.forms import FormError, FormFile, read_form
from penstock.sandbox.world import Fault

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@given(
    fields=st.dictionaries(NAMES, st.lists(st.text(max_size=20), min_size=1, max_size=3), max_size=4),
    files=st.lists(st.tuples(st.text("äb c.\"'", min_size=1, max_size=8), st.binary(max_size=200)), max_size=3),
)
def test_a_form_written_by_another_library_is_read_back(fields, files):
    listed = [("upload[]", (name, content, "text/plain")) for name, content in files] or {"upload": ("x", b"\r\n--")}
    request = httpx2.Request("POST", "http://x", data=fields, files=listed)
    found = read_form(request.headers["content-type"], request.read())
    given_files = files or [("x", b"\r\n--")]
    assert [one.content for one in found.pop("upload")] == [content for _, content in given_files]
    assert found == {name: [*values] for name, values in fields.items()}


def test_names_beyond_ascii_and_quotes_survive():
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a\\"b.png"\r\nContent-Type: image/png\r\n\r\nx'
        b"\r\n--b\r\nContent-Disposition: form-data; name=g; filename*=UTF-8''%C3%A4.txt\r\n\r\ny\r\n--b--\r\n"
    )
    assert read_form("multipart/form-data; boundary=b", body) == {
        "f": [FormFile('a"b.png', "image/png", b"x")],
        "g": [FormFile("ä.txt", "text/plain", b"y")],
    }


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nno headers\r\n--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
    ],
)
def test_what_is_no_form_is_an_error(kind, body):
    with pytest.raises(FormError):
        read_form(kind, body)


@pytest.mark.parametrize(
    ("name", "content", "fields", "param"),
    [
        ("a.jsonl", b"{}", {}, "purpose"),
        ("a.jsonl", b"{}", {"purpose": "fun"}, "purpose"),
        ("a.txt", b"{}", {"purpose": "batch"}, "file"),
        ("a.jsonl", b"", {"purpose": "batch"}, "file"),
        ("a.jsonl", b"{}", {"purpose": "batch", "colour": "red"}, "colour"),
        ("a.jsonl", b"{}", {"purpose": "batch", "expires_after[seconds]": "7200"}, "expires_after.anchor"),
        (
            "a.jsonl",
            b"{}",
            {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            "expires_after.seconds",
        ),
    ],
)
async def test_a_bad_file_is_refused(name, content, fields, param):
    got = await Desk().form("files", {"file": (name, content)}, **fields)
    assert (got.status, got.error["param"]) == (400, param)


async def test_files_expire_by_the_clock():
    desk = Desk()
    kept = await desk.upload(b"{}", "user_data", "a.json")
    month = await desk.upload(b"{}")
    hour = (
        await desk.form(
            "files",
            {"file": ("b.jsonl", b"{}")},
            **{"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"},
        )
    ).json["id"]
    desk.clock.advance(3_600)
    assert (await desk.get(f"files/{hour}")).status == 404
    assert [one["id"] for one in (await desk.get("files")).json["data"]] == [month, kept]
    desk.clock.advance(30 * 86_400)
    assert [one["id"] for one in (await desk.get("files")).json["data"]] == [kept]


async def test_lists_come_in_pages_and_in_order():
    desk = Desk()
    made = [await desk.upload(b"{}") for _ in range(5)]
    page = (await desk.get("files", order="asc", limit=2)).json
    assert ([one["id"] for one in page["data"]], page["has_more"], page["last_id"]) == (made[:2], True, made[1])
    page = (await desk.get("files", order="asc", limit=3, after=made[1])).json
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (made[2:], False)
    assert (await desk.get("files", limit=0)).error["param"] == "limit"
    assert (await desk.get("files", after="file-x")).error["param"] == "after"


async def test_what_was_given_for_reading_only_is_not_handed_back():
    desk = Desk()
    stored = await desk.upload(b"%PDF", "user_data", "a.pdf")
    assert (await desk.get(f"files/{stored}/content")).status == 400


async def test_a_lost_reply_leaves_the_file_and_a_dropped_request_does_not():
    faults = [Fault(operation="files.create", kind="lost", times=1), Fault(operation="files.create", kind="drop")]
    desk = Desk(faults=faults)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            await desk.upload(b"{}")
    assert len((await desk.get("files")).json["data"]) == 1


async def start_upload(desk, size):
    body = {"filename": "a.jsonl", "purpose": "batch", "bytes": size, "mime_type": "text/jsonl"}
    return (await desk.post("uploads", **body)).json["id"]


async def add_part(desk, upload, data):
    return await desk.form(f"uploads/{upload}/parts", {"data": ("part", data)})


async def test_parts_are_joined_in_the_order_that_is_asked_for():
    desk = Desk()
    upload = await start_upload(desk, 4)
    first, second = [(await add_part(desk, upload, data)).json["id"] for data in (b"cd", b"ab")]
    got = await desk.post(f"uploads/{upload}/complete", part_ids=[second, first])
    assert got.json["status"] == "completed"
    assert (await desk.get(f"files/{got.json['file']['id']}/content")).raw == b"abcd"
    assert (await add_part(desk, upload, b"x")).error["code"] == "invalid_upload_status"


async def test_an_upload_must_be_whole_and_in_time():
    desk = Desk()
    upload = await start_upload(desk, 4)
    part = (await add_part(desk, upload, b"abc")).json["id"]
    for body in ({"part_ids": [part]}, {"part_ids": ["part_x"]}, {}, {"part_ids": [part], "md5": "0"}):
        assert (await desk.post(f"uploads/{upload}/complete", **body)).status == 400
    desk.clock.advance(3_600)
    assert "expired" in (await add_part(desk, upload, b"d")).error["message"]
    assert (await add_part(desk, "upload_x", b"d")).status == 404
    assert (await desk.post("uploads", filename="a", purpose="batch", bytes=0, mime_type="x")).error["param"] == "bytes"
