import re
from pathlib import Path

import pytest

from penstock.base.errors import InputError, SettingsError
from penstock.features.minimise import Rules, minimise
from penstock.features.presidio import load_people_finder
from penstock.features.redaction import KINDS, list_samples, measure


def test_everything_that_has_a_form_or_is_known_is_found_in_eight_languages() -> None:
    measured = measure()
    assert {one.language for one in measured} == {"en", "de", "fr", "es", "it", "nl", "pl", "pt"}
    assert {one.kind for one in measured} == {*KINDS, "clean"}
    assert [one for one in measured if one.share < 1 and one.kind != "unseen"] == []


def test_the_set_also_says_what_cannot_be_found() -> None:
    assert all(one.share == 0 for one in measure() if one.kind == "unseen")


def test_every_sample_gives_the_same_text_when_it_is_redacted_again() -> None:
    for sample in list_samples():
        once = minimise(sample.text, sample.known, Rules(region=sample.region))
        assert minimise(once, sample.known, Rules(region=sample.region)) == once


def test_the_whole_of_a_number_goes_with_six_known_digits_of_it() -> None:
    assert minimise("call +49 170 1234567 now", ["0170 1234567"]) == "call [phone] now"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pani Kowalskiej i Annie dziękuję, z Anną też", "Pani [name] i [name] dziękuję, z [name] też"),
        ("Annas Paket, Anna's parcel", "[name] Paket, [name]'s parcel"),
        ("Mark of quality", "Mark of quality"),
    ],
)
def test_declined_names_are_found_where_they_are_written_as_names(text: str, expected: str) -> None:
    assert minimise(text, ["Anna Kowalska"]) == expected


def test_a_declined_form_that_is_a_word_stays_in_small_letters() -> None:
    assert minimise("eine gute marke", ["Mark"]) == "eine gute marke"


def test_only_single_words_of_an_address_that_tell_something_go() -> None:
    known = ["12 Elm Street, Leeds, LS1 4AP"]
    assert minimise("the street to Leeds, Elm Street 12", known) == "the street to [address], [address] 12"


def test_the_region_tells_a_phone_from_another_number() -> None:
    assert minimise("ring 612345678", (), Rules(region="ES")) == "ring [phone]"
    assert minimise("ring 612345678") == "ring [number]"
    assert minimise("order 1002334567", (), Rules(region="DE")) in ("order [number]", "order [phone]")


def test_a_number_with_a_word_in_it_is_a_phone() -> None:
    assert minimise("dial 1-800-FLOWERS today", (), Rules(region="US")) == "dial [phone] today"


def test_a_pattern_of_the_flow_stands_under_its_name() -> None:
    rules = Rules(patterns=(("order", re.compile(r"BR-\d{8}")),))
    assert minimise("about BR-20261120", (), rules) == "about [order]"


def test_a_pattern_that_never_ends_keeps_the_text_here() -> None:
    rules = Rules(patterns=(("word", re.compile("word")),))
    with pytest.raises(InputError) as caught:
        minimise("a word", (), rules)
    assert caught.value.code == "minimise.failed"


def test_a_finder_that_breaks_down_keeps_the_text_here() -> None:
    def find(text: str) -> list[tuple[int, int]]:
        raise RuntimeError(f"cannot read {text}")

    with pytest.raises(InputError) as caught:
        minimise("Jane was here", (), Rules(find_people=find))
    assert caught.value.code == "minimise.failed"
    assert "Jane" not in str(caught.value)


def test_names_that_a_finder_sees_go_too() -> None:
    def find(text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer("Oliver", text)]

    assert minimise("Oliver told Oliver", (), Rules(find_people=find)) == "[name] told [name]"


def test_presidio_needs_a_model_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_people_finder(tmp_path, "en")
    assert caught.value.code == "settings.presidio-model"


def test_presidio_finds_names_with_a_local_model(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy", reason="the extra presidio is not installed")
    pytest.importorskip("presidio_analyzer", reason="the extra presidio is not installed")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Oliver Stone"}])
    nlp.to_disk(tmp_path / "model")
    find = load_people_finder(tmp_path / "model", "en")
    assert minimise("ask Oliver Stone", (), Rules(find_people=find)) == "ask [name]"
