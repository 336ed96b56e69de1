"""Written texts in HTML: escaped, tags untouched, nothing fetched, a plain-text part."""

from __future__ import annotations

import re
import sys

import pytest

from penstock.base.errors import InputError, SettingsError
from penstock.features.emails import check_mail
from penstock.features.writing.guard import Guarded
from penstock.features.writing.layout import USUAL, Shown, _load, escape_text, fill, render, to_plain
from penstock.vendor.brevo_template import read_tags

for needed in ("mrml", "css_inline"):
    pytest.importorskip(needed)

NAME = "{{ contact.FIRSTNAME | default:'there' }}"
PARTS = {
    "subject": f"Hi {NAME} & co",
    "preview_text": "Look inside",
    "headline": "New <shoes>",
    "body": f"Hello {NAME},\n\nsee <script>alert(1)</script> & more.\n\n"
    "{% if contact.VIP == 'yes' %}For you{% endif %}",
    "button": "See them",
    "link": "https://shop.example/?a=1&b={{ contact.EMAIL }}",
}


def tags_of(html: str) -> list[str]:
    return [tag.text for tag in read_tags(html)]


def test_the_usual_layout_holds_every_text_escaped_and_every_tag_as_it_was() -> None:
    html = render(fill(USUAL, PARTS, "de"))
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert "New &lt;shoes&gt;" in html
    assert 'lang="de"' in html
    assert 'href="https://shop.example/?a=1&amp;b={{ contact.EMAIL }}"' in html
    assert ">Abmelden</a>" in html
    assert tags_of(html) == [
        NAME,
        NAME,
        "{% if contact.VIP == 'yes' %}",
        "{% endif %}",
        "{{ contact.EMAIL }}",
        "{{ mirror }}",
        "{{ unsubscribe }}",
    ]


def test_a_value_cannot_leave_its_attribute() -> None:
    html = render(fill(USUAL, {**PARTS, "link": 'https://x.example/" onclick="steal()'}))
    assert "onclick=" not in html.replace("&quot; onclick=&quot;", "")


def test_the_plain_text_part_has_the_texts_the_links_and_the_tags() -> None:
    text = to_plain(render(fill(USUAL, PARTS)))
    assert text.splitlines()[0] == "New <shoes>"
    assert f"Hello {NAME}," in text
    assert "See them (https://shop.example/?a=1&b={{ contact.EMAIL }})" in text
    assert "Unsubscribe ({{ unsubscribe }})" in text
    assert "Look inside" not in text
    assert "{% if contact.VIP == 'yes' %}For you{% endif %}" in text


@pytest.mark.parametrize(
    "html",
    [
        "<table>{% for i in params.items %}<tr><td>{{ i.name }}</td></tr>{% endfor %}</table>",
        "<table>{% if contact.A %}<tr><td>1</td></tr>{% else %}<tr><td>2</td></tr>{% endif %}</table>",
        "<p {% if contact.A > 1 %}class='x'{% endif %}>{{ contact.A }}</p>",
        "<a href='{{ unsubscribe }}'>x</a><a href=\"{{ mirror }}\">y</a>",
        "<a href=\"{{ params.url | default:'https://x' }}\">z</a>",
        "<style>p { color: {{ params.color }} }</style><p>x</p>",
        "<style>p { color: red }</style><!--[if mso]><p>{{ mirror }}</p><![endif]--><p>{{ contact.A }}</p>",
        "<select>{% for o in params.o %}<option>{{ o }}</option>{% endfor %}</select>",
        "<ul>{% for o in params.o %}<li>{{ o }}</li>{% endfor %}</ul>{# a note #}",
        "{% if contact.A %}<!doctype html><html><body><p>x</p></body></html>{% endif %}",
    ],
)
def test_ten_templates_that_such_tools_spoil_keep_every_tag_in_place(html: str) -> None:
    assert tags_of(render(html)) == tags_of(html)


def test_a_loop_stays_around_its_row_inside_the_table() -> None:
    html = render("<table>{% for i in params.items %}<tr><td>{{ i }}</td></tr>{% endfor %}</table>")
    assert "<table><tbody>{% for i in params.items %}<tr><td>{{ i }}</td></tr>{% endfor %}</tbody></table>" in html


