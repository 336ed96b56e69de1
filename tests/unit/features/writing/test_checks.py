"""Each check of a written text, on a table of texts."""

from __future__ import annotations

import pytest

from penstock.features.writing.brief import Brief
from penstock.features.writing.checks import (
    Check,
    check_facts,
    check_forbidden,
    check_language,
    check_length,
    check_markup,
    check_placeholders,
    check_reading,
    check_style,
    check_tags,
)
from penstock.features.writing.figures import find_unsupported, read_figures, to_value
from penstock.features.writing.judge import compare_figures
from penstock.features.writing.sample import size_arm, weigh_test
from penstock.features.writing.similar import find_alike

NAME = "{{ contact.FIRSTNAME | default:'there' }}"
BRIEF = "20 % off until 2026-12-24, code SUMMER20. Shoes 49,90 €, 1.299 sold. https://shop.example/sale"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Save 20% until 24 December", []),
        ("Spare 20 Prozent bis 24. Dezember", []),
        ("20 pour cent jusqu'au 24 décembre", []),
        ("hasta el 24 de diciembre", []),
        ("Until December 24th", []),
        ("bis zum 24.12.", []),
        ("Now €49.90", []),
        ("1,299 sold", []),
        ("With SUMMER20 at https://shop.example/sale.", []),
        ("{{ params.price | default:'99' }} and {{ contact.AGE_30 }}", []),
        ("Save 25%", ["25 %"]),
        ("Save 20 €", ["20 EUR"]),
        ("Until 25 December", ["25 December"]),
        ("Until 24 November", ["24 November"]),
        ("Only 49.95 EUR", ["49.95 EUR"]),
        ("Code WINTER20", ["WINTER20"]),
        ("Code: WINTER", ["WINTER"]),
        ("at https://shop.example/sale2", ["https://shop.example/sale2"]),
        ("Only 3 days", ["3"]),
    ],
)
def test_what_the_brief_does_not_state_is_found(text: str, found: list[str]) -> None:
    assert find_unsupported(text, BRIEF) == found
    assert check_facts(text, BRIEF).verdict == ("error" if found else "ok")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.299,00", "1299"),
        ("1,299.00", "1299"),
        ("1 299,5", "1299.5"),
        ("1.299", "1299"),
        ("0.299", "0.299"),
        ("1'000'000", "1000000"),
        ("12,5", "12.5"),
        ("007", "7"),
        ("٢٠", "20"),
    ],
)
def test_a_number_has_one_value_however_it_is_spelt(text: str, value: str) -> None:
    assert to_value(text) == value


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("20 % until 24 December, 49.90 €", "20 Prozent bis 24.12., 49,90 €", "ok"),
        ("20 % until 24 December", "bis 24.12.", "error"),
        ("on 24 December", "am 25. Dezember", "error"),
        ("code SUMMER20", "Code SOMMER20", "error"),
        ("nothing", "3 Dinge", "error"),
    ],
)
def test_the_same_brief_in_two_languages_states_the_same(before: str, after: str, verdict: str) -> None:
    assert compare_figures(before, after, "en").verdict == verdict


@pytest.mark.parametrize(
    ("texts", "wanted", "found"),
    [
        ([f"Hi {NAME}"], [NAME], ""),
        (["Hi", f"and {NAME}"], [NAME], ""),
        (["Hi"], [NAME], f"{NAME} is missing"),
        ([f"{NAME} {NAME}"], [NAME], f"{NAME} is not in the brief"),
        (["Hi {{ contact.EMAIL }}"], [], "{{ contact.EMAIL }} is not in the brief"),
        (["{% if contact.A %}x{% endif %}"], ["{% if contact.A %}", "{% endif %}"], ""),
        (["{{ a  }}"], ["{{ a }}"], "{{ a }} is missing; {{ a  }} is not in the brief"),
    ],
)  # fmt: skip
def test_placeholders_are_those_of_the_brief_letter_by_letter(texts: list[str], wanted: list[str], found: str) -> None:
    check = check_placeholders(texts, wanted)
    assert (check.found, check.verdict) == (found, "error" if found else "ok")


@pytest.mark.parametrize(
    ("text", "tags", "defaults"),
    [
        (NAME, "ok", "ok"),
        ("{{ contact.FIRSTNAME }}", "ok", "warning"),
        ("{{ contact.GONE | default:'x' }}", "error", "ok"),
        ("{{ firstname }}", "error", "ok"),
        ("{FIRSTNAME}", "error", "warning"),
        ("{{ contact.FIRSTNAME", "error", "ok"),
        ("{% if contact.FIRSTNAME %}x", "error", "ok"),
        ("{{ unsubscribe }}", "ok", "ok"),
    ],
)
def test_a_tag_must_be_renderable_and_a_personal_one_have_a_default(text: str, tags: str, defaults: str) -> None:
    assert [check.verdict for check in check_tags(text, ["FIRSTNAME"])] == [tags, defaults]


def test_without_a_list_of_attributes_only_other_names_are_judged() -> None:
    assert check_tags("{{ contact.ANYTHING | default:'x' }}", [])[0].verdict == "ok"
    assert check_tags("{{ anything }}", [])[0].verdict == "error"


@pytest.mark.parametrize(
    ("text", "language", "verdict"),
    [
        ("Entdecke jetzt unsere neuen Schuhe für den Sommer", "de", "ok"),
        ("Entdecke jetzt unsere neuen Schuhe für den Sommer", "en", "error"),
        ("Descubre nuestros nuevos zapatos para el verano", "es-MX", "ok"),
        (f"{NAME}, entdecke jetzt unsere neuen Schuhe für den Sommer", "de", "ok"),
        ("Hallo", "en", "unknown"),
        ("Discover our new shoes for this summer", "tlh", "unknown"),
    ],
)
def test_the_language_is_checked_where_it_can_be(text: str, language: str, verdict: str) -> None:
    pytest.importorskip("py3langid")
    assert check_language(text, language).verdict == verdict


