"""What is wrong with a mail before anybody gets it: tags, unsubscribe link, links, pictures, size, preview.

Pure: it looks at texts and at what the account was asked for, and calls nobody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.base.errors import InputError
from penstock.base.types import Finding
from penstock.data.brevo_campaigns import MAX_HTML_BYTES, Campaign, Shown
from penstock.data.brevo_preview import LINKS, find_unpreviewed, merge_values, render
from penstock.vendor.brevo_template import Tag, find_bare, find_broken, find_unknown, read_tags

CLIPPED_BYTES = 102 * 1024
"""Gmail shows no more of a mail and cuts the unsubscribe link off with the rest."""
SHOWN_SUBJECT_LETTERS = 60
FEW_LETTERS = 40
DEFAULT_PARTS = re.compile(r"\[DEFAULT_(HEADER|FOOTER)\]")
"""What Brevo shows where the account's own header and footer stand; its footer holds the unsubscribe link."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OTHER_SCHEMES = ("mailto", "tel", "sms")
_STAND_IN = "https://preview.example/value"
_MOST_NAMED = 5


class Mail(msgspec.Struct, frozen=True):
    """What the checks look at, from a file or from a draft at Brevo; `own_footer` says that the account's is used."""

    lines: tuple[str, ...]
    preview_text: str
    html: str
    to: str = ""
    sender_name: str = ""
    params: dict[str, Any] = {}
    own_footer: bool = False

    @property
    def texts(self) -> dict[str, str]:
        """Return every text that is filled in, by its name for people."""
        subjects = zip(("subject", "second subject"), self.lines, strict=False)
        rest = {"preview text": self.preview_text, "HTML": self.html, "to": self.to, "sender's name": self.sender_name}
        return {**dict(subjects), **{name: text for name, text in rest.items() if text}}


def mail_of(campaign: Campaign) -> Mail:
    """Return the mail of a campaign that is not drafted yet."""
    return Mail(
        campaign.lines,
        campaign.preview_text,
        campaign.html,
        campaign.to,
        campaign.sender.name,
        campaign.params,
    )


def mail_shown(shown: Shown, params: Mapping[str, Any]) -> Mail:
    """Return the mail of a draft; Brevo does not show the `params`, so they are given."""
    html = f"{shown.header}{shown.html_content}{shown.footer}"
    return Mail(
        shown.lines,
        shown.preview_text,
        DEFAULT_PARTS.sub("", html),
        shown.to_field,
        str(shown.sender.get("name") or ""),
        dict(params),
        own_footer="[DEFAULT_FOOTER]" in shown.footer,
    )


def check_mail(
    mail: Mail, attributes: Collection[str], samples: Sequence[Mapping[str, Any]] = (), *, local: bool = False
) -> list[Finding]:
    """Return a finding for each check. `samples` are contacts as Brevo shows them; `local` allows this machine's links.

    `attributes` are the names of the account's contact attributes.
    """
    page = read_page(stand_in(mail.html, mail.params))
    return [
        check_tags(mail, attributes),
        check_language(mail),
        check_defaults(mail, samples),
        check_unsubscribe(mail, page),
        check_links(page, local=local),
        check_pictures(page, local=local),
        check_size(mail),
        check_lines(mail, samples),
        check_preview(mail, samples),
    ]


def check_tags(mail: Mail, attributes: Collection[str]) -> Finding:
    """Find tags that read what will not be there, and tags that cannot be rendered."""
    wrong = []
    for name, text in mail.texts.items():
        tags = read_tags(text)
        bad = [*find_broken(tags), *find_unknown(tags, attributes), *_find_unset(tags, mail.params)]
        wrong += [f"{tag.text[:60]} in the {name}" for tag in dict.fromkeys(bad)]
    if not wrong:
        count = sum(len(read_tags(text)) for text in mail.texts.values())
        return Finding("placeholders", "ok", f"{count} tags, each with a value behind it")
    return Finding(
        "placeholders",
        "fail",
        _name_some(wrong),
        "Use attributes that the account has (names match exactly), and give every param a value.",
    )


def _find_unset(tags: Sequence[Tag], params: Mapping[str, Any]) -> list[Tag]:
    return [tag for tag in tags if any(_is_unset(path, params) for path in tag.paths)]


def _is_unset(path: str, params: Mapping[str, Any]) -> bool:
    root, *rest = path.split(".")
    value: Any = params
    for part in rest if root == "params" else ():
        if not isinstance(value, Mapping):
            return False
        if part not in value:
            return True
        value = value[part]
    return False


