"""Laws of events: normalising twice changes nothing, any record has an outcome, no clear identifier leaves."""

import json
from hashlib import sha256

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import MappingError
from penstock.events import identifiers
from penstock.events.contract import load_contract
from penstock.events.event import encode_event
from penstock.events.mapping import load_mapping
from penstock.events.mapping_file import preset_names
from penstock.events.money import to_minor
from penstock.events.validate import check_event

NOW = 1_795_172_400.0
CONTRACT = load_contract()
SCHEMA = jsonschema_rs.validator_for(CONTRACT.json_schema())
MAPPINGS = {name: load_mapping(name) for name in preset_names()}
NORMALISERS = {
    "email": identifiers.normalise_email,
    "phone": lambda text: identifiers.normalise_phone(text, "included"),
    "external-id": identifiers.normalise_external_id,
    "name": identifiers.normalise_name,
}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3))


def allowed_keys():
    """Return every name that a preset looks up, so that records are not all strangers to it."""
    names = set()
    for mapping in MAPPINGS.values():
        for one in [*mapping.plan.fields.values(), mapping.plan.event]:
            names |= set(one.text.replace('"', ".").replace("[", ".").replace("]", ".").replace(" or ", ".").split("."))
    return sorted(name for name in names if name.isidentifier() and name not in {"record", "or"})


KEYS = st.sampled_from(allowed_keys()) | TEXTS
GOOD = st.sampled_from(
    [
        "order_created",
        "custom",
        "purchase",
        "2026-11-20T10:00:00Z",
        "EUR",
        "19.99",
        "1001",
        "https://a.de/x",
        "other",
        "ada@example.com",
        "+49 171 1234567",
        1_795_168_800_000,
        5,
        True,
        "true",
        {"value": 5},
        [{"name": "x", "value": "y"}],
    ]
)
RECORDS = st.recursive(
    st.dictionaries(KEYS, GOOD | SCALARS, max_size=12),
    lambda below: st.dictionaries(KEYS, GOOD | SCALARS | below | st.lists(below, max_size=3), max_size=12),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", NORMALISERS)
@given(
    text=st.text(max_size=60)
    | st.from_regex(r"[^\s@]{1,8}@[a-zÄÖ]{1,5}\.[a-z]{2,3}", fullmatch=True)
    | st.from_regex(r"\+?[0-9 ().-]{6,20}", fullmatch=True)
)
def test_normalising_twice_changes_nothing(kind, text):
    try:
        once = NORMALISERS[kind](text)
    except MappingError:
        return
    assert NORMALISERS[kind](once) == once
    assert identifiers.HASHERS[kind](f"+{once}" if kind == "phone" else once) is not None


def outcome(function, text):
    try:
        return function(text)
    except MappingError as error:
        return error.code


@given(
    text=st.text(max_size=60)
    | st.from_regex(r" ?[A-Za-z@.]{1,12}@[a-zÄÖ.]{1,8}\.[a-zA-Z]{2,3} ?", fullmatch=True)
    | st.from_regex(r"\+?[0-9 ().+-]{6,20}", fullmatch=True)
)
def test_the_short_way_to_a_hash_ends_where_the_long_one_does(text):
    ways = {
        "email": (identifiers.hash_email, identifiers.normalise_email),
        "phone": (identifiers.hash_phone, identifiers.normalise_phone),
        "external-id": (identifiers.hash_external_id, identifiers.normalise_external_id),
        "name": (identifiers.hash_name, identifiers.normalise_name),
    }
    for hash_text, normalise in ways.values():
        assert outcome(hash_text, text) == outcome(
            lambda one, way=normalise: sha256(way(one).encode()).hexdigest(), text
        )


@given(value=SCALARS | VALUES, kind=st.sampled_from(sorted(NORMALISERS)))
def test_a_hash_of_a_hash_is_never_made(value, kind):
    try:
        digest = identifiers.HASHERS[kind](value)
    except MappingError:
        return
    assert identifiers.HASHERS[kind](digest) == digest == identifiers.take_hashed(digest)


@settings(max_examples=150)
@pytest.mark.parametrize("name", MAPPINGS)
@given(record=RECORDS | VALUES)
def test_a_mapping_is_total(name, record):
    mapped = MAPPINGS[name].apply(record, now=NOW)
    assert (mapped.event is None) == bool(mapped.refusals)
    for one in mapped.refusals:
        assert one.code.count(".") == 1
        assert one.field
        assert one.message
    if mapped.event is not None:
        body = encode_event(mapped.event)
        event = msgspec.json.decode(body)
        assert check_event(event, CONTRACT, now_ms=int(NOW * 1000)) == []
        assert SCHEMA.is_valid({"events": [json.loads(body)]})


LETTERS = st.sampled_from("bcdfghjkmnpqrtvwxyzBCDFGHJKMNPQRTVWXYZ")
WORDS = st.text(LETTERS, min_size=6, max_size=12)


@settings(max_examples=150)
@given(
    first=WORDS,
    last=WORDS,
    local=WORDS,
    domain=WORDS,
    customer=st.from_regex(r"[A-Z]{3}-[0-9]{6}", fullmatch=True),
    phone=st.from_regex(r"\+49 ?1[567][0-9] ?[0-9]{7,8}", fullmatch=True),
    where=st.sampled_from(["", "id", "source_url", "city", "user_agent", "item", "extra", "key"]),
)
def test_no_clear_identifier_is_ever_in_the_bytes(first, last, local, domain, customer, phone, where):
    email = f"{local}@{domain}.example"
    record = {
        "event": "custom",
        "custom_event_name": "e-1",
        "id": "77",
        "timestamp": "2026-11-20T10:00:00Z",
        "source_url": "https://a.de/x",
        "email": email,
        "phone": phone,
        "external_id": customer,
        "first_name": first,
        "last_name": last,
        "item_id": "1",
        "item_name": "thing",
    }
    for clear in (email, phone, customer):
        leak = dict(record)
        if where == "source_url":
            leak["source_url"] = f"https://a.de/{clear}/x"
        elif where == "item":
            leak["item_name"] = f"for {clear}"
        elif where in {"id", "city"}:
            leak[where] = clear
        mapped = MAPPINGS["flat"].apply(leak, now=NOW)
        body = encode_event(mapped.event).decode() if mapped.event else ""
        told = str(mapped.refusals) + str(mapped.warnings)
        if where != "city" or clear == email:
            for raw in (email, email.lower(), local, phone, customer, first, last):
                assert raw not in body
                assert raw not in told


@given(units=st.integers(0, 10**12), digits=st.integers(0, 4))
def test_amounts_survive_being_written_in_major_units(units, digits):
    text = f"{units // 10**digits}.{units % 10**digits:0{digits}d}" if digits else str(units)
    assert to_minor(text, digits, "major") == units


@given(value=VALUES)
def test_amounts_are_exact_or_refused(value):
    for unit in ("major", "minor"):
        try:
            assert isinstance(to_minor(value, 2, unit), int)
        except MappingError:
            continue
