"""The tags of Brevo's template language: read, compared, judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.vendor.brevo_template import (
    compare_tags,
    find_bare,
    find_broken,
    find_personal,
    find_unknown,
    is_old_language,
    read_tags,
)


@pytest.mark.parametrize(
    ("text", "kind", "name", "attribute", "has_default"),
    [
        ("{{ contact.FIRSTNAME | default:'there' }}", "value", "contact.FIRSTNAME", "FIRSTNAME", True),
        ('{{contact.FIRSTNAME|default("you")}}', "value", "contact.FIRSTNAME", "FIRSTNAME", True),
        ("{{ contact.FIRSTNAME | upper }}", "value", "contact.FIRSTNAME", "FIRSTNAME", False),
        ("{{ contact.FIRSTNAME | default:'a default' | upper }}", "value", "contact.FIRSTNAME", "FIRSTNAME", True),
        ("{{ contact.X | replace:'| default' }}", "value", "contact.X", "X", False),
        ("{{ unsubscribe }}", "value", "unsubscribe", "", False),
        ("{{ mirror }}", "value", "mirror", "", False),
        ("{{ params.order.total }}", "value", "params.order.total", "", False),
        ("{% if contact.VIP == 'yes' %}", "block", "if", "VIP", False),
        ("{%- for item in params.items -%}", "block", "for", "", False),
        ("{% endif %}", "block", "endif", "", False),
        ("{# a note #}", "comment", "", "", False),
        ("{FIRSTNAME}", "old", "FIRSTNAME", "FIRSTNAME", False),
        ("[UNSUBSCRIBE]", "old", "UNSUBSCRIBE", "", False),
        ("%FIRSTNAME%", "old", "FIRSTNAME", "FIRSTNAME", False),
        ("%7B%7B%20unsubscribe%20%7D%7D", "encoded", "", "", False),
        ("{{ contact.X | default:'it }}", "broken", "", "", False),
        ("{{ }}", "broken", "", "", False),
    ],
)
def test_a_tag_is_read_for_what_it_is(text: str, kind: str, name: str, attribute: str, has_default: bool) -> None:
    source = f"a «{text}» b"
    (tag,) = read_tags(source)
    assert (tag.kind, tag.name, tag.attribute, tag.has_default) == (kind, name, attribute, has_default)
    assert source[tag.start : tag.end] == tag.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100% linen, 50% off today",
        "<style>a{color:red} @media x{b{c:d}} i{WIDTH}</style>",
        "<a href='/?q=%C3%A9t%C3%A9'>x</a>",
        "<!--[if mso]><p>x</p><![endif]-->",
        "Save [now]",
        "a { b } c",
    ],
)
def test_what_only_looks_like_a_tag_is_none(text: str) -> None:
    assert read_tags(text) == []


def test_an_opening_without_an_end_is_broken_and_does_not_swallow_the_next_tag() -> None:
    assert [(tag.text, tag.kind) for tag in read_tags("{{ contact.X and {{ mirror }} then }}")] == [
        ("{{", "broken"),
        ("{{ mirror }}", "value"),
        ("}}", "broken"),
    ]


def test_tags_are_compared_by_how_often_they_stand_there() -> None:
    difference = compare_tags("{{ a }} {{ a }} {{ mirror }}", "{{ a }} {{ mirror }} {{mirror}}")
    assert difference.describe() == ["{{ a }} is missing", "{{mirror}} is new"]
    assert not compare_tags("{{ a }} x {% if b %}", "{% if b %} y {{ a }}")


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("{{ contact.FIRSTNAME }} {{ contact.EMAIL }} {{ mirror }} {{ unsubscribe }}", []),
        ("{{ contact.firstname }}", ["{{ contact.firstname }}"]),
        ("{% if contact.GONE %}x{% endif %}", ["{% if contact.GONE %}"]),
        ("{{ firstname }}", ["{{ firstname }}"]),
        ("{% for item in params.items %}{{ item.name }}{{ loop.index }}{% endfor %}", []),
        ("{% set total = params.total %}{{ total }}", []),
        ("{{ params.x | default:'contact.GONE' }}", []),
        ("{LASTNAME} {FIRSTNAME}", ["{LASTNAME}"]),
    ],
)
def test_a_name_that_will_not_be_there_is_found(text: str, unknown: list[str]) -> None:
    assert [tag.text for tag in find_unknown(read_tags(text), {"FIRSTNAME", "VIP"})] == unknown


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("{{ contact.A }}", ["{{ contact.A }}"]),
        ("{{ contact.A | default:'x' }} {{ mirror }}", []),
        ("{% if contact.A %}{{ contact.A }}{% endif %}", []),
        ("{% if contact.A %}{{ contact.B }}{% endif %}", ["{{ contact.B }}"]),
        ("{% if contact.A %}x{% else %}{{ contact.A }}{% endif %}", ["{{ contact.A }}"]),
        ("{% if not contact.A %}{{ contact.A }}{% endif %}", ["{{ contact.A }}"]),
        ("{% if contact.A %}x{% endif %}{{ contact.A }}", ["{{ contact.A }}"]),
    ],
)
def test_a_personal_field_needs_a_default_or_a_condition_around_it(text: str, bare: list[str]) -> None:
    assert [tag.text for tag in find_bare(read_tags(text))] == bare


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("{% if a %}{% for b in a %}{% endfor %}{% else %}{% endif %}", []),
        ("{% if a %}", ["{% if a %}"]),
        ("{% endfor %}", ["{% endfor %}"]),
        ("{% if a %}{% for b in c %}{% endif %}", ["{% if a %}", "{% for b in c %}", "{% endif %}"]),
        ("{% else %}", ["{% else %}"]),
        ('<a href="%7B%7B unsubscribe %7D%7D">', []),
        ('<a href="%7B%7Bunsubscribe%7D%7D">', ["%7B%7Bunsubscribe%7D%7D"]),
    ],
)
def test_what_cannot_be_rendered_is_found(text: str, broken: list[str]) -> None:
    assert [tag.text for tag in find_broken(read_tags(text))] == broken


def test_personal_tags_and_the_old_language_are_told() -> None:
    tags = read_tags("{{ contact.A }} {{ mirror }} {% if contact.B %}{% endif %}")
    assert [tag.attribute for tag in find_personal(tags)] == ["A"]
    assert is_old_language("Hello {FNAME}")
    assert not is_old_language("Hello {{ contact.FNAME }}")


@given(st.text(alphabet="{}%#[]'\"|:.aB_ \n<>/", max_size=80))
def test_every_tag_lies_in_the_text_in_order_and_apart(text: str) -> None:
    end = 0
    for tag in read_tags(text):
        assert end <= tag.start < tag.end
        assert text[tag.start : tag.end] == tag.text
        end = tag.end
    find_broken(read_tags(text))
    find_bare(read_tags(text))


def test_reading_a_long_text_of_openings_takes_no_more_than_its_length() -> None:
    assert len(read_tags("{{" * 20_000)) == 20_000
    assert read_tags("{#" * 20_000) == []
