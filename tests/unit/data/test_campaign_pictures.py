"""Pictures of campaigns: made to fit, hosted once each, named in the HTML."""

from __future__ import annotations

import base64
import io
import random

import pytest

from penstock.base.errors import InputError
from penstock.data.brevo_images import MAX_BYTES, fit_picture, place_pictures

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")


def noise(width: int, height: int, mode: str = "RGB"):
    size = width * height * len(mode)
    return Image.frombytes(mode, (width, height), random.Random(7).randbytes(size))


def save(image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes):
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("kind", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("BMP", "bmp")])
def test_what_fits_already_is_not_touched(kind, ending):
    content = save(noise(40, 30), kind)
    assert fit_picture(content)[:3] == (content, ending, True)


def test_a_large_picture_becomes_a_small_one_that_still_says_where_it_comes_from():
    exif = Image.Exif()
    exif[0x010E] = "A hill"
    exif[0x0112] = 6  # lies on its side
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>made by a model</x:xmpmeta>"
    content = save(noise(1200, 900), "JPEG", quality=100, exif=exif, xmp=xmp)
    assert len(content) > MAX_BYTES
    made = fit_picture(content)
    image = read(made.content)
    assert len(made.content) <= MAX_BYTES
    assert (made.ending, made.is_same, image.format) == ("jpg", False, "JPEG")
    assert image.height > image.width  # stands upright now
    assert image.getexif().get(0x010E) == "A hill"
    assert 0x0112 not in image.getexif()
    assert image.info["xmp"] == xmp


def test_the_mark_of_a_model_outlives_its_signed_credentials():
    content = save(noise(860, 850), "PNG")
    chunk = b"caBX...trainedAlgorithmicMedia..."
    signed = content[:-12] + len(chunk[4:]).to_bytes(4, "big") + chunk + b"\0\0\0\0" + content[-12:]
    made = fit_picture(signed)
    assert b"trainedAlgorithmicMedia" in made.content
    assert len(made.content) <= MAX_BYTES


def test_what_shines_through_stays_so():
    made = fit_picture(save(noise(760, 720, "RGBA"), "PNG"))
    image = read(made.content)
    assert (made.ending, image.has_transparency_data) == ("png", True)
    assert len(made.content) <= MAX_BYTES


def test_a_format_that_mail_does_not_show_is_changed():
    assert fit_picture(save(noise(50, 40), "WEBP")).ending == "jpg"


def test_a_large_animation_is_refused_because_it_would_stand_still():
    frames = [Image.frombytes("P", (900, 900), random.Random(seed).randbytes(810_000)) for seed in range(3)]
    for frame in frames:
        frame.putpalette([value for value in range(256) for _ in "rgb"])
    content = save(frames[0], "GIF", save_all=True, append_images=frames[1:], optimize=False)
    assert len(content) > MAX_BYTES
    with pytest.raises(InputError) as caught:
        fit_picture(content)
    assert caught.value.code == "image.too-large"


@pytest.mark.parametrize("content", [b"", b"not a picture", save(noise(60, 60), "PNG")[:200]])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(InputError) as caught:
        fit_picture(content)
    assert caught.value.code == "image.unreadable"


class Host:
    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def __call__(self, content: bytes, name: str) -> str:
        self.seen.append(content)
        return f"https://img.example/{len(self.seen)}.png"


async def test_each_file_of_an_html_is_replaced_by_its_address(tmp_path):
    (tmp_path / "a b.png").write_bytes(b"one")
    (tmp_path / "back.png").write_bytes(b"two")
    inline = base64.b64encode(b"three").decode()
    html = (
        "<body background='back.png'><img alt=x src=\"a%20b.png\"><img src='a%20b.png'><img src=\"https://x.example/y.png\">"
        "<td style=\"background: url('back.png')\"><img src=\"{{ params.picture }}\"><img src='cid:1'>"
        f"<a href='a b.png'>x</a><img src='data:image/png;base64,{inline}'>"
    )
    host = Host()
    made = await place_pictures(html, tmp_path, host)
    assert host.seen == [b"two", b"one", b"three"]
    assert made == (
        "<body background='https://img.example/1.png'><img alt=x src=\"https://img.example/2.png\">"
        "<img src='https://img.example/2.png'><img src=\"https://x.example/y.png\">"
        "<td style=\"background: url('https://img.example/1.png')\"><img src=\"{{ params.picture }}\"><img src='cid:1'>"
        "<a href='a b.png'>x</a><img src='https://img.example/3.png'>"
    )


@pytest.mark.parametrize("address", ["missing.png", "../secret.png", "/etc/hostname", "sub/../../secret.png"])
async def test_a_file_that_is_missing_or_outside_of_the_folder_is_refused(tmp_path, address):
    folder = tmp_path / "campaign"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(InputError) as caught:
        await place_pictures(f'<img src="{address}">', folder, Host())
    assert caught.value.code == "image.missing"