def test_a_length_is_shown_as_a_mailbox_displays_it_and_refused_only_beyond_the_wish() -> None:
    subject = f"{NAME}, light sandals for long days outside"
    check = check_length(subject, 60)
    assert (check.verdict, check.found) == (
        "ok",
        "42 characters; 30: there, light sandals for long…; 60: there, light sandals for long days outside",
    )
    assert check_length(subject, 40).verdict == "error"
    assert check_length(subject, None).verdict == "ok"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("A calm sentence about shoes", []),
        ("BUY THESE SHOES", ["capitals"]),
        ("Shoes! Shoes!!", ["punctuation"]),
        ("What?! No way", ["punctuation"]),
        ("Sun ☀ sea 🌊 sand 🏖 fun 🎉", ["emoji"]),
        ("Click here to see", ["phrases"]),
        ("CLICK   HERE!!! NOW", ["capitals", "punctuation", "phrases"]),
        ("NASA approves", []),
    ],
)
def test_style_is_warned_about_and_never_refused(text: str, warned: list[str]) -> None:
    checks = check_style(text, "en", "A brief about NASA")
    assert [check.name for check in checks if check.verdict == "warning"] == warned
    assert all(check.verdict in ("ok", "warning") for check in checks)


@pytest.mark.parametrize("text", ["A cheap shoe", "CHEAP!", "ch\u00e9ap", "c\u200bheap", "ｃｈｅａｐ"])
def test_a_forbidden_word_is_found_however_it_is_written(text: str) -> None:
    assert check_forbidden(text, ["cheap"]).verdict == "error"
    assert check_forbidden("cheaper", ["cheap"]).verdict == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "<b>x</b>",
        "x <script>",
        "&lt;b&gt;",
        "&#60;",
        "a\u202eb",
        "a\nb",
        " ",
        "<!-- x -->",
        "</p>",
        "<img src=x onerror=y>",
    ],
)
def test_markup_and_hidden_characters_are_no_plain_text(text: str) -> None:
    assert check_markup({"subject": text}).verdict == "error"


@pytest.mark.parametrize("text", ["x < y", "Fish & chips", "a > b", "1 <3 2", NAME])
def test_plain_text_may_hold_signs(text: str) -> None:
    assert check_markup({"subject": text}) == Check(name="plain text", verdict="ok")


def test_reading_ease_is_flesch_by_language() -> None:
    pytest.importorskip("pyphen")
    easy = "The cat sat on the mat. It was a good day for a cat. The sun was out, and so was the dog."
    hard = (
        "Notwithstanding considerable organisational complexities, interdepartmental communication necessitates "
        "comprehensive administrative harmonisation throughout international subsidiaries regarding confidentiality "
        "obligations, contractual responsibilities, infrastructure modernisation and environmental sustainability."
    )
    assert check_reading(easy, "en").verdict == "ok"
    assert check_reading(hard, "en").verdict == "warning"
    assert check_reading(easy, "ja").verdict == "unknown"
    assert check_reading("Too short.", "en").verdict == "unknown"


def test_near_duplicates_are_found() -> None:
    texts = [
        "Light sandals for long days",
        "Light sandals for long days!",
        "What comes next?",
        "LIGHT sandals, for long days",
    ]
    assert find_alike(texts) == {1: 0, 3: 0}
    assert find_alike([]) == {}
    assert find_alike(["", ""]) == {1: 0}


@pytest.mark.parametrize(
    ("usual", "better", "size"), [(0.20, 0.21, 25_582), (0.20, 0.22, 6_509), (0.020, 0.022, 80_681)]
)
def test_the_size_of_an_arm_is_the_published_one(usual: float, better: float, size: int) -> None:
    assert size_arm(usual, better) == size


def test_five_variants_on_three_thousand_contacts_are_said_to_show_nothing() -> None:
    trial = weigh_test(5, 3000, 0.02)
    assert (trial.each, trial.needed, trial.is_enough) == (600, 80_681, False)
    assert "too few" in trial.says
    assert weigh_test(2, 200_000, 0.02).is_enough
    assert "2 arms are possible" in weigh_test(5, 200_000, 0.02).says


def test_figures_inside_addresses_and_tags_do_not_count() -> None:
    figures = read_figures("See https://x.example/2026/77?a=5 and {{ params.x20 }}")
    assert not figures.numbers
    assert not figures.dates


def test_a_brief_takes_only_whole_tags_as_placeholders_and_each_language_once() -> None:
    for wrong in (["Hello"], ["{{ a }} and {{ b }}"], ["{FNAME}"], ["{{ x"]):
        with pytest.raises(ValueError, match="tag"):
            Brief(offer="x", placeholders=wrong)
    with pytest.raises(ValueError, match="twice"):
        Brief(offer="x", languages=["en", "EN"])


def test_angles_go_around_when_more_variants_are_wished() -> None:
    assert Brief(offer="x", angles=["news"], variants=2).list_angles() == ["news", "benefit"]
    assert len(Brief(offer="x", variants=9).list_angles()) == 9
    assert Brief(offer="x", angles=["news", "benefit"], variants=1).list_angles() == ["news"]


def test_personal_values_leave_everything_that_is_sent_and_prices_stay() -> None:
    brief = Brief(offer="Anna gets 20 % with SUMMER20", readers="anna@example.com, born 1990", known=("Anna", None, ""))
    sent = str(brief.describe())
    assert "Anna" not in sent
    assert "anna@" not in sent
    assert "SUMMER20" in sent
