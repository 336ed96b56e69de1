"""Whatever a template looks like, its tags come through rendering and translation byte for byte, or it is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from penstock.base.errors import InputError
from penstock.features.writing.checks import check_placeholders
from penstock.features.writing.guard import Guarded
from penstock.features.writing.layout import escape_text, fill, render
from penstock.features.writing.segments import MARK, Template, find_mark_problems
from penstock.features.writing.translating import compare_structure
from penstock.vendor.brevo_template import compare_tags, read_tags

for needed in ("mrml", "css_inline"):
    pytest.importorskip(needed)

VALUES = st.sampled_from(
    [
        "{{ contact.FIRSTNAME | default:'there' }}",
        "{{contact.A|default:\"<b> & 'x'\"}}",
        "{{ unsubscribe }}",
        "{{ params.items[0].name }}",
        "{{ mirror }}",
    ]
)
BLOCKS = st.sampled_from(
    ["{% if contact.A > 1 %}", "{% else %}", "{% endif %}", "{% for x in y %}", "{% endfor %}", "{# n #}"]
)
TAGS = st.one_of(VALUES, BLOCKS)
WORDS = st.text(alphabet="abc äß&;'\"<>123 ", max_size=12)
ATTRIBUTES = st.builds(lambda value: f' href="{value}" title="{value}"', VALUES)


def nest(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inside = st.lists(children, max_size=3).map("".join)
    rows = st.lists(st.one_of(BLOCKS, inside.map(lambda text: f"<tr><td>{text}</td></tr>")), max_size=4).map("".join)
    return st.one_of(
        st.tuples(st.sampled_from(["p", "div", "b", "li", "h1"]), inside).map(
            lambda one: f"<{one[0]}>{one[1]}</{one[0]}>"
        ),
        st.tuples(ATTRIBUTES, inside).map(lambda one: f"<a{one[0]}>{one[1]}</a>"),
        rows.map(lambda text: f"<table>{text}</table>"),
        inside.map(lambda text: f"<!--[if mso]>{text.replace('--', '')}<![endif]-->"),
        VALUES.map(lambda tag: f"<style>p {{ color: {tag} }}</style>"),
    )


TEMPLATES = st.recursive(st.one_of(TAGS, WORDS.map(lambda text: text.replace("<", "&lt;"))), nest, max_leaves=12)
PIECES = st.sampled_from(["<p>", "</b>", "<table>", "<tr>", "<a ", ">", '"', "<!--", "-->", "x"])
SOUP = st.lists(st.one_of(TAGS, PIECES), max_size=10).map("".join)


def tags_of(text: str) -> list[str]:
    return [tag.text for tag in read_tags(text)]


@given(TEMPLATES)
@settings(max_examples=150, deadline=None)
def test_rendering_keeps_every_tag_byte_for_byte_and_in_order_or_refuses(html: str) -> None:
    try:
        rendered = render(html)
    except InputError:
        event("refused")
        return
    event("kept")
    assert tags_of(rendered) == tags_of(html)


@given(SOUP)
@settings(max_examples=150, deadline=None)
def test_broken_markup_is_refused_before_a_tag_is_moved(html: str) -> None:
    try:
        rendered = render(html)
    except InputError:
        return
    assert tags_of(rendered) == tags_of(html)


@given(st.lists(st.one_of(TAGS, WORDS), max_size=12).map("".join))
@settings(deadline=None)
def test_text_with_tags_goes_through_mjml_untouched(text: str) -> None:
    layout = (
        "<mjml><mj-body><mj-section><mj-column><mj-text>[[body]]</mj-text></mj-column></mj-section></mj-body></mjml>"
    )
    rendered = render(fill(layout, {"body": text}))
    assert Counter(tags_of(rendered)) == Counter(tags_of(text))


@given(st.lists(st.one_of(TAGS, WORDS), max_size=12).map("".join))
def test_hiding_and_restoring_changes_nothing(text: str) -> None:
    guarded = Guarded(text)
    assert guarded.restore(guarded.text) == text
    assert not tags_of(guarded.text)
    assert tags_of(escape_text(text)) == tags_of(text)


@given(st.lists(TAGS, max_size=6), st.lists(TAGS, max_size=6))
def test_placeholders_are_compared_as_multisets(one: list[str], other: list[str]) -> None:
    expected = Counter(one) == Counter(other)
    assert (check_placeholders(other, one).verdict == "ok") is expected
    assert (not compare_tags(" ".join(one), " ".join(other))) is expected


@given(TEMPLATES)
@settings(max_examples=150, deadline=None)
def test_a_translated_template_differs_in_its_texts_alone(html: str) -> None:
    template = Template(html)
    texts = [segment.text for segment in template.segments]
    assert compare_structure(template, template.rebuild(texts)) == []
    turned = [MARK.sub(lambda mark: f"{mark[0]} <b>&\"'", text) + " „neu“" for text in texts]
    rebuilt = template.rebuild(turned)
    assert Counter(tags_of(rebuilt)) == Counter(tags_of(html))
    assert compare_structure(template, rebuilt) == []


@given(TEMPLATES, st.data())
@settings(deadline=None)
def test_a_mark_that_is_lost_or_doubled_is_found(html: str, data: st.DataObject) -> None:
    for segment in Template(html).segments:
        assert find_mark_problems(segment, segment.text) == []
        if segment.marks:
            number = data.draw(st.integers(1, len(segment.marks)))
            assert find_mark_problems(segment, segment.text.replace(f"⟦{number}⟧", ""))
            assert find_mark_problems(segment, f"{segment.text}⟦{number}⟧")
