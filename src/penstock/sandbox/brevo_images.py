"""The image gallery of the Brevo emulator: it takes addresses only, reads them from this machine, and shows them."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import msgspec

from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, decode, invalid
from penstock.sandbox.loopback import get_from_loopback

MAX_IMAGE_BYTES = 2 * 1024 * 1024
_KINDS = {
    b"\x89PNG\r\n\x1a\n": ("png", "image/png"),
    b"\xff\xd8\xff": ("jpeg", "image/jpeg"),
    b"GIF8": ("gif", "image/gif"),
    b"BM": ("bmp", "image/bmp"),
}


class _Image(msgspec.Struct, rename="camel"):
    image_url: str
    name: str | None = None


async def upload_image(state: BrevoState, request: Request) -> Answer:
    """POST /emailCampaigns/images: 201 with the address in the gallery; the same image twice is there twice."""
    body = decode(request.body, _Image)
    content = state.hosted.get(body.image_url)
    if content is None:
        content = await _fetch(body.image_url)
    if len(content) > MAX_IMAGE_BYTES:
        raise RefusedError(400, "out_of_range", "the image is larger than 2 MB")
    kind = next((kind for mark, kind in _KINDS.items() if content.startswith(mark)), None)
    ending = urlsplit(body.image_url).path.rpartition(".")[2].lower()
    if kind is None or ending not in ("jpeg", "jpg", "png", "bmp", "gif"):
        raise invalid("imageUrl: allowed are jpeg, jpg, png, bmp and gif")
    number = state.next_id("image")
    name = f"{number}-{hashlib.blake2b(content, digest_size=8).hexdigest()}.{kind[0]}"
    state.images[name] = content
    state.world.wrote("brevo", "images.upload", name, ())
    return Answer(201, {"url": f"{request.site}/sandbox-images/{name}"})


async def _fetch(url: str) -> bytes:
    try:
        return await get_from_loopback(url, MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise invalid(f"imageUrl cannot be reached from the sandbox: {url}") from error


def get_image(state: BrevoState, request: Request) -> Answer:
    """Serve an image of the gallery; needs no key."""
    content = state.images.get(request.path["file"])
    if content is None:
        raise RefusedError(404, "document_not_found", "Image does not exist")
    media = next(media for mark, (_, media) in _KINDS.items() if content.startswith(mark))
    return Answer(200, raw=content, media=media)
