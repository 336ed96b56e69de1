"""Published vectors of the Conversions API: hashes, money, places, and whole events.

The table below holds those that vendors and implementers have published; the fuller file is
read where it lies beside the repository.
"""

import copy
import json
import os
import re
import unicodedata
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from penstock.base.errors import MappingError
from penstock.events.contract import load_contract
from penstock.events.event import encode_event
from penstock.events.identifiers import HASHERS
from penstock.events.mapping import load_mapping
from penstock.events.money import to_minor
from penstock.events.validate import check_event
from penstock.events.values import CLEAR

NOW_MS = 1_795_172_400_000
CONTRACT = load_contract()
SHARED = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[3] / "shared"))
FILE = SHARED / "contracts" / "conversions-vectors.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else None
needs_file = pytest.mark.skipif(VECTORS is None, reason=f"{FILE} is not here; set PENSTOCK_SHARED")
KINDS = {"first_name": "name", "last_name": "name", "external_id": "external-id"}

PUBLISHED = [
    # developers.openai.com/ads/conversions-api, read 2026-09
    ("email", "user@example.com", "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"),
    ("phone", "+1 (415) 555-2671", "758fbf68945f21c416814c539ab578876c8d98fb69e6da692def92cd52417fe0"),
    ("external_id", "customer_123", "18f69bcd2f9cc9c38195e722b2a5590429840ea5090971d2256e026926e55fa1"),
    ("external_id", "customer_12345", "73d83a078369bb4f0971b317aa7797a91cf5c0df1b62161c2e47d75c33ab5b6e"),
    ("first_name", "ada", "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029"),
    ("last_name", "lovelace", "fb1e7ec987523d2cb9e022cec1d6ae7c99dc46edfae4fe51254025fe4bea571f"),
    ("first_name", "Mary Jane", "f08f448a5e7a9dc3619bb7c129f6a7d5fc6af002cea17ad71dfdc1c68f4d4e0e"),
    ("last_name", "O'Connor", "7a0fbfdf40cbeb97429bdb88f512cecd27f0d44b7e57986ab578423bb61936ac"),
    ("first_name", "José", "d994e1d001886fe5b45b1267bd1fa2b752ac50742579bd3dad7b2a2aa0ed6866"),
    # github webaroundlabs/openai-ads-toolkit, fixtures of 0.3.0
    ("email", " Ada@Example.COM ", "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"),
    ("phone", "+40 746 123 456", "af9e136cc1c34ac87999ef8bd28b3d15c08a75b9ae1c2018b39c0f37c23296bd"),
    ("phone", "+00 44 (0)20 7946 0958", "40f19965b0d0ebba641dbd9309c3ac18542d9ad976c47f8d35347daea67ee2c2"),
    ("external_id", "  CUST-00042  ", "382211e688c29ae2dcce0b401999831aec27161d9bc0ffd092545a828a18bbc8"),
    ("first_name", "Ion", "d6806158f75334002321a9333b6b02b9b84b51433400afb68bb197bddc2db6a5"),
    ("last_name", "Ștefănescu", "1c43886f1047ed5dfae59c0945ff61475b7df3a912312a6484ce80429df049a1"),
    ("last_name", "O'Neill", "fa0fd24b2d0175a5c48e1b82f4d707a8a95f5279c4abdc43fa2f19d8e30eb47d"),
    ("last_name", " Van  Der Berg ", "aad607ca3121d5d843c2cd64e8c73c2a24fa3a4cb890ed8d40a1efa8af7a14d5"),
    # github Found-Search-Marketing, tests of its server template
    ("email", "Test@Example.com", "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"),
    ("phone", "+1 (415) 555-0100", "5e7ec4c79ccac6e420876e65ad0e6b4b2ccf73ec3dccb50297bf2890a1ec73b9"),
    # other platforms whose rules agree: Meta and Snap
    ("email", "John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    ("first_name", "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
    ("first_name", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
    ("first_name", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ("email", "Person@Example.com", "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"),
    ("phone", "+44 844 412 4653", "dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383"),
]


def hash_field(field, value):
    return str(HASHERS[KINDS.get(field, field)](value))


@pytest.mark.parametrize(("field", "value", "digest"), PUBLISHED)
def test_a_published_hash_is_met(field, value, digest):
    assert hash_field(field, value) == digest
    assert hash_field(field, unicodedata.normalize("NFD", value)) == digest


def test_a_phone_of_another_platform_with_a_word_in_it_is_refused():
    with pytest.raises(MappingError):  # Meta's own sample; there every letter is dropped
        hash_field("phone", "(650)555-1212 (US)")


def vectors(name):
    return (VECTORS or {}).get(name, [])


@needs_file
def test_every_hash_of_the_file_is_met():
    assert len(vectors("hash_vectors")) >= 20
    for one in [*vectors("hash_vectors"), *vectors("hash_vectors_other_platforms")]:
        if "(US)" not in one["input"]:
            assert hash_field(one["field"], one["input"]) == one["sha256"], one


@needs_file
def test_no_wrong_hash_of_the_file_is_made():
    for one in vectors("hash_regressions"):
        value = unicodedata.normalize("NFD", one["input"].removesuffix(" (NFD)"))
        if one.get("right") == "reject":
            with pytest.raises(MappingError):
                hash_field(one["field"], value)
        else:
            assert hash_field(one["field"], value) == one["right_sha256"] != one["wrong_sha256"]


@needs_file
def test_every_identifier_that_must_be_refused_is_refused():
    for one in vectors("rejected_identifiers"):
        kind = {"ip_address": "ip", "android_advertising_id": "device"}.get(one["field"], one["field"])
        with pytest.raises(MappingError):
            (CLEAR.get(kind) or HASHERS[kind])(one["input"])


@needs_file
def test_places_are_sent_in_clear_text():
    kinds = {"city": "place", "region": "place", "country": "country", "postal_code": "postal-code"}
    for one in vectors("geo_vectors"):
        read = CLEAR[kinds[one["field"]]]
        if "send" in one and one["send"] is None:
            with pytest.raises(MappingError):
                read(one["input"])
        elif "send" in one:
            assert read(one["input"]) == one["send"]
        else:  # the vendor lower-cases what it stores
            assert read(one["input"]).lower() == one["api_stores"]


@needs_file
def test_every_amount_of_the_file_is_met():
    for one in vectors("money_vectors"):
        if one["minor"] is None:
            with pytest.raises(MappingError):
                to_minor(one["major"], CONTRACT.digits[one["currency"]], "major")
        else:
            assert to_minor(one["major"], CONTRACT.digits[one["currency"]], "major") == one["minor"]


def put(event, path, value):
    *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", path)]
    for part in parents:
        event = event[part]
    if value is None:
        del event[last]
    else:
        event[last] = value


def build_case(case, by_name):
    """Return the event of a payload case with its time filled in, and how often it is repeated."""
    change = case.get("mutation", {})
    event = copy.deepcopy(case["event"] if "event" in case else by_name[change["base"]]["event"])
    for path, value in change.get("set", {}).items():
        put(event, path, value)
    if "remove" in change:
        put(event, change["remove"], None)
    if isinstance(event["timestamp_ms"], str):
        offset = event["timestamp_ms"].removeprefix("NOW")
        event["timestamp_ms"] = NOW_MS + int(offset or 0)
    return event, change.get("repeat", 1)


@needs_file
def test_every_payload_case_is_judged_as_the_contract_says():
    by_name = {case["name"]: case for case in vectors("payload_cases")}
    schema = jsonschema_rs.validator_for(CONTRACT.json_schema())
    mapping = load_mapping("openai-event")
    assert len(by_name) >= 20
    for case in by_name.values():
        event, repeat = build_case(case, by_name)
        if repeat > 1:
            assert not schema.is_valid({"events": [event] * repeat})
            continue
        found = check_event(event, CONTRACT, now_ms=NOW_MS)
        mapped = mapping.apply(event, now=NOW_MS / 1000)
        assert (not found) == case["valid"] == (mapped.event is not None), (case["name"], found, mapped)
        if not case["name"].startswith("too "):  # a schema knows no clock
            assert schema.is_valid({"events": [event]}) == case["valid"], case["name"]
        if mapped.event is not None and case["name"] != "four emails":
            assert msgspec.json.decode(encode_event(mapped.event)) == event


@needs_file
def test_the_contract_names_what_the_file_names():
    known = {name for name, one in VECTORS["event_types"].items() if one.get("certainty") != "uncertain"}
    assert set(CONTRACT.types) == known
    for name in known:
        assert CONTRACT.types[name].shape == VECTORS["event_types"][name]["data_type"]
    assert set(CONTRACT.user) == set(VECTORS["user_fields"]["current_capi"])
    assert set(CONTRACT.item) == {name for name in VECTORS["content_item_fields"] if not name.startswith("_")}
    assert set(CONTRACT.envelope) == set(VECTORS["event_fields"]) - {"oppcref"}
    assert set(VECTORS["legacy_field_names_to_refuse"]) <= set(CONTRACT.older.envelope)
    superseded = {
        name for names in VECTORS["user_fields"]["superseded"].values() if isinstance(names, list) for name in names
    }
    assert superseded <= set(CONTRACT.older.user) | set(CONTRACT.user)
