"""Templates of the Brevo emulator: the endpoints, the preview, and what a template is made of."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sandbox.brevo_account import Sender
from penstock.sandbox.brevo_records import Contact
from penstock.sandbox.brevo_render import is_new_language, render
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, cut_page, decode, format_time, invalid

MIN_HTML_LETTERS = 10
MAX_HTML_BYTES = 1024 * 1024


class Template(msgspec.Struct):
    """One template; times are milliseconds."""

    id: int
    name: str
    subject: str
    html: str
    sender: Sender
    created: int
    modified: int
    reply_to: str = ""
    to_field: str = ""
    tag: str = ""
    active: bool = False
    test_sent: bool = False

    def show(self) -> dict[str, Any]:
        """Return the template as the API shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "subject": self.subject,
            "isActive": self.active,
            "testSent": self.test_sent,
            "sender": {"name": self.sender.name, "email": self.sender.email, "id": str(self.sender.id)},
            "replyTo": self.reply_to or "[DEFAULT_REPLY_TO]",
            "toField": self.to_field,
            "tag": self.tag,
            "htmlContent": self.html,
            "createdAt": format_time(self.created),
            "modifiedAt": format_time(self.modified),
            "doiTemplate": "doubleoptin" in self.html.lower(),
        }


class SenderGiven(msgspec.Struct):
    """The sender of a campaign or template as a request names it: an address or an id."""

    email: str | None = None
    id: int | None = None
    name: str | None = None

    def read(self, state: BrevoState) -> Sender:
        """Return the sender meant; refuses both or neither of address and id."""
        if (self.email is None) == (self.id is None):
            raise invalid("sender: exactly one of email and id is needed")
        if self.id is None:
            known = next((one for one in state.senders.values() if one.email == self.email), None)
            return Sender(known.id if known else 0, self.name or (known.name if known else ""), str(self.email))
        if self.id not in state.senders:
            raise invalid(f"Sender id does not exist: {self.id}")
        return state.senders[self.id]


class _Body(msgspec.Struct, rename="camel"):
    sender: SenderGiven | None = None
    template_name: str | None = None
    subject: str | None = None
    html_content: str | None = None
    html_url: str | None = None
    reply_to: str | None = None
    to_field: str | None = None
    tag: str | None = None
    is_active: bool | None = None


def read_html(state: BrevoState, content: str | None, url: str | None) -> str | None:
    """Return the HTML that a request gives, checked; pages that the sandbox can reach stand in `state.hosted`."""
    if content is None and url is None:
        return None
    if content is None:
        if url not in state.hosted:
            raise invalid(f"htmlUrl cannot be reached from the sandbox: {url}")
        content = state.hosted[url].decode("utf-8", "replace")
    if len(content) <= MIN_HTML_LETTERS:
        raise invalid(f"htmlContent must have more than {MIN_HTML_LETTERS} characters")
    if len(content.encode()) >= MAX_HTML_BYTES:
        raise invalid("htmlContent must be smaller than 1 MB")
    return content


def list_templates(state: BrevoState, request: Request) -> Answer:
    """GET /smtp/templates."""
    wanted = request.text("templateStatus")
    rows = [one for one in state.templates.values() if wanted is None or one.active == (wanted == "true")]
    page = cut_page(rows, request, default=50, highest=1000)
    return Answer(200, {"templates": [one.show() for one in page], "count": len(rows)})


def create_template(state: BrevoState, request: Request) -> Answer:
    """POST /smtp/templates: inactive unless told otherwise."""
    body = decode(request.body, _Body)
    html = _read_html(state, body)
    if body.sender is None or not body.template_name or not body.subject or html is None:
        raise RefusedError(400, "missing_parameter", "sender, templateName, subject and htmlContent are needed")
    now = state.now()
    made = Template(0, body.template_name, body.subject, html, body.sender.read(state), now, now)
    _take(made, body)
    made.id = state.next_id("template")
    state.templates[made.id] = made
    state.world.wrote("brevo", "templates.create", str(made.id), ())
    return Answer(201, {"id": made.id})


