"""Who would get a campaign: lists and segments by name, and a count that leaves out who gets nothing.

The counters that Brevo states on lists are frozen or unreliable (changelog 2026), so people are counted one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from penstock.base.errors import InputError
from penstock.data.brevo_campaigns import Audience, Recipients
from penstock.data.brevo_contacts import MOST_PER_PAGE, Account, BrevoContacts
from penstock.data.brevo_targets import read_email
from penstock.runtime.brevo_calls import BrevoCaller

LISTS_PER_PAGE = 50
SAMPLES = 5

FindBarred = Callable[[list[str]], Awaitable[Iterable[str]]]


class Headcount(msgspec.Struct):
    """How many people a campaign reaches, how many of its lists and segments it does not, and a few of those it does.

    `objected` people are among the reached: Brevo does not know that they objected here.
    """

    reached: int = 0
    blocklisted: int = 0
    left: int = 0
    without_email: int = 0
    excluded: int = 0
    objected: int = 0
    samples: list[dict[str, Any]] = []

    def describe(self) -> str:
        """Say the number, and what was left out."""
        parts = {"blocklisted": self.blocklisted, "left the list": self.left, "without an email": self.without_email}
        parts["excluded"] = self.excluded
        out = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        return f"{self.reached:,}" + (f" (not: {out})" if out else "")


async def resolve(caller: BrevoCaller, recipients: Recipients) -> Audience:
    """Return recipients by id; raises `InputError` (`campaign.no-such-list`) for what the account does not have."""
    lists = await _names(caller, "lists", "name", (*recipients.lists, *recipients.without_lists))
    segments = await _names(caller, "segments", "segmentName", (*recipients.segments, *recipients.without_segments))
    return Audience(
        lists=_to_ids("list", recipients.lists, lists),
        segments=_to_ids("segment", recipients.segments, segments),
        without_lists=_to_ids("list", recipients.without_lists, lists),
        without_segments=_to_ids("segment", recipients.without_segments, segments),
    )


async def _names(caller: BrevoCaller, kind: str, field: str, wanted: Sequence[int | str]) -> dict[int | str, list[int]]:
    """Return the ids of a kind by id and by name; asks nothing when nothing is wanted."""
    found: dict[int | str, list[int]] = {}
    offset = 0
    while wanted:
        reply = await caller.call(f"{kind}.list", query={"limit": LISTS_PER_PAGE, "offset": offset}, interactive=True)
        rows = reply.content[kind]
        for row in rows:
            found[row["id"]] = [row["id"]]
            found.setdefault(str(row.get(field)), []).append(row["id"])
        if len(rows) < LISTS_PER_PAGE:
            break
        offset += len(rows)
    return found


def _to_ids(kind: str, wanted: Sequence[int | str], known: dict[int | str, list[int]]) -> tuple[int, ...]:
    ids = []
    for one in wanted:
        matches = sorted(set(known.get(one, ())))
        if len(matches) != 1:
            what = f"has no {kind} {one!r}" if not matches else f"has {len(matches)} {kind}s named {one!r}"
            raise InputError(
                f"the Brevo account {what}",
                code="campaign.no-such-list",
                hint=f"Name the {kind} exactly as in Brevo, or give its id"
                + (f": one of {', '.join(map(str, matches))}." if matches else "."),
            )
        ids.append(matches[0])
    return tuple(dict.fromkeys(ids))


async def count_recipients(
    caller: BrevoCaller, account: Account, audience: Audience, find_barred: FindBarred | None = None
) -> Headcount:
    """Count who gets a campaign as of now, each person once; a page of a thousand contacts is one call.

    `find_barred` returns which addresses and ext_ids belong to people who objected here.
    """
    out: set[int] = set()
    for segment in audience.without_segments:
        async for page in BrevoContacts(caller, account, segment=segment).pages(size=MOST_PER_PAGE):
            out.update(record.data["id"] for record in page.records)
    count = _Counter(audience, out)
    for source, by_list in _sources(caller, account, audience):
        async for page in source.pages(size=MOST_PER_PAGE):
            reached = count.take((record.data for record in page.records), by_list=by_list)
            if find_barred is not None:
                barred = set(await find_barred([name for names in reached for name in names]))
                count.total.objected += sum(not barred.isdisjoint(names) for names in reached)
    return count.finish()


async def sample_recipients(caller: BrevoCaller, account: Account, audience: Audience) -> list[dict[str, Any]]:
    """Return a few of the people whom a campaign would reach, from the first page of each list or segment."""
    count = _Counter(audience, set())
    for source, by_list in _sources(caller, account, audience):
        async for page in source.pages(size=MOST_PER_PAGE):
            count.take((record.data for record in page.records), by_list=by_list)
            break
        if len(count.total.samples) >= SAMPLES:
            break
    return count.total.samples


def _sources(caller: BrevoCaller, account: Account, audience: Audience) -> list[tuple[BrevoContacts, bool]]:
    """Return what to read, and whether it is about lists."""
    found = [(BrevoContacts(caller, account, lists=audience.lists), True)] if audience.lists else []
    return found + [(BrevoContacts(caller, account, segment=one), False) for one in audience.segments]


class _Counter:
    def __init__(self, audience: Audience, out: set[int]) -> None:
        self.total = Headcount()
        self._lists, self._out_lists, self._out = set(audience.lists), set(audience.without_lists), out
        self._reached: set[int] = set()
        self._refused: dict[int, str] = {}

    def take(self, contacts: Iterable[dict[str, Any]], *, by_list: bool) -> list[list[str]]:
        """Count a page; returns the identifiers of each who is reached and was not before."""
        found = []
        for contact in contacts:
            number = contact["id"]
            if number in self._reached:
                continue
            reason = self._refuse(contact, by_list)
            if reason:  # another list or segment may still reach who left this one
                self._refused[number] = reason
                continue
            self._refused.pop(number, None)
            self._reached.add(number)
            found.append([str(contact[name]) for name in ("email", "ext_id") if contact.get(name)])
            if len(self.total.samples) < SAMPLES:
                self.total.samples.append(contact)
        return found

    def _refuse(self, contact: dict[str, Any], by_list: bool) -> str:
        member = set(contact.get("listIds") or ())
        if contact.get("emailBlacklisted"):
            return "blocklisted"
        if read_email(contact.get("email")) is None:
            return "without_email"
        if contact["id"] in self._out or member & self._out_lists:
            return "excluded"
        left = set(contact.get("listUnsubscribed") or ())
        return "left" if by_list and not (member & self._lists) - left else ""

    def finish(self) -> Headcount:
        """Return the whole count."""
        self.total.reached = len(self._reached)
        for reason in self._refused.values():
            setattr(self.total, reason, getattr(self.total, reason) + 1)
        return self.total
