"""The parts of the emulated OpenAI that share its files: images, sound, files, uploads, batches and webhooks."""

from __future__ import annotations

from penstock.sandbox.openai_batches import Batches
from penstock.sandbox.openai_files import Files
from penstock.sandbox.openai_images import Images
from penstock.sandbox.openai_routes import Route, Service
from penstock.sandbox.openai_speech import Speeches
from penstock.sandbox.openai_transcripts import Transcripts
from penstock.sandbox.openai_uploads import Uploads
from penstock.sandbox.openai_webhooks import Webhooks


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of all of them."""
    files = Files(service)
    return [
        *Images(service, files).routes(),
        *Speeches(service).routes(),
        *Transcripts(service).routes(),
        *files.routes(),
        *Uploads(service, files).routes(),
        *Batches(service, files).routes(),
        *Webhooks(service, service.deliver).routes(),
    ]
