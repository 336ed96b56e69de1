"""What a campaign holds of content that was made here, and whether a person wants it out."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.clock import Clock
from penstock.base.types import Finding
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.data.brevo_images import place_pictures
from penstock.features.writing.pieces import Piece, approve_linked, digest_of, find_pieces, link_pieces, read_linked
from penstock.runtime.store import Store


class HeldPieces:
    """The pieces of the campaigns of one account."""

    def __init__(self, store: Store, clock: Clock, account: str) -> None:
        self._store = store
        self._clock = clock
        self._account = account

    async def check(self, file: CampaignFile) -> list[Finding]:
        """Say what was decided about what a file holds; nothing of what was not made here."""
        return judge_pieces(await find_pieces(self._store, await _hash_parts(file)))

    async def check_kept(self, number: int) -> list[Finding]:
        """Say what was decided about what a draft of our own holds."""
        return judge_pieces(await read_linked(self._store, self._account, number))

    async def link(self, number: int, file: CampaignFile) -> None:
        """Note what a draft holds."""
        await link_pieces(self._store, self._account, number, await _hash_parts(file))

    async def approve(self, number: int, by: str) -> None:
        """Note that who approves a campaign approves what it holds."""
        await approve_linked(self._store, self._clock, self._account, number, by)


async def _hash_parts(file: CampaignFile) -> list[str]:
    """Return the hashes of subjects, mail and pictures, as they are before the pictures are hosted."""
    campaign, found = file.campaign, list[str]()

    async def note(content: bytes, _name: str) -> str:
        found.append(digest_of(content))
        return ""

    await place_pictures(campaign.html, file.folder, note)
    subjects = campaign.subjects or (campaign.subject,)
    return [*(digest_of(subject) for subject in subjects), digest_of(campaign.html), *found]


def judge_pieces(pieces: Sequence[Piece]) -> list[Finding]:
    """Return a finding on pieces: rejected ones fail, those that wait warn; nothing where none was made here."""
    rejected = [one for one in pieces if one.state == "rejected"]
    waiting = [one for one in pieces if one.state == "draft"]
    if rejected:
        said = "; ".join(f"the {one.kind} {one.title!r} was rejected: {one.reason}" for one in rejected[:3])
        return [Finding("content", "fail", said, "Take another, or approve it: penstock content approve.")]
    if waiting:
        kinds = ", ".join(sorted({one.kind for one in waiting}))
        fix = "Look at each with `penstock content list`; approving the campaign approves what it holds."
        return [Finding("content", "warn", f"{len(waiting)} of {len(pieces)} pieces wait for approval ({kinds})", fix)]
    return [Finding("content", "ok", f"{len(pieces)} pieces, each approved")] if pieces else []
