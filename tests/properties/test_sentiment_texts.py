"""Laws of what happens to a customer's text before it is sent."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_asker import choose
from penstock.base.errors import InputError
from penstock.features import sentiment
from penstock.features.minimise import minimise
from penstock.features.prompt import MAX_CHARACTERS, clean, cut, join
from penstock.operations.fence import fence
from penstock.runtime.ask import Ask

ANY_TEXT = st.text(st.characters(), max_size=200)


def _is_hidden(letter: str) -> bool:
    return letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co")


@given(ANY_TEXT)
@example("".join(map(chr, range(0x3000))))
@example("".join(map(chr, range(0xD000, 0x14000))))
def test_no_hidden_character_survives(text: str) -> None:
    assert [hex(ord(letter)) for letter in clean(text) if _is_hidden(letter)] == []


@pytest.mark.slow
def test_no_hidden_character_of_all_unicode_survives() -> None:
    everything = map(chr, range(0x110000))
    assert [hex(ord(letter)) for letter in clean("".join(everything)) if _is_hidden(letter)] == []


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(ANY_TEXT, st.integers(1, 3000))
def test_what_is_sent_is_bounded_and_can_be_encoded(text: str, times: int) -> None:
    sent = join(cut(text * times))
    assert len(sent.text) <= MAX_CHARACTERS + 40
    sent.text.encode()
    assert sent.truncated == (len(clean(text * times)) > MAX_CHARACTERS)


@given(st.text(st.sampled_from("<>/feedback- |system0a\n"), max_size=120))
def test_a_text_never_closes_its_fence(text: str) -> None:
    sent = fence(text)
    opening, _, rest = sent.partition("\n")
    inside, _, closing = rest.rpartition("\n")
    assert closing == opening.replace("<", "</")
    assert closing not in inside
    assert opening not in inside
    assert "<feedback" not in inside
    assert "</feedback" not in inside


LETTERS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzäéß"), min_size=1, max_size=10)
NAMES = st.text(st.sampled_from("abcdefghiklmnoprtuvwzäöüéñß"), min_size=3, max_size=10)
EMAILS = st.builds("{}.{}@{}.example".format, LETTERS, LETTERS, LETTERS)
PHONES = st.builds(
    lambda digits, gap, plus: plus + gap.join(digits),
    st.lists(st.from_regex(r"[0-9]{2,4}", fullmatch=True), min_size=4, max_size=5),
    st.sampled_from([" ", "-", ".", "", "/"]),
    st.sampled_from(["+", "", "0"]),
)
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


def _luhn(digits: str) -> str:
    total = sum(int(d) if i % 2 else int(d) * 2 - 9 * (int(d) > 4) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


CARDS = st.from_regex(r"[3-6][0-9]{14}", fullmatch=True).map(_luhn)


def _iban(country: str, account: str) -> str:
    number = int("".join(str(int(letter, 36)) for letter in account + country + "00"))
    return f"{country}{98 - number % 97:02d}{account}"


IBANS = st.builds(_iban, st.sampled_from(["DE", "FR", "GB", "NL"]), st.from_regex(r"[A-Z0-9]{12,24}", fullmatch=True))


@given(AROUND, EMAILS, AROUND)
def test_an_email_address_is_taken_out_wherever_it_stands(before: str, email: str, after: str) -> None:
    assert email not in minimise(f"{before} {email} {after}")


@given(AROUND, st.one_of(PHONES, CARDS, IBANS), AROUND)
def test_a_number_of_a_person_is_taken_out_wherever_it_stands(before: str, number: str, after: str) -> None:
    assert number not in minimise(f"{before} {number} {after}")


@given(AROUND, st.lists(NAMES, min_size=1, max_size=3), AROUND)
def test_a_known_name_is_taken_out_in_any_case(before: str, words: list[str], after: str) -> None:
    name = " ".join(words)
    placeholders = {"email", "name", "phone", "card", "iban", "number", "link"}
    result = minimise(f"{before} {name.title()}, {name.upper()} {after}", [name])
    kept = set(result.casefold().replace("[", " ").replace("]", " ").replace(",", " ").split())
    around = set(f"{before} {after}".casefold().split())
    assert (kept & {word.casefold() for word in words}) - placeholders - around == set()


@given(ANY_TEXT, st.lists(st.one_of(EMAILS, PHONES, LETTERS), max_size=3))
def test_minimising_twice_changes_nothing_or_the_text_is_not_sent(text: str, known: list[str]) -> None:
    try:
        result = minimise(clean(text), known)
    except InputError:
        return
    assert minimise(result, known) == result


@given(ANY_TEXT)
def test_any_text_is_prepared_to_the_same_request_twice(text: str) -> None:
    given_input = sentiment.Input(text=text)
    first, second = sentiment.prepare(given_input, choose()), sentiment.prepare(given_input, choose())
    if isinstance(first, Ask):
        assert isinstance(second, Ask)
        assert first.content == second.content
    else:
        assert first == second
