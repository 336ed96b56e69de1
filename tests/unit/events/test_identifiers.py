"""Identifiers: the vendor's rules, what is refused, and that a hash cannot be made by hand."""

import copy
import pickle

import msgspec
import pytest

from penstock.base.errors import MappingError
from penstock.events.event import Event, User, encode_event
from penstock.events.identifiers import (
    HASHERS,
    Sha256,
    hash_email,
    hash_external_id,
    hash_name,
    hash_phone,
    normalise_email,
    normalise_external_id,
    normalise_name,
    normalise_phone,
    take_hashed,
)

EMAIL_HASH = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("+1 (415) 555-2671", "14155552671"),
        ("+00 44 (0)20 7946 0958", "4402079460958"),
        ("0049 171 1234567", "491711234567"),
        ("+49\u00a0171.123-4567", "491711234567"),
    ],
)
def test_a_phone_keeps_its_country_code_and_loses_its_plus(value, normal):
    assert normalise_phone(value) == normal


@pytest.mark.parametrize(
    ("value", "code", "normal"),
    [
        ("0171 1234567", "49", "491711234567"),
        ("415 555 2671", "1", "14155552671"),
        ("1 415 555 2671", "1", "14155552671"),
        ("06 6982 1234", "39", "390669821234"),
        ("612 345 678", "34", "34612345678"),
        ("491711234567", "included", "491711234567"),
        ("+33 6 12 34 56 78", "49", "33612345678"),
    ],
)
def test_a_national_phone_takes_the_country_code_that_is_declared(value, code, normal):
    assert normalise_phone(value, code) == normal


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("+1 (555) 123-4567 ext. 89", "", "identifier.phone-letters"),
        ("(650) 555-1212 (US)", "1", "identifier.phone-letters"),
        ("+49 171 1234567#12", "", "identifier.phone-letters"),
        ("+40 74", "", "identifier.phone-length"),
        ("+1 234 567 890 123 456 789", "", "identifier.phone-length"),
        ("not-a-phone", "", "identifier.phone-letters"),
        ("4155552671", "", "identifier.phone-country"),
        ("0171 1234567", "", "identifier.phone-country"),
        ("0171 1234567", "included", "identifier.phone-country"),
        ("49 1711 2345678", "49", "identifier.phone-ambiguous"),
        ("+٤٩١٧١١٢٣٤٥٦٧", "", "identifier.phone-letters"),
        ("", "", "identifier.empty"),
        ("unknown", "", "identifier.empty"),
        ("5d41402abc4b2a76b9719d911017c592", "", "identifier.other-hash"),
        (True, "", "identifier.wrong-type"),
        (1.5, "", "identifier.wrong-type"),
    ],
)
def test_a_phone_that_would_hash_a_stranger_is_refused(value, code, reason):
    with pytest.raises(MappingError) as caught:
        hash_phone(value, code)
    assert caught.value.code == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("   ", "identifier.empty"),
        ("null", "identifier.empty"),
        ("ada", "identifier.not-an-email"),
        ("ada@localhost", "identifier.not-an-email"),
        ("a@b.de, c@d.de", "identifier.not-an-email"),
        ("ada@example..com", "identifier.not-an-email"),
        ("ada\u200b@example.com", "identifier.hidden-letters"),
        ("5d41402abc4b2a76b9719d911017c592", "identifier.other-hash"),
        (["ada@example.com"], "identifier.wrong-type"),
    ],
)
def test_what_is_no_email_is_refused(value, reason):
    with pytest.raises(MappingError) as caught:
        hash_email(value)
    assert caught.value.code == reason
    assert "ada" not in caught.value.message


@pytest.mark.parametrize("value", ["", "0", 0, "guest", "null", "-1", None, True, {}])
def test_an_id_that_all_guests_share_is_refused(value):
    with pytest.raises(MappingError):
        hash_external_id(value)


def test_ids_keep_their_case_and_numbers_are_text():
    assert normalise_external_id("  CUST-00042  ") == "CUST-00042"
    assert hash_external_id(12345) == hash_external_id("12345") == hash_external_id(12345.0)


def test_names_keep_accents_in_the_composed_form():
    assert normalise_name("Jose\u0301") == normalise_name("JOSÉ") == "josé"
    assert normalise_name(" Van  Der Berg ") == "vanderberg"
    assert normalise_name("정") == "정"


@pytest.mark.parametrize("value", ["", "...", "ada@example.com", "N/A", "5d41402abc4b2a76b9719d911017c592"])
def test_what_is_no_name_is_refused(value):
    with pytest.raises(MappingError):
        hash_name(value)


def test_international_emails_are_lower_cased_by_unicode_rules():
    assert normalise_email("JOSE\u0301@EXÁMPLE.com") == "josé@exámple.com"


@pytest.mark.parametrize("kind", HASHERS)
def test_a_value_that_is_hashed_already_is_never_hashed_again(kind):
    assert HASHERS[kind](EMAIL_HASH) == EMAIL_HASH
    assert HASHERS[kind](f" {EMAIL_HASH.upper()} ") == EMAIL_HASH


def test_the_hash_of_an_empty_text_is_refused():
    with pytest.raises(MappingError, match="empty text"):
        take_hashed(EMPTY_HASH)


@pytest.mark.parametrize("value", ["ada@example.com", EMAIL_HASH[:-1], EMAIL_HASH + "0", "", None, 5])
def test_only_a_sha_256_is_taken_as_hashed(value):
    with pytest.raises(MappingError):
        take_hashed(value)


def test_a_digest_cannot_be_made_from_text():
    with pytest.raises(TypeError):
        Sha256("ada@example.com")
    with pytest.raises(TypeError):
        User(emails_sha256=("ada@example.com",))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        User(last_names_sha256=(EMAIL_HASH,))  # type: ignore[arg-type]


def test_no_way_around_the_constructor_puts_clear_text_into_an_event():
    user = User(emails_sha256=(hash_email("user@example.com"),))
    with pytest.raises(TypeError):
        msgspec.structs.replace(user, emails_sha256=("ada@example.com",))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"emails_sha256": ["ada@example.com"]}, User)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"emails_sha256":["ada@example.com"]}', type=User)
    assert type(pickle.loads(pickle.dumps(user)).emails_sha256[0]) is Sha256
    assert copy.deepcopy(user) == user


def test_only_json_and_hashes_are_encoded():
    event = Event("1", "custom", 1, "x", {"type": "custom", "what": object()})
    with pytest.raises(TypeError):
        encode_event(event)


def test_an_event_is_written_in_the_vendors_names_without_blanks():
    event = Event("1", "lead_created", 5, "lead_created", {"type": "customer_action"}, user=User(countries=("DE",)))
    assert encode_event(event) == (
        b'{"id":"1","type":"lead_created","timestamp_ms":5,"data":{"type":"customer_action"},"user":{"countries":["DE"]}}'
    )


@pytest.mark.parametrize("kind", HASHERS)
@pytest.mark.parametrize("text", ["\ud800", "Ada \udfff", "ada@b.de\ud83d", "+49 171 1234567\udc00"])
def test_half_a_letter_is_refused_and_not_hashed(kind, text):
    with pytest.raises(MappingError) as caught:
        HASHERS[kind](text)
    assert caught.value.code == "event.bad-text"
