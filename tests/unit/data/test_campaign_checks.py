"""What the checks of a mail say, and that the preview shows what the vendor would."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import FlowError, InputError
from penstock.data.brevo_campaign_file import read_campaign
from penstock.data.brevo_campaigns import Audience as People
from penstock.data.brevo_campaigns import Campaign, Sender, SubjectTest, check_campaign, read_shown, to_body
from penstock.data.brevo_checks import Mail, check_mail, mail_shown, preview
from penstock.data.brevo_preview import LINKS, find_unpreviewed, merge_values, render
from penstock.sandbox.brevo_render import LINKS as THEIR_LINKS
from penstock.sandbox.brevo_render import render as render_there

HTML = '<p>Everything for the cold is half the price.</p><a href="{{ unsubscribe }}">No more</a>'
GOOD = Mail(("Winter",), "Until Sunday", HTML)
ANN = {"id": 1, "email": "ann@example.com", "attributes": {"FIRSTNAME": "Ann", "POINTS": 120, "VIP": True}}
ATTRIBUTES = {"FIRSTNAME", "LASTNAME", "POINTS", "VIP"}


def verdicts(samples=(), local=False, **fields):
    mail = msgspec.structs.replace(GOOD, **fields)
    return {one.name: (one.verdict, one.message) for one in check_mail(mail, ATTRIBUTES, samples, local=local)}


def test_a_good_mail_passes_every_check():
    assert {verdict for verdict, _ in verdicts([ANN]).values()} == {"ok"}


CASES = [
    ("placeholders", "fail", {"html": HTML + "{{ contact.FIRST_NAME }}"}),
    ("placeholders", "fail", {"html": HTML + "{{ contact.firstname }}"}),
    ("placeholders", "fail", {"html": HTML + "{{ params.offer }}"}),
    ("placeholders", "fail", {"html": HTML + "{{ params.offer.price }}", "params": {"offer": {"name": "x"}}}),
    ("placeholders", "ok", {"html": HTML + "{{ params.offer.price }}", "params": {"offer": {"price": 1}}}),
    ("placeholders", "fail", {"lines": ("{{ contact.NOPE }}",)}),
    ("placeholders", "fail", {"html": HTML + "{% if contact.VIP %}"}),
    ("placeholders", "fail", {"html": HTML + "{{ contact.VIP"}),
    ("template language", "fail", {"lines": ("Hello {FIRSTNAME}",)}),
    ("template language", "fail", {"to": "%FIRSTNAME%"}),
    ("template language", "ok", {"html": HTML + "<style>a{color}</style>"}),
    ("personal values", "warn", {"html": HTML + "{{ contact.LASTNAME }}"}),
    ("personal values", "ok", {"html": HTML + "{{ contact.FIRSTNAME }}"}),
    ("unsubscribe", "fail", {"html": HTML.replace("{{ unsubscribe }}", "https://a.example")}),
    ("unsubscribe", "fail", {"html": "<p>{{ unsubscribe }} is only words here, and no link</p>"}),
    ("unsubscribe", "ok", {"html": "<p>All about winter and the cold</p>", "own_footer": True}),
    ("links", "fail", {"html": HTML + '<a href="http://a.example">x</a>'}),
    ("links", "fail", {"html": HTML + '<a href="#">x</a>'}),
    ("links", "fail", {"html": HTML + '<a href="javascript:alert(1)">x</a>'}),
    ("links", "fail", {"html": HTML + '<a href="https://shop">x</a>'}),
    ("links", "fail", {"html": HTML + '<a href="https://[bad">x</a>'}),
    ("links", "fail", {"html": HTML + "<iframe></iframe>"}),
    ("links", "ok", {"html": HTML + '<a href="mailto:a@b.example">x</a>'}),
    ("links", "ok", {"html": HTML + '<a href="https://a.example/{{ contact.POINTS }}">x</a>'}),
    ("links", "ok", {"html": HTML + '<a href="{{ params.u }}">x</a>', "params": {"u": "https://a.example"}}),
    ("links", "fail", {"html": HTML + '<a href="{{ params.u }}">x</a>', "params": {"u": "a.example"}}),
    ("links", "fail", {"html": HTML + '{% if contact.VIP %}ok{% else %}<a href="http://a.example">x</a>{% endif %}'}),
    ("pictures", "fail", {"html": HTML + '<img src="a.png" alt="">'}),
    ("pictures", "fail", {"html": HTML + '<img src="data:image/png;base64,AA==" alt="">'}),
    ("pictures", "warn", {"html": HTML + '<img src="https://a.example/a.png">'}),
    ("pictures", "warn", {"html": '<img src="https://a.example/a.png" alt="x"><a href="{{ unsubscribe }}">x</a>'}),
    ("size", "warn", {"html": HTML + "x" * 110_000}),
    ("size", "fail", {"html": HTML + "x" * 1_100_000}),
    ("subject", "warn", {"preview_text": ""}),
    ("subject", "warn", {"lines": ("x" * 61,)}),
    ("subject", "fail", {"lines": (" ",)}),
    ("preview", "fail", {"lines": ("{{ contact.LASTNAME }}",)}),
    ("preview", "warn", {"html": HTML + "{% include 'x' %}"}),
    ("preview", "warn", {"html": HTML + "{{ contact.POINTS | currency }}"}),
    ("preview", "warn", {"html": HTML + "{{ 'x' * 100000000000 }}"}),
    ("preview", "fail", {"html": HTML + "{{ params.x }}", "params": {"x": "{{ contact.FIRSTNAME }}"}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "verdict", "fields"), CASES)
def test_each_check_sees_what_it_is_for(name, verdict, fields):
    assert verdicts([ANN], **fields)[name][0] == verdict


def test_links_to_this_machine_are_for_the_sandbox_only():
    html = HTML + '<img src="http://127.0.0.1:8089/a.png" alt="x">'
    assert verdicts([ANN], html=html)["pictures"][0] == "fail"
    assert verdicts([ANN], html=html, local=True)["pictures"][0] == "ok"


TEXTS = [
    "Hello {{ contact.FIRSTNAME }}",
    "Hello {{ contact.LASTNAME | default:'there' }}{{contact.LASTNAME|default : \"you\"}}",
    "{% if contact.VIP %}gold{% else %}plain{% endif %} ",
    "{% if contact.POINTS > 100 and not contact.NOPE %}many{% endif %}",
    "{% for item in params.items %}{{ item.name }}: {{ item.price }}, {% endfor %}",
    "{{ contact.FIRSTNAME | upper }} {{ contact.FIRSTNAME | lower }} {{ params.items | length }}",
    "{{ unsubscribe }} {{ mirror }} {{ contact.NOPE }} {{ params.nope | default:'-' }}",
    "100 % off, a | b, 'quoted' {# a comment #}",
    "{{ contact.FIRSTNAME | default:'a | default:b' }}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_preview_is_what_the_emulated_vendor_renders(text):
    params = {"items": [{"name": "Boots", "price": 80}, {"name": "Coat", "price": 120}]}
    values = merge_values(ANN)
    there = render_there(text, values, params, new=True)
    for name, link in THEIR_LINKS.items():
        there = there.replace(link, LINKS[name])
    assert render(text, values, params) == there
    assert find_unpreviewed(text) == []


@given(st.text(alphabet=st.characters(exclude_characters="{}[]%"), max_size=200), st.text(max_size=30))
def test_text_without_tags_stays_and_values_are_never_read_as_tags(text, name):
    name = name.replace("\r", "\n")
    made = render(f"{text.replace(chr(13), '')}<{{{{ contact.FIRSTNAME }}}}>", {"FIRSTNAME": name}, {})
    assert made == f"{text.replace(chr(13), '')}<{name}>"


@given(st.text(alphabet="{}%# abcontact.|'\":if[]()*", max_size=60))
def test_no_template_breaks_the_checks(text):
    found = check_mail(Mail((text,), text, HTML + text), ATTRIBUTES, [ANN])
    assert len(found) == 9


def test_a_template_reaches_nothing_but_its_values():
    assert render("{{ contact.__class__ }}{{ self }}", {}, {}).count("class") == 0
    for text in ("{{ ''.__class__.__mro__ }}", "{{ range(9) }}"):
        with pytest.raises(InputError) as caught:
            render(text, {}, {})
        assert caught.value.code == "campaign.not-rendered"


def test_the_preview_holds_every_text_of_the_mail():
    mail = msgspec.structs.replace(GOOD, lines=("A {{ contact.FIRSTNAME }}", "B"), to="{{ contact.FIRSTNAME }}")
    shown = preview(mail, ANN)
    assert (shown["subject"], shown["second subject"], shown["to"]) == ("A Ann", "B", "Ann")


def test_the_parts_that_brevo_adds_itself_are_not_read_as_old_tags():
    shown = read_shown(
        {"id": 1, "name": "x", "status": "draft", "htmlContent": "<p>x</p>", "header": "[DEFAULT_HEADER]",
         "footer": "[DEFAULT_FOOTER]", "previewText": None}
    )  # fmt: skip
    mail = mail_shown(shown, {})
    assert (mail.html, mail.own_footer) == ("<p>x</p>", True)


CAMPAIGN = Campaign("winter", Sender(email="a@b.example"), HTML, subject="Winter")
WRONG = [
    ("no name", {"name": " "}),
    ("give one of them", {"subjects": ("A", "B")}),
    ("exactly two", {"subject": "", "subjects": ("A",)}),
    ("exactly two", {"subject": "", "subjects": ("A", "B", "C")}),
    ("exactly two", {"subject": "", "subjects": ("A", "A")}),
    ("subject is empty", {"subject": ""}),
    ("exactly one of email and id", {"sender": Sender()}),
    ("exactly one of email and id", {"sender": Sender(email="a@b.example", id=1)}),
    ("HTML has", {"html": "<p>"}),
    ("HTML has", {"html": "x" * (1024 * 1024)}),
    ("best time", {"subject": "", "subjects": ("A", "B"), "best_time": True}),
    ("share", {"test": SubjectTest(share=51)}),
    ("wait-hours", {"test": SubjectTest(wait_hours=169)}),
]


@pytest.mark.parametrize(("words", "fields"), WRONG)
def test_what_brevo_would_refuse_or_ignore_is_refused_here(words, fields):
    with pytest.raises(InputError) as caught:
        check_campaign(msgspec.structs.replace(CAMPAIGN, **fields))
    assert words in caught.value.message
    assert caught.value.hint


def test_a_request_never_names_a_sender_twice_or_a_winner_where_nobody_is_left():
    check_campaign(CAMPAIGN)
    test = msgspec.structs.replace(
        CAMPAIGN, subject="", subjects=("A", "B"), test=SubjectTest(share=50), sender=Sender(id=3, name="Shop")
    )
    body = to_body(test, People(lists=(1,)), "mark")
    assert body["sender"] == {"id": 3, "name": "Shop"}
    assert body["splitRule"] == 50
    assert not {"winnerCriteria", "winnerDelay", "subject"} & set(body)


FILES = {
    "name: a\nsubject: b\nhtml: mail.html\nsender: {email: a@b.example}\ncolour: red\n": ":5:1",
    "name: a\nsubject: b\nhtml: mail.html\nsender:\n  email: 5\n": ":5:3",
    "name: a\nsubject: b\nsender: {email: a@b.example}\n": ":1:1",
    "name: a\nsubject: b\nhtml: none.html\nsender: {email: a@b.example}\n": ":3:1",
    "name: a\nsubject: b\nhtml: mail.txt\nsender: {email: a@b.example}\n": ":3:1",
    "name: a\nkind: letter\nsubject: b\nhtml: mail.html\nsender: {email: a@b.example}\n": ":2:1",
}


@pytest.mark.parametrize("text", FILES)
def test_a_wrong_file_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "mail.html").write_text(HTML)
    (tmp_path / "campaign.yaml").write_text(text)
    with pytest.raises(FlowError) as caught:
        read_campaign(tmp_path / "campaign.yaml", str)
    assert caught.value.code == "campaign.file"
    assert caught.value.where.endswith(FILES[text])


def test_mjml_is_turned_into_html(tmp_path):
    (tmp_path / "mail.mjml").write_text("<mjml></mjml>")
    (tmp_path / "c.yaml").write_text("name: a\nsubject: b\nmjml: mail.mjml\nsender: {email: a@b.example}\n")
    file = read_campaign(tmp_path / "c.yaml", lambda source: f"<html>{source}</html>")
    assert (file.campaign.html, file.kind, file.folder) == ("<html><mjml></mjml></html>", "campaign", tmp_path)
