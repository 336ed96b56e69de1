"""write-email: Write an email (subject, preview, text, button, HTML), checked and in need of approval.

From one brief to variants from different angles, in one language or several, put into an MJML or HTML layout with its
tags untouched. What a check refuses is repaired once and otherwise set aside with its reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from penstock.features.writing.brief import Brief
from penstock.features.writing.checks import Check, check_tags
from penstock.features.writing.layout import SLOTS, USUAL, Shown, fill, render, to_plain
from penstock.features.writing.orders import VERSION, Craft, write_ask
from penstock.features.writing.variants import NEEDS_APPROVAL, Rejected, Unwritten, read_drafts, write
from penstock.operations.declare import Asker, Done, Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask
from penstock.vendor.brevo_template import read_tags

LEAST_TEXT = 60
"""Letters of text below which a mail with pictures counts as made of pictures only."""
MOST_BYTES = 102_000
"""Size from which one large mailbox cuts mails off (Gmail clips at about 102 kB)."""


class Image(Fields):
    """A picture that is there already, such as one of `make-visual`."""

    address: str = Field(min_length=1, max_length=2000, pattern=r"^(https://[^\s<>\"']+|[^:<>\"'{}]+)$")
    """An https address, or the name of a file beside the mail, which `campaigns draft` puts into Brevo's gallery."""
    alt: dict[str, str] = Field(default={}, max_length=30)
    """What it says to those who do not see it, by language."""
    width: int = Field(default=600, ge=1, le=600)
    """How wide the mail shows it, in points."""


class Input(Brief):
    """What is to be written, for whom, and into which layout."""

    url: str = Field(default="", max_length=2000)
    """Where the button leads: an address with https, or a template tag. Without it the usual layout has no target."""
    layout: str = Field(default="", max_length=500_000)
    """MJML or HTML with slots such as `[[body]]`; empty takes the usual layout."""
    picture: Image | None = None
    """A picture for the slot `[[picture]]` of the layout: `address`, `alt` by language, `width`."""
    max_characters: int | None = Field(default=60, ge=10, le=300)
    """Longest subject, in characters."""
    max_words: int = Field(default=150, ge=20, le=1000)
    """About how long the text may be, in words."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        tags = read_tags(value)
        is_tag = bool(tags) and tags[0].start == 0 and tags[0].kind == "value"
        if value and not is_tag and not re.match(r"https://[^\s<>\"']+$", value):
            raise ValueError("an address with https, or a template tag, is needed")
        return value

    @field_validator("layout")
    @classmethod
    def _check_layout(cls, value: str) -> str:
        if value and "[[body]]" not in value:
            raise ValueError(f"the layout has no [[body]]; slots are {', '.join(SLOTS)}")
        return value


class Email(Fields):
    """One email."""

    subject: str
    """The subject."""
    preview_text: str
    """What a mailbox shows beside it."""
    headline: str
    """What stands above the text."""
    body: str
    """The text, with blank lines between paragraphs."""
    button: str
    """What stands on the button."""
    html: str = ""
    """The whole mail as HTML, styles inside the elements."""
    text: str = ""
    """The plain-text part."""
    language: str = ""
    """Language code."""
    angle: str = ""
    """Side from which it looks at the offer; results are remembered by it."""
    checks: list[Check] = Field(default=[])
    """What every check said."""


class Output(Fields):
    """The emails that may be shown to a person."""

    variants: list[Email]
    """Good ones, in order of language and angle."""
    rejected: list[Rejected] = Field(default=[])
    """Those that must not be used, and why."""
    problems: list[Unwritten] = Field(default=[])
    """Languages in which nothing usable was written."""
    state: Literal["needs approval"] = NEEDS_APPROVAL
    """A person approves, never this operation."""
    trial: str = ""
    """What a test of the variants can show: contacts that each arm needs."""
    model: str
    """The model that wrote."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Write; raises `OutputError` when no variant is usable after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def _finish(input: Input, language: str, texts: Mapping[str, str]) -> tuple[Mapping[str, str], list[Check]]:
    """Put the texts into the layout, and check what became of it."""
    parts = {**texts, "link": input.url or "{{ mirror }}"}
    html = render(fill(input.layout or USUAL, parts, language, _show(input, language)))
    text = to_plain(html)
    return {"html": html, "text": text}, check_mail(html, text, input.attributes)


