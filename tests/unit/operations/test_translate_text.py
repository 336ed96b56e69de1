import pytest

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import OutputError
from penstock.operations import translate_text
from penstock.operations.translate_text import Input, count_kept

TEXT = 'Dear {{ contact.NAME }}, <a href="https://a.example/x">your order</a> of %s costs ${price}.'


async def test_placeholders_and_tags_that_moved_are_intact() -> None:
    german = 'Liebe {{ contact.NAME }}, von %s kostet <a href="https://a.example/x">Ihre Bestellung</a> ${price}.'
    output = await translate_text.run(FakeAsker(respond_with(german)), Input(text=TEXT, to="de"), choose())
    assert output.text == german


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{{ contact.NAME }}", "{{ kontakt.NAME }}", "{{ contact.NAME }} is missing"),
        ("%s", "", "%s is missing"),
        ("</a>", "", "</a> is missing"),
        ("costs", "costs <b>", "<b> is new"),
        ("https://a.example/x", "https://evil.example", "is new"),
        ("${price}", "${price} ${price}", "${price} is new"),
    ],
)
async def test_one_that_is_lost_new_or_changed_is_asked_for_again_and_then_refused(
    old: str, new: str, says: str
) -> None:
    broken = respond_with(TEXT.replace(old, new))
    asker = FakeAsker(broken, broken)
    with pytest.raises(OutputError) as caught:
        await translate_text.run(asker, Input(text=TEXT, to="de"), choose())
    assert (caught.value.code, len(asker.asked)) == ("output.placeholders", 2)
    assert says in caught.value.message


def test_the_wishes_stand_in_the_order() -> None:
    given = Input(
        text="Hi.", to="pt-BR", source="en", tone="formal", glossary={"Penstock": "Penstock", "cart": "carrinho"}
    )
    told = translate_text.prepare(given, choose()).body["instructions"]
    for words in ("pt-BR", "language: en", "Tone: formal", "- Penstock → Penstock", "- cart → carrinho"):
        assert words in told
    assert "Keep the tone" in translate_text.prepare(Input(text="Hi.", to="de"), choose()).body["instructions"]


def test_a_long_text_gets_room_for_scripts_that_need_more_tokens() -> None:
    ask = translate_text.prepare(Input(text="word " * 1000, to="ta"), choose())
    assert ask.max_output_tokens >= 3000


def test_percent_signs_and_comparisons_are_no_placeholders() -> None:
    assert not count_kept("100 % of 5 < 6 and 7 > 3")