def check_language(mail: Mail) -> Finding:
    """Find the old spellings: one of them anywhere and Brevo honours no `params`."""
    old = [f"{tag.text} in the {name}" for name, text in mail.texts.items() for tag in read_tags(text) if _is_old(tag)]
    if not old:
        return Finding("template language", "ok", "the new one throughout")
    fix = "Write {{ contact.NAME }} instead; the two languages do not mix."
    return Finding("template language", "fail", f"old spellings: {_name_some(old)}", fix)


def _is_old(tag: Tag) -> bool:
    return tag.kind == "old"


def check_defaults(mail: Mail, samples: Sequence[Mapping[str, Any]]) -> Finding:
    """Find personal tags that would leave a gap for some of the recipients."""
    texts = [text for name, text in mail.texts.items() if name != "to"]  # an address without a name is none
    bare = {tag.attribute for text in texts for tag in find_bare(read_tags(text))}
    gaps = {name: sum(merge_values(one).get(name) in (None, "") for one in samples) for name in sorted(bare)}
    gaps = {name: count for name, count in gaps.items() if count or not samples}
    if not gaps:
        return Finding("personal values", "ok", "none leaves a gap")
    of = f" of {len(samples)} sampled recipients lack it)"
    said = [f"{name} ({count}{of}" if samples else name for name, count in gaps.items()]
    fix = "Give the tag a default: {{ contact.NAME | default:'there' }}."
    return Finding("personal values", "warn", f"no default for {_name_some(said)}", fix)


def check_unsubscribe(mail: Mail, page: Page) -> Finding:
    """Hold a mail to its link for unsubscribing."""
    if any(LINKS["unsubscribe"] in link for link in page.links):
        return Finding("unsubscribe", "ok", "a link is there")
    if mail.own_footer:
        return Finding("unsubscribe", "ok", "in the account's own footer")
    return Finding(
        "unsubscribe", "fail", "there is no link to unsubscribe", 'Add <a href="{{ unsubscribe }}">Unsubscribe</a>.'
    )


def check_links(page: Page, *, local: bool) -> Finding:
    """Find links that lead nowhere or are not secure."""
    wrong = [f"{link or '(empty)'}: {problem}" for link in page.links if (problem := _judge(link, local, mail=True))]
    wrong += [f"<{name}>: no mail program runs it" for name in sorted(page.active)]
    if wrong:
        return Finding("links", "fail", _name_some(wrong), "Use whole https addresses.")
    return Finding("links", "ok", f"{len(page.links)}, all https")


def check_pictures(page: Page, *, local: bool) -> Finding:
    """Find pictures that nobody could see, or that say nothing to those who cannot see them."""
    wrong = [f"{source[:60]}: {problem}" for source, _ in page.pictures if (problem := _judge(source, local))]
    if wrong:
        fix = "Name the file of the picture in the campaign's HTML; drafting hosts it."
        return Finding("pictures", "fail", _name_some(wrong), fix)
    silent = [source for source, alternative in page.pictures if alternative is None]
    if silent:
        return Finding("pictures", "warn", f"no alt text: {_name_some(silent)}", 'Add alt="…" to each picture.')
    if page.pictures and page.letters < FEW_LETTERS:
        return Finding("pictures", "warn", "the mail is pictures with hardly any text", "Say it in text too.")
    return Finding("pictures", "ok", f"{len(page.pictures)}")


def _judge(address: str, local: bool, *, mail: bool = False) -> str:
    """Return what is wrong with an address; nothing when it is fine."""
    try:
        parts = urlsplit(address.strip())
        host = parts.hostname or ""
    except ValueError:
        return "not an address"
    if mail and parts.scheme in _OTHER_SCHEMES:
        return ""
    if not parts.scheme or (not host and parts.scheme in ("http", "https")):
        return "not a whole address"
    if parts.scheme != "https":
        is_own = local and parts.scheme == "http" and host in _LOOPBACK
        return "" if is_own else f"{parts.scheme}, not https"
    is_named = "." in host and not re.search(r"\s", address.strip())
    return "" if is_named or (local and host in _LOOPBACK) else "not a valid host"


