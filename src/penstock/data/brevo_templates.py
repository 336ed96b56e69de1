"""Templates at Brevo: made once each, inactive, kept in step with what they should say, and previewed by Brevo.

Nobody gets a template by itself; a person activates it in Brevo. Rules: API description of `/smtp/templates` (2026).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec

from penstock.base.errors import RejectedError
from penstock.data.brevo_campaigns import FRESH_PAGES, Campaign, make_mark, to_sender
from penstock.data.brevo_contacts import Account
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.effects import Effects

TEMPLATE = "template"
MOST_PER_PAGE = 100


class TemplateShown(msgspec.Struct, frozen=True, rename="camel"):
    """A template as Brevo shows it."""

    id: int
    name: str
    subject: str = ""
    is_active: bool = False
    html_content: str = ""
    sender: dict[str, Any] = {}
    reply_to: str = ""
    to_field: str = ""
    tag: str = ""


class BrevoTemplates:
    """The templates of one account. Only those that carry its own mark are ever changed."""

    def __init__(self, caller: BrevoCaller, account: Account, effects: Effects) -> None:
        self._caller = caller
        self._account = account
        self._effects = effects

    async def draft(self, template: Campaign) -> tuple[int, Literal["made", "updated", "unchanged"]]:
        """Make a template of what a campaign says, or bring it up to date.

        Returns its id and what was done: `made`, `updated` or `unchanged`. One that is active is changed too: it is
        for whoever activated it to know. A creation without an outcome is looked for before it is repeated.
        """
        body = self._to_body(template)
        known = await self._effects.get(TEMPLATE, template.name)
        is_new = known is None or known.state != "confirmed"

        async def make() -> str:
            found = await self.find(template.name, FRESH_PAGES)
            return str(found or (await self._caller.call("templates.create", body=body)).content["id"])

        async def look() -> str | None:
            found = await self.find(template.name)
            return None if found is None else str(found)

        number = int(await self._effects.once(TEMPLATE, template.name, make, look))
        shown = await self.read(number)
        if shown is None:  # somebody deleted it
            await self._effects.forget(TEMPLATE, template.name)
            return int(await self._effects.once(TEMPLATE, template.name, make, look)), "made"
        if _is_up_to_date(shown, body):
            return number, "made" if is_new else "unchanged"
        await self._caller.call("templates.update", path={"id": number}, body=body, interactive=True)
        return number, "updated"

    def _to_body(self, template: Campaign) -> dict[str, Any]:
        mark = make_mark(self._account, TEMPLATE, template.name)
        body = {
            "templateName": template.name,
            "subject": template.lines[0],
            "htmlContent": template.html,
            "sender": to_sender(template.sender),
            "toField": template.to,
            "tag": f"{template.tag} {mark}".strip(),
        }
        return {**body, "replyTo": template.reply_to} if template.reply_to else body

    async def find(self, name: str, pages: int | None = None) -> int | None:
        """Look for the template that carries the mark of a name, newest first, through all or some pages."""
        mark = make_mark(self._account, TEMPLATE, name)
        async for shown in self._newest(pages):
            if mark in shown.tag.split():
                return shown.id
        return None

    async def _newest(self, pages: int | None) -> AsyncIterator[TemplateShown]:
        page = 0
        while pages is None or page < pages:
            query: dict[str, str | int] = {"limit": MOST_PER_PAGE, "offset": page * MOST_PER_PAGE, "sort": "desc"}
            rows = (await self._caller.call("templates.list", query=query)).content["templates"]
            for row in rows:
                yield _read(row)
            if len(rows) < MOST_PER_PAGE:
                return
            page += 1

    async def read(self, number: int) -> TemplateShown | None:
        """Read a template; None when there is none of this id."""
        try:
            return _read((await self._caller.call("templates.get", path={"id": number}, interactive=True)).content)
        except RejectedError as error:
            if error.code == "brevo.not-found":
                return None
            raise

    async def preview(self, number: int, *, email: str = "", params: dict[str, Any] | None = None) -> dict[str, str]:
        """Return subject and HTML as Brevo renders them for a contact, or with `params`."""
        body: dict[str, Any] = {"templateId": number, **({"email": email} if email else {})}
        if params or not email:
            body["params"] = params or {}
        shown = (await self._caller.call("templates.preview", body=body, interactive=True)).content
        return {name: str(shown.get(name) or "") for name in ("subject", "html", "previewText")}


def _read(row: dict[str, Any]) -> TemplateShown:
    return msgspec.convert(
        {name: value for name, value in row.items() if value is not None}, TemplateShown, strict=False
    )


def _is_up_to_date(shown: TemplateShown, body: dict[str, Any]) -> bool:
    sender = body["sender"]
    same_sender = all(str(shown.sender.get(name)) == str(value) for name, value in sender.items())
    return same_sender and (shown.name, shown.subject, shown.html_content, shown.to_field, shown.tag) == (
        body["templateName"],
        body["subject"],
        body["htmlContent"],
        body["toField"],
        body["tag"],
    )
