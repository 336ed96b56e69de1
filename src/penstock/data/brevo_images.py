"""Pictures of a campaign: made to fit Brevo's gallery, put there once each, and named in the HTML by their address.

Brevo takes a public address only, no file, and no more than 2 MB as JPEG, PNG, GIF or BMP (API description, 2026).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from penstock.base.errors import InputError, SettingsError
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 2 * 1024 * 1024
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 64 * 1024 * 1024
IMAGE = "image"
ENDINGS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp"}
QUALITIES = (90, 82, 74)
WIDTHS = (2400, 1600, 1200, 800)
"""A mail is about 600 points wide; twice that looks sharp on every screen."""

_REFERENCE = re.compile(
    r"(?P<attribute><(?:img|body|table|tr|td|th|div|v:\w+)\b[^>]*?\s(?:src|background)\s*=\s*)(?P<quote>[\"'])(?P<address>.*?)(?P=quote)"
    r"|(?P<style>\burl\(\s*)(?P<mark>[\"']?)(?P<inside>[^)\"']+)(?P=mark)\s*\)",
    re.DOTALL | re.IGNORECASE,
)
_GENERATED = "trainedAlgorithmicMedia"
"""The word of the IPTC for a picture made by a model, in XMP and in signed content credentials."""
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    f'"http://cv.iptc.org/newscodes/digitalsourcetype/{_GENERATED}"/></rdf:RDF></x:xmpmeta>'
)

Publish = Callable[[str, bytes], Awaitable[str]]
"""Puts a file of a name where Brevo can read it, and returns the address."""
Host = Callable[[bytes, str], Awaitable[str]]


class Picture(NamedTuple):
    """A picture that Brevo takes, with the ending of its name; `is_same` says that not a byte was changed."""

    content: bytes
    ending: str
    is_same: bool


def fit_picture(content: bytes, name: str = "picture") -> Picture:
    """Return a picture of at most 2 MB in a format that mail shows; what fits already is not touched.

    Colours, orientation and what says where it comes from are kept (EXIF, XMP, and the mark of a model). Raises
    `InputError` (`image.unreadable`, `image.too-large`), and `SettingsError` without the extra `images`.
    """
    open_picture = _load_pillow()
    try:
        with open_picture(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, f"{image.width} × {image.height} points")
            is_animated = bool(getattr(image, "is_animated", False))
            ending = ENDINGS.get(image.format or "")
            if ending and len(content) <= MAX_BYTES:
                image.verify()
                return Picture(content, ending, is_same=True)
            if is_animated:
                raise _too_large(name, "an animation; it would lose its movement")
            return _shrink(image, content, name)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(
            f"{name} is not a picture that can be read: {error}",
            code="image.unreadable",
            hint="Give a whole JPEG, PNG, GIF, BMP or WebP file.",
        ) from error


def _too_large(name: str, what: str) -> InputError:
    return InputError(
        f"{name} is too large for a mail: {what}",
        code="image.too-large",
        hint="Make it smaller in an image editor; Brevo takes 2 MB at most.",
    )


def _load_pillow() -> Callable[[io.BytesIO], Image]:
    try:
        from PIL import Image
    except ImportError as error:
        raise SettingsError(
            "pictures need the extra `images`", code="settings.extra", hint="pip install 'penstock[images]'"
        ) from error
    return Image.open


def _shrink(image: Image, content: bytes, name: str) -> Picture:
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(image)
    kept = _read_origin(picture, content)
    has_gaps = picture.has_transparency_data
    picture = picture.convert("RGBA" if has_gaps else "RGB")
    for width in (picture.width, *(width for width in WIDTHS if width < picture.width)):
        scaled = picture
        if width < picture.width:
            scaled = picture.resize((width, max(1, round(picture.height * width / picture.width))))
        for made in _encode(scaled, kept, has_gaps):
            if len(made) <= MAX_BYTES:
                return Picture(made, "png" if has_gaps else "jpg", is_same=False)
    raise _too_large(name, f"{len(content):,} bytes, and more than 2 MB however it is compressed")


def _encode(image: Image, kept: dict[str, Any], has_gaps: bool) -> Iterator[bytes]:
    """Yield encodings from the best to the smallest: JPEG, or PNG where something shines through."""
    from PIL.PngImagePlugin import PngInfo

    if has_gaps:
        text = PngInfo()
        if kept.get("xmp"):
            text.add_itxt("XML:com.adobe.xmp", kept["xmp"].decode("utf-8", "replace"))
        options = {name: value for name, value in kept.items() if name != "xmp"}
        yield _save(image, "PNG", optimize=True, pnginfo=text, **options)
        yield _save(image.quantize(256), "PNG", optimize=True, pnginfo=text, **options)
        return
    for quality in QUALITIES:
        yield _save(image, "JPEG", quality=quality, optimize=True, progressive=True, **kept)


def _save(image: Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _read_origin(image: Image, content: bytes) -> dict[str, Any]:
    """Return what a new encoding must carry on: colours and where the picture comes from, without its orientation."""
    kept: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    exif = image.getexif()
    exif.pop(0x0112, None)  # the orientation is in the points from now on
    if len(exif):
        kept["exif"] = exif.tobytes()
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    kept["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    if not kept["xmp"] and _GENERATED.encode() in content:  # signed credentials do not survive; what they say does
        kept["xmp"] = _XMP.encode()
    return {name: value for name, value in kept.items() if value}


class Gallery:
    """The pictures of one account: equal content is put there once, and its address remembered."""

    def __init__(self, caller: BrevoCaller, effects: Effects, publish: Publish) -> None:
        """Use `publish` to put a file where Brevo fetches it from."""
        self._caller = caller
        self._effects = effects
        self._publish = publish

    async def host(self, content: bytes, name: str = "picture") -> str:
        """Return the address of a picture in Brevo's gallery, put there unless it is already.

        An upload without an outcome is repeated: the worst is a second copy in the gallery, which nobody sees.
        """
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()

        async def make() -> str:
            picture = await self._caller.clock.outside(asyncio.to_thread(fit_picture, content, name))
            file = f"{digest}.{picture.ending}"
            body = {"imageUrl": await self._publish(file, picture.content), "name": file}
            return str((await self._caller.call("images.upload", body=body, interactive=True)).content["url"])

        async def look() -> str | None:
            return None

        return await self._effects.once(IMAGE, digest, make, look, {"name": name})


async def place_pictures(html: str, folder: Path, host: Host) -> str:
    """Return the HTML with each picture that is a file of `folder` or a data URL replaced by its hosted address.

    Raises `InputError` (`image.missing`) for a file that is not there or lies outside of the folder.
    """
    parts, end, hosted = [], 0, dict[str, str]()
    for match in _REFERENCE.finditer(html):
        group = "address" if match["address"] is not None else "inside"
        address = match[group].strip()
        if not _is_local(address):
            continue
        if address not in hosted:
            content = _read(address, folder)
            hosted[address] = await host(content, "data URL" if address.startswith("data:") else address)
        parts += [html[end : match.start(group)], hosted[address]]
        end = match.end(group)
    return "".join([*parts, html[end:]])


def _is_local(address: str) -> bool:
    if address.startswith("data:image/"):
        return True
    return bool(address) and not re.match(r"[a-z][a-z0-9+.-]*:|//|#|\{|%7B", address, re.IGNORECASE)


def _read(address: str, folder: Path) -> bytes:
    if address.startswith("data:"):
        head, _, body = address.partition(",")
        try:
            return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote(body).encode()
        except binascii.Error as error:
            raise InputError("a data URL in the HTML is not base64", code="image.unreadable") from error
    root = folder.resolve()
    path = (root / unquote(urlsplit(address).path)).resolve()
    try:
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise FileNotFoundError
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the HTML names the picture {address!r}, which is not a readable file in {folder}",
            code="image.missing",
            hint="Put it beside the HTML, or give its https address.",
        ) from error