def test_mjml_keeps_blocks_between_its_elements() -> None:
    source = (
        "<mjml><mj-body><mj-raw>{% if contact.A %}</mj-raw><mj-section><mj-column><mj-text>{{ contact.A }}</mj-text>"
        "{% for x in params.y %}<mj-image src='{{ x.img }}' alt='{{ x.alt }}' />{% endfor %}</mj-column></mj-section>"
        "<mj-raw>{% endif %}</mj-raw></mj-body></mjml>"
    )
    html = render(source)
    assert sorted(tags_of(html)) == sorted(tags_of(source))
    assert html.index("{% for") < html.index("{{ x.img }}") < html.index("{% endfor %}") < html.index("{% endif %}")


def test_a_tag_that_would_be_lost_is_refused_instead() -> None:
    with pytest.raises(InputError, match="cannot be kept"):
        render("<p{{ x }}>y</p{{ z }}>")
    guarded = Guarded("<p>{{ a }} {{ b }}</p>")
    for spoilt in ("<p></p>", guarded.text + guarded.text, "<p>{{ b }} {{ a }}</p>"):
        with pytest.raises(InputError, match="cannot be kept"):
            guarded.restore(spoilt)


def test_styles_go_into_the_elements_media_queries_stay_and_nothing_is_fetched() -> None:
    html = render(
        "<html><head><link rel='stylesheet' href='https://never.example/x.css'>"
        "<style>p{color:red} @media (max-width:1px){p{color:blue}}</style></head><body><p>x</p></body></html>"
    )
    assert '<p style="color: red;">x</p>' in html
    assert "@media" in html


@pytest.mark.parametrize("source", ["<mjml><mj-body><mj-section></mj-body></mjml>", "<mjml><mj-text>"])
def test_mjml_that_cannot_be_read_is_one_clear_error(source: str) -> None:
    with pytest.raises(InputError) as caught:
        render(source)
    assert caught.value.code == "content.markup"


def test_an_unknown_slot_is_named() -> None:
    with pytest.raises(InputError, match=r"\[\[footer\]\]"):
        fill("<p>[[body]] [[footer]]</p>", PARTS)


def test_a_missing_package_names_its_extra() -> None:
    assert "no_such_package" not in sys.modules
    with pytest.raises(SettingsError) as caught:
        _load("no_such_package")
    assert caught.value.code == "settings.extra"
    assert "penstock[content]" in str(caught.value.hint)


def test_escaping_leaves_tags_alone() -> None:
    assert escape_text("a < {{ contact.A | default:'<b>' }} & \"c\"") == (
        "a &lt; {{ contact.A | default:'<b>' }} &amp; &quot;c&quot;"
    )


@pytest.mark.parametrize(
    ("html", "text", "refused"),
    [
        ("<p>{{ unsubscribe }}</p>" + "word " * 20, "word " * 20, []),
        ("<p>no way out</p>", "no way out", ["unsubscribe"]),
        ("<img src='x'><a href='{{ unsubscribe }}'>x</a>", "x", ["text beside pictures"]),
        ("{{ unsubscribe }} {{ contact.GONE | default:'x' }}", "x", ["mail tags"]),
    ],
)
def test_a_whole_mail_has_a_way_out_text_and_known_tags(html: str, text: str, refused: list[str]) -> None:
    checks = check_mail(html, text, ["FIRSTNAME"])
    assert [check.name for check in checks if check.verdict == "error"] == refused
    assert check_mail("x" * 200_000, "x", [])[-1].verdict == "warning"


@pytest.mark.parametrize("layout", [USUAL, "<div>[[picture]]</div>[[body]]"])
def test_a_picture_stands_in_its_slot_with_its_words_and_never_wider_than_it_is(layout: str) -> None:
    alt = "Shoes & \"more\" {{ contact.A | default:'x' }}"
    html = render(fill(layout, PARTS, "de", Shown("hero 1.jpg", alt, 480)))
    (image,) = re.findall(r"<img [^>]*>", html)
    assert 'src="hero 1.jpg"' in image
    assert 'width="480"' in image
    assert "Shoes &amp; &quot;more&quot;" in image
    assert "{{ contact.A | default:'x' }}" in image
    assert "<img" not in render(fill(layout, PARTS, "de"))


def test_a_layout_without_a_place_for_the_picture_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        fill("<p>[[body]]</p>", PARTS, "en", Shown("a.jpg", "", 600))
    assert caught.value.code == "content.slot"