def _show(input: Input, language: str) -> Shown | None:
    image = input.picture
    return None if image is None else Shown(image.address, image.alt.get(language, ""), image.width)


def check_mail(html: str, text: str, attributes: list[str]) -> list[Check]:
    """Check a whole mail: a way out, more than pictures, tags that can be rendered, a size that is not cut off."""
    tags, defaults = check_tags(html, attributes)
    has_way_out = any(tag.name == "unsubscribe" for tag in read_tags(html) if tag.kind == "value")
    letters = sum(letter.isalpha() for letter in text)
    is_pictures = "<img" in html.lower() and letters < LEAST_TEXT
    size = len(html.encode())
    return [
        Check(name="mail tags", verdict=tags.verdict, found=tags.found),
        Check(name="mail defaults", verdict=defaults.verdict, found=defaults.found),
        Check(
            name="unsubscribe",
            verdict="ok" if has_way_out else "error",
            found="" if has_way_out else "the mail has no {{ unsubscribe }}",
        ),
        Check(
            name="text beside pictures",
            verdict="error" if is_pictures else "ok",
            found=f"{letters} letters beside pictures" if is_pictures else "",
        ),
        Check(name="size", verdict="warning" if size > MOST_BYTES else "ok", found=f"{size:,} bytes"),
    ]


CRAFT = Craft(
    module=__name__,
    task="You write marketing emails. The subject says what the mail is about, the text keeps that promise, and the "
    "button says what happens after a click.",
    parts={
        "subject": "The subject line, on one line.",
        "preview_text": "The preview text: goes on where the subject ends, at most 90 characters.",
        "headline": "What stands above the text, on one line.",
        "body": "The text of the mail: short paragraphs with a blank line between them; no greeting twice, no footer.",
        "button": "What stands on the button, two to five words.",
    },
    main="subject",
    likely_tokens=280,
    read_input=Input,
    finish=_finish,
)


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent first."""
    return write_ask(CRAFT, OPERATION.name, input, choice, input.languages[0], {})


def read(input: Input, answer: Answer) -> Output:
    """Read one answer without checking it; raises `OutputError`."""
    drafts = read_drafts(CRAFT, input, answer)
    return Output(variants=[Email.model_validate(draft) for draft in drafts], model=answer.model)


async def work(asker: Asker, input: Input, choice: ModelChoice) -> Done[Output]:
    """Write every language: a call each, one repair, and a free call of the moderation."""
    # what is wrong with the layout, and a missing extra, is known before anything is paid for
    parts = dict.fromkeys(CRAFT.parts, "x") | {"link": "https://example.com"}
    render(fill(input.layout or USUAL, parts, picture=_show(input, "")))
    written = await write(asker, input, choice, CRAFT)
    output = Output(
        variants=[
            Email(**one.texts, **one.more, language=one.language, angle=one.angle, checks=list(one.checks))
            for one in written.good
        ],
        rejected=written.rejected,
        problems=written.problems,
        trial=written.trial,
        model=written.model,
    )
    return Done(output, written.answers, written.warnings)


OPERATION = Operation(
    module=__name__,
    version=VERSION,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    work=work,
    example={
        "offer": "Summer sandals with 20 % off until 2026-08-31, code SUMMER20.",
        "readers": "Customers who bought shoes last year.",
        "placeholders": ["{{ contact.FIRSTNAME | default:'there' }}"],
        "url": "https://shop.example/sandals",
        "variants": 2,
    },
)