def check_size(mail: Mail) -> Finding:
    """Hold the HTML to Brevo's limit, and to what the largest mail service shows."""
    size = len(mail.html.encode())
    if size >= MAX_HTML_BYTES:
        return Finding("size", "fail", f"{size:,} bytes; Brevo takes less than 1 MB", "Shorten the HTML.")
    if size > CLIPPED_BYTES:
        fix = "Shorten the HTML, or host pictures instead of embedding them."
        return Finding("size", "warn", f"{size:,} bytes; Gmail shows {CLIPPED_BYTES:,} and cuts the rest", fix)
    return Finding("size", "ok", f"{size:,} bytes")


def check_lines(mail: Mail, samples: Sequence[Mapping[str, Any]] = ()) -> Finding:
    """Look at what an inbox shows, as recipients get it: subjects and preview text."""
    if not all(line.strip() for line in mail.lines):
        return Finding("subject", "fail", "a subject is empty", "Write one.")
    if not mail.preview_text.strip():
        fix = "Set preview-text; without it, inboxes show the beginning of the HTML."
        return Finding("subject", "warn", "there is no preview text", fix)
    longest = max(len(line) for contact in samples or ({},) for line in _fill_lines(mail, contact))
    if longest > SHOWN_SUBJECT_LETTERS:
        message = f"{longest} letters; most inboxes show {SHOWN_SUBJECT_LETTERS} at most"
        return Finding("subject", "warn", message, "Say what matters first.")
    return Finding("subject", "ok", f"{longest} letters at most, and a preview text")


def _fill_lines(mail: Mail, contact: Mapping[str, Any]) -> list[str]:
    try:
        return [render(line, merge_values(contact), mail.params) for line in mail.lines]
    except InputError:  # the check of the preview says so
        return list(mail.lines)


def check_preview(mail: Mail, samples: Sequence[Mapping[str, Any]]) -> Finding:
    """Render everything for each sample, and look that no tag is left over and no subject came out empty."""
    beyond = [tag for text in mail.texts.values() for tag in find_unpreviewed(text)]
    if beyond:
        fix = "Send yourself a test from Brevo to see them."
        return Finding("preview", "warn", f"only Brevo can render {_name_some(beyond)}", fix)
    for contact in samples or ({},):
        try:
            shown = preview(mail, contact)
        except InputError as error:
            return Finding("preview", "fail", error.message, error.hint)
        left = [tag.text for text in shown.values() for tag in read_tags(text) if tag.kind != "comment"]
        if left:
            return Finding("preview", "fail", f"left over after filling in: {_name_some(left)}", "Remove them.")
        if not all(shown[name].strip() for name in ("subject", "second subject") if name in shown):
            return Finding("preview", "fail", "a subject comes out empty", "Give its tags a default.")
    return Finding(
        "preview", "ok", f"rendered for {len(samples)} recipients" if samples else "rendered, for nobody yet"
    )


def preview(mail: Mail, contact: Mapping[str, Any]) -> dict[str, str]:
    """Return every text of a mail as a contact would get it."""
    values = merge_values(contact)
    return {name: render(text, values, mail.params) for name, text in mail.texts.items()}


def stand_in(html: str, params: Mapping[str, Any]) -> str:
    """Return the HTML with something in the place of every tag, all branches of it, for a look at its links."""
    parts, end = [], 0
    for tag in read_tags(html):
        parts.append(html[end : tag.start])
        end = tag.end
        if tag.kind in ("value", "old"):
            value: Any = params
            for part in tag.name.split(".")[1:] if tag.name.startswith("params.") else (tag.name,):
                value = value.get(part) if isinstance(value, Mapping) else None
            parts.append(LINKS.get(tag.name.lower()) or (value if isinstance(value, str) else _STAND_IN))
    return "".join([*parts, html[end:]])


class Page:
    """What a mail program finds in an HTML: links, pictures with their alt text, active parts, letters of text."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.pictures: list[tuple[str, str | None]] = []
        self.active: set[str] = set()
        self.letters = 0


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("a", "area") and "href" in given:
            self.page.links.append(given["href"] or "")
        elif tag == "img":
            self.page.pictures.append((given.get("src") or "", given.get("alt")))
        elif tag in ("script", "iframe", "object", "embed"):
            self.page.active.add(tag)
        self._hidden += tag in ("style", "script", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script", "title") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.page.letters += len("".join(data.split()))


def read_page(html: str) -> Page:
    """Read an HTML as a mail program does."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


def _name_some(parts: Sequence[str]) -> str:
    more = len(parts) - _MOST_NAMED
    return ", ".join(parts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
