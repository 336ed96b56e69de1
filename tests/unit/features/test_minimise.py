import time

import pytest

from penstock.features.minimise import minimise

ANNA = ("anna.kowalska@example.com", "Anna Kowalska-Müller", "+49 170 1234567")

# text, known values, what must be gone
PERSONAL = [
    ("write to jane.doe+shop@mail.example.co.uk please", (), ["jane", "mail.example"]),
    ("jane (at) example (dot) com", (), ["jane", "example"]),
    ("jane [at] example.com", (), ["jane"]),
    ("max.mustermann(ät)web.de", (), ["mustermann"]),
    ("Mail: müller@bücher.example", (), ["müller@", "bücher"]),
    ("call +49 170 1234567 now", (), ["170", "4567"]),
    ("call (0) 20 7946 0958", (), ["7946"]),
    ("ring 555-867-5309", (), ["867"]),
    ("tel:0033.1.42.68.53.00", (), ["42.68"]),
    ("Tel 01.42.68.53.00", (), ["68.53"]),
    ("+1 (415) 555-2671", (), ["415", "2671"]),
    ("WhatsApp +55 11 91234-5678", (), ["91234"]),
    ("電話は 090-1234-5678 です", (), ["1234"]),
    ("الهاتف ٠٥٠١٢٣٤٥٦٧", (), ["٠٥٠"]),
    ("my card 4111 1111 1111 1111 was charged", (), ["4111", "1111"]),
    ("card 5500-0000-0000-0004 exp 12/27", (), ["5500"]),
    ("amex 378282246310005", (), ["3782"]),
    ("refund to DE89 3704 0044 0532 0130 00 please", (), ["3704", "DE89"]),
    ("IBAN GB29NWBK60161331926819.", (), ["NWBK", "6819"]),
    ("fr14 2004 1010 0505 0001 3m02 606", (), ["2004", "3m02"]),
    ("MT84MALT011000012345MTLCAST001S", (), ["MALT"]),
    ("my ip is 203.0.113.77", (), ["203"]),
    ("from 2001:db8::ff00:42:8329 again", (), ["db8", "8329"]),
    ("see https://shop.example/order?email=a&token=abc123def", (), ["token", "abc123"]),
    ("https://jane:secret@shop.example/", (), ["jane", "secret"]),
    ("www.shop.example/x#user-77", (), ["user-77"]),
    ("order 10023345678", (), ["10023345678"]),
    ("this is Anna, ANNA KOWALSKA-MÜLLER!", ANNA, ["nna", "KOWALSKA", "owalska"]),
    ("Mrs Kowalska-Muller wrote", ANNA, ["Kowalska", "Muller"]),
    ("anna.kowalska is my login", ANNA, ["kowalska", "anna"]),
    ("0170/1234567 is mine, also 0170-12 34 567", ANNA, ["1234567", "12 34"]),
    ("only 234567 at the end", ANNA, ["234567"]),
    ("Herr GROSS und Frau Mueller", ("Groß", "Müller"), ["GROSS", "Mueller"]),
    ("Herr Groß und Frau Müller", ("Gross", "Mueller"), ["Groß", "Müller"]),
    ("José said so", ("Jose Garcia",), ["José"]),
    ("jose said so", ("José García",), ["jose"]),
    ("王伟先生很生气", ("王伟",), ["王伟"]),
    ("Al was here", ("Al Green",), ["Al "]),
    ("I live at 12 Elm St, Jane", ("Jane Roe", "12 Elm St"), ["Elm", "Jane"]),
]


@pytest.mark.parametrize(("text", "known", "gone"), PERSONAL)
def test_personal_data_is_taken_out(text: str, known: tuple[str, ...], gone: list[str]) -> None:
    result = minimise(text, known)
    assert [part for part in gone if part in result] == []


# What patterns cannot see: without a known value beside it, this goes out.
UNSEEN = [
    ("ask for Thomas from Cologne", "Thomas"),
    ("I live at 12 Elm Street, Springfield", "Elm Street"),
    ("jane at example dot com", "jane"),
    ("four one five, five five five, one two three four", "four one five"),
    ("customer 48213", "48213"),
    ("insta: @jane.does.things", "jane.does"),
]


@pytest.mark.parametrize(("text", "left"), UNSEEN)
def test_what_only_a_known_value_can_find_is_stated(text: str, left: str) -> None:
    assert left in minimise(text)
    assert left not in minimise(text, [left])


def test_the_recall_on_this_files_own_set_is_known() -> None:
    found = sum(not any(part in minimise(text, known) for part in gone) for text, known, gone in PERSONAL)
    assert found / (len(PERSONAL) + len(UNSEEN)) == pytest.approx(0.87, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "The 2 parcels arrived on 2026-11-20, not on 15.11.2026 or 12/24/2026.",
        "Paid 1,299.00 instead of 12.99 (order 48213), 10/10 would buy again at 10:30:45.",
        "Between 01.02.2026 - 03.04.2026 nothing happened.",
        "Version 2.10.3 of the app is 300% better :: really!!! <3 :-)",
        "https://shop.example/product/42 is great",
        "Will the mark on the grace period ever go? al dente, an apple, li",
        "Die Lieferung kam nach 14 Tagen, 3x reklamiert.",
    ],
)
def test_what_is_not_personal_stays(text: str) -> None:
    assert minimise(text, ("Al", "Li Wei")) == text


def test_placeholders_say_what_was_there() -> None:
    text = "I am Anna, anna@example.com, +49 170 1234567, card 4111111111111111, DE89370400440532013000, 10.0.0.1"
    assert minimise(text, ["Anna"]) == "I am [name], [email], [phone], card [card], [iban], [ip]"


def test_a_customer_called_like_a_placeholder_does_no_harm() -> None:
    assert minimise("I am Name, mail name@example.com", ["Name", "email"]) == "I am Name, mail [email]"


@pytest.mark.parametrize("known", [[""], [" "], ["x"], ["\u200b"], [".,"], ["@"]])
def test_an_empty_known_value_removes_nothing(known: list[str]) -> None:
    assert minimise("a text. with words, and more", known) == "a text. with words, and more"


@pytest.mark.parametrize("piece", ["1", "a@", "1 ", "DE89", "(at)", "f:", "a.", "+1-", "http://a?"])
def test_no_text_of_the_greatest_length_makes_the_patterns_run_away(piece: str) -> None:
    started = time.process_time()
    minimise(piece * (8500 // len(piece)), ANNA)
    assert time.process_time() - started < 5
