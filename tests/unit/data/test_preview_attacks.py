"""A campaign's preview runs nothing, reaches nothing and cannot be made to fill the memory."""

from __future__ import annotations

from contextlib import suppress

import pytest

from penstock.base.errors import InputError
from penstock.data.brevo_preview import GUARD, guard_page, render

CONTACT = {"FIRSTNAME": "Anna", "TAGS": ["a", "b", "c"]}

ATTACKS = [
    "{{ 'a'.ljust(1000000000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ contact.FIRSTNAME.zfill(1000000000) }}",
    "{{ contact.FIRSTNAME.format(contact) }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ lipsum.__globals__ }}",
    "{% for a in 'aaaa' %}x{% endfor %}",
    "{% for a in contact.TAGS %}" * 4 + "x" + "{% endfor %}" * 4,
]


@pytest.mark.parametrize("template", ATTACKS)
def test_a_template_that_reaches_out_or_grows_is_refused(template: str) -> None:
    with pytest.raises(InputError) as caught:
        render(template, CONTACT, {})
    assert caught.value.code == "campaign.not-rendered"


def test_what_comes_to_more_than_a_mail_can_be_is_refused() -> None:
    with pytest.raises(InputError, match="letters"):
        render("{% for a in contact.TAGS %}{{ params.long }}{% endfor %}", CONTACT, {"long": "x" * (3 << 20)})


def test_a_value_is_never_read_as_a_template() -> None:
    shown = render("Hello {{ contact.FIRSTNAME }}", {"FIRSTNAME": "{{ params.secret }}{% if 1 %}"}, {"secret": "no"})
    assert shown == "Hello {{ params.secret }}{% if 1 %}"


@pytest.mark.parametrize("text", ["{{ contact.__class__ }}", "{{ contact.FIRSTNAME.__class__ }}", "{{ cycler.x.y }}"])
def test_inner_names_of_values_show_nothing(text: str) -> None:
    with suppress(InputError):
        assert render(text, CONTACT, {}) == ""


def test_loops_and_conditions_that_the_vendor_documents_still_render() -> None:
    text = "{% for a in contact.TAGS %}{% if a == 'b' %}[{{ a|upper }}]{% else %}{{ a }}{% endif %}{% endfor %}"
    assert render(text, CONTACT, {}) == "a[B]c"


@pytest.mark.parametrize("kind", ["", "<!DOCTYPE html>", "\n<!doctype html>\n"])
def test_a_saved_mail_carries_what_keeps_scripts_from_running(kind: str) -> None:
    page = guard_page(kind + "<html><body><script>steal()</script></body></html>")
    assert page.index(GUARD) < page.index("<html>")
    assert page.startswith(kind.rstrip())
    assert "default-src 'none'" in GUARD