def get_template(state: BrevoState, request: Request) -> Answer:
    """GET /smtp/templates/{template}."""
    return Answer(200, _find(state, request.path["template"]).show())


def update_template(state: BrevoState, request: Request) -> Answer:
    """PUT /smtp/templates/{template}."""
    one = _find(state, request.path["template"])
    body = decode(request.body, _Body)
    html = _read_html(state, body)
    sender = body.sender.read(state) if body.sender is not None else one.sender
    one.name, one.subject = body.template_name or one.name, body.subject or one.subject
    one.html, one.sender = html or one.html, sender
    _take(one, body)
    one.modified = state.now()
    state.world.wrote("brevo", "templates.update", str(one.id), ())
    return Answer(204)


def delete_template(state: BrevoState, request: Request) -> Answer:
    """DELETE /smtp/templates/{template}: only an inactive one."""
    one = _find(state, request.path["template"])
    if one.active:
        raise invalid("an active template cannot be deleted")
    del state.templates[one.id]
    state.world.wrote("brevo", "templates.delete", str(one.id), ())
    return Answer(204)


class _Test(msgspec.Struct, rename="camel"):
    email_to: list[str] = []


def send_test(state: BrevoState, request: Request) -> Answer:
    """POST /smtp/templates/{template}/sendTest."""
    one = _find(state, request.path["template"])
    count_test(state, decode(request.body, _Test).email_to)
    one.test_sent = True
    return Answer(204)


def count_test(state: BrevoState, addresses: list[str]) -> None:
    """Count test emails: so many a day, and an empty list is everybody on the test list."""
    day = f"tests of day {state.now() // 86_400_000}"
    state.numbers[day] += max(1, len(addresses))
    if state.numbers[day] > state.account.test_emails:
        raise RefusedError(400, "out_of_range", f"at most {state.account.test_emails} test emails a day")


class _Preview(msgspec.Struct, rename="camel"):
    template_id: int
    email: str | None = None
    params: dict[str, Any] | None = None


def preview(state: BrevoState, request: Request) -> Answer:
    """POST /smtp/template/preview: `params` count only in the new language."""
    body = decode(request.body, _Preview)
    if body.email is None and body.params is None:
        raise RefusedError(400, "missing_parameter", "email or params is missing")
    one = _find(state, str(body.template_id))
    contact = None
    if body.email is not None:
        contact = state.find("email", body.email)
        if contact is None:
            raise RefusedError(404, "document_not_found", "Contact does not exist")
    new = is_new_language(one.subject, one.html, one.sender.name, one.to_field)
    values = merge_values(contact)
    params = (body.params or {}) if new else {}
    shown = {
        "subject": render(one.subject, values, params, new=new),
        "html": render(one.html, values, params, new=new),
        "previewText": "",
        "fromEmail": one.sender.email,
        "fromName": render(one.sender.name, values, params, new=new),
        "usedFeedNames": [],
    }
    return Answer(200, shown)


def merge_values(contact: Contact | None) -> dict[str, Any]:
    """Return what a template may say about a contact."""
    if contact is None:
        return {}
    return {**contact.attributes, "EMAIL": contact.email, "EXT_ID": contact.ext_id}


def _read_html(state: BrevoState, body: _Body) -> str | None:
    if body.html_content is not None and body.html_url is not None:
        raise invalid("only one of htmlContent and htmlUrl can be given")
    return read_html(state, body.html_content, body.html_url)


def _take(one: Template, body: _Body) -> None:
    one.reply_to = one.reply_to if body.reply_to is None else body.reply_to
    one.to_field = one.to_field if body.to_field is None else body.to_field
    one.tag = one.tag if body.tag is None else body.tag
    one.active = one.active if body.is_active is None else body.is_active


def _find(state: BrevoState, text: str) -> Template:
    if not text.isdecimal() or int(text) not in state.templates:
        raise RefusedError(404, "document_not_found", "Template ID does not exist")
    return state.templates[int(text)]
