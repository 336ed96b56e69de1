"""Pictures made to fit where they go: smaller, in another format, never larger; and what says where they come from.

EXIF, XMP and colours live through a new encoding. Signed content credentials (C2PA) end with it, so what fits already
is not touched, and what they said is kept as the mark of the IPTC. Needs the extra `images`.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from penstock.base.errors import InputError, SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp"}
"""Formats that mail programs show, and the endings of their names."""
MAX_PIXELS = 100_000_000
QUALITIES = (90, 82, 74)
WIDTHS = (2400, 1600, 1200, 800)
"""A mail is about 600 points wide; twice that looks sharp on every screen."""
GENERATED = "trainedAlgorithmicMedia"
"""The word of the IPTC for a picture made by a model, in XMP and in signed content credentials."""
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    f'"http://cv.iptc.org/newscodes/digitalsourcetype/{GENERATED}"/></rdf:RDF></x:xmpmeta>'
)
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"

Origin = Literal["signed", "stated", "none"]
"""What a file says of its making: signed credentials, a mark that a model made it, or nothing."""


class Shrunk(NamedTuple):
    """A picture that fits, with the ending of its name; `is_same` says that not a byte was changed."""

    content: bytes
    ending: str
    is_same: bool
    width: int
    height: int


def shrink(
    content: bytes,
    name: str,
    *,
    most_bytes: int,
    most_width: int = 0,
    formats: Collection[str] = tuple(ENDINGS),
) -> Shrunk:
    """Return a picture of at most so many bytes, and points across where that is given; what fits is not touched.

    Raises `InputError` (`image.unreadable`, `image.too-large`), and `SettingsError` without the extra `images`.
    """
    open_picture = load_pillow()
    try:
        with open_picture(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, f"{image.width} × {image.height} points", most_bytes)
            ending = ENDINGS.get(image.format or "") if image.format in formats else None
            is_narrow = not most_width or image.width <= most_width
            if ending and is_narrow and len(content) <= most_bytes:
                size = image.size
                image.verify()
                return Shrunk(content, ending, True, *size)
            if getattr(image, "is_animated", False):
                raise _too_large(name, "an animation; it would lose its movement", most_bytes)
            return _encode_anew(image, content, name, most_bytes, most_width)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(
            f"{name} is not a picture that can be read: {error}",
            code="image.unreadable",
            hint="Give a whole JPEG, PNG, GIF, BMP or WebP file.",
        ) from error


def load_pillow() -> Callable[[io.BytesIO], Image]:
    """Return what opens a picture; raises `SettingsError` where the extra `images` is missing."""
    try:
        from PIL import Image
    except ImportError as error:
        raise SettingsError(
            "pictures need the extra `images`", code="settings.extra", hint="pip install 'penstock[images]'"
        ) from error

    def open_picture(content: io.BytesIO) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is our own limit
                return Image.open(content)
        except Image.DecompressionBombError as error:
            raise OSError("it says that it has more points than fit into memory") from error

    return open_picture


def _too_large(name: str, what: str, most_bytes: int) -> InputError:
    return InputError(
        f"{name} is too large for a mail: {what}",
        code="image.too-large",
        hint=f"Make it smaller in an image editor; {most_bytes / 1024 / 1024:.3g} MB is the most.",
    )


def _encode_anew(image: Image, content: bytes, name: str, most_bytes: int, most_width: int) -> Shrunk:
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(image)
    kept = _read_origin(picture, content)
    has_gaps = picture.has_transparency_data
    picture = picture.convert("RGBA" if has_gaps else "RGB")
    first = min(picture.width, most_width or picture.width)
    for width in (first, *(width for width in WIDTHS if width < first)):
        height = max(1, round(picture.height * width / picture.width))
        scaled = picture if width == picture.width else picture.resize((width, height))
        for made in _encode(scaled, kept, has_gaps):
            if len(made) <= most_bytes:
                return Shrunk(made, "png" if has_gaps else "jpg", False, width, height)
    raise _too_large(name, f"{len(content):,} bytes, and too many however it is compressed", most_bytes)


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
    if not kept["xmp"] and GENERATED.encode() in content:  # signed credentials do not survive; what they say does
        kept["xmp"] = _XMP.encode()
    return {name: value for name, value in kept.items() if value}


def find_origin(content: bytes) -> Origin:
    """Tell what a picture says of its making; whether a signature holds is not looked at."""
    for kind, body in _list_parts(content):
        is_box = kind in (b"caBX", b"C2PA") or (kind == b"\xeb" and b"jumb" in body[:64])
        if is_box and b"c2pa" in body.lower():
            return "signed"
    return "stated" if GENERATED.encode() in content else "none"


def mark_origin(content: bytes) -> bytes:
    """Return a JPEG or PNG with the mark that a model made it, its points untouched; one that says so stays as it is.

    The word is the IPTC's, in XMP; a file with XMP of its own, and other formats, are left alone.
    """
    if find_origin(content) != "none":
        return content
    parts = list(_list_parts(content))
    if any(body.startswith((_JPEG_XMP, _PNG_XMP)) for _, body in parts):
        return content
    if content.startswith(b"\xff\xd8"):
        body = _JPEG_XMP + _XMP.encode()
        at = 2 + (4 + len(parts[0][1]) if parts and parts[0][0] == b"\xe0" else 0)  # JFIF wants to be the first
        return content[:at] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[at:]
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        chunk = b"iTXt" + _PNG_XMP + b"\0\0\0\0" + _XMP.encode()
        made = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return content[:33] + made + content[33:]  # right behind the header
    return content


def _list_parts(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the parts of a file before its points: segments of JPEG by their marker, chunks of PNG and WebP."""
    if content.startswith(b"\xff\xd8"):
        at = 2
        while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"", b"\xda"):
            size = int.from_bytes(content[at + 2 : at + 4], "big")
            yield content[at + 1 : at + 2], content[at + 4 : at + 2 + size]
            at += 2 + max(size, 2)
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        at = 8
        while at + 8 <= len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            yield content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
            at += 12 + size
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(content):
            size = int.from_bytes(content[at + 4 : at + 8], "little")
            yield content[at : at + 4], content[at + 8 : at + 8 + size]
            at += 8 + size + size % 2
