"""The function that is written for a mapping and the rules: the same event, or the rules alone speak."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.events.event import encode_event
from penstock.events.identifiers import hash_email
from penstock.events.mapping import load_mapping
from penstock.events.shortcut import Shortcuts

NOW_MS = 1_795_172_400_000
ORDER = {
    "order_id": "ord-1",
    "event": "order_created",
    "created_at": "2026-11-20T09:59:58Z",
    "page_url": "https://shop.example/thanks/1?utm_source=chatgpt",
    "landing_url": "https://shop.example/?oppref=opp-2",
    "oppref": "opp-1",
    "currency": "EUR",
    "total": "30.00",
    "ip": "192.0.2.7",
    "user_agent": "Mozilla/5.0",
    "customer": {
        "id": "CUST-00000007",
        "email": "Customer.7@Example.com",
        "email_sha256": hash_email("other@example.com"),
        "phone": "+49 171 0000007",
        "first_name": "Mary Jane",
        "last_name": "O'Connor",
        "country": "de",
        "city": "Berlin",
        "zip": "10122",
    },
    "items": [
        {"sku": "sku-7", "title": "Thing number 7", "quantity": 1, "price": "10.00", "more": {"colour": "blue"}},
        {"sku": "sku-8", "quantity": 2, "price": "10.00", "currency": "EUR"},
    ],
    "consent": "yes",
    "plan": "p-1",
    "extra": {"a": ["b", 1]},
}
FIELDS = """\
amount_unit: major
fields:
  id: ${{ record.order_id }}
  timestamp: ${{ record.created_at }}
  source_url: ${{ record.page_url }}
  landing_url: ${{ record.landing_url }}
  oppref: ${{ record.oppref }}
  opt_out: ${{ record.opt_out }}
  email: ${{ record.customer.email or record.email }}
  phone: ${{ record.customer.phone }}
  external_id: ${{ record.customer.id }}
  first_name: ${{ record.customer.first_name }}
  last_name: ${{ record.customer.last_name }}
  country: ${{ record.customer.country }}
  city: ${{ record.customer.city }}
  postal_code: ${{ record.customer.zip }}
  ip_address: ${{ record.ip }}
  user_agent: ${{ record.user_agent }}
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
"""
ITEMS = """\
  contents:
    each: ${{ record.items }}
    id: ${{ item.sku }}
    name: ${{ item.title }}
    quantity: ${{ item.quantity }}
    amount: ${{ item.price }}
"""
MAPPINGS = {
    "orders": "event: order_created\nautomap: false\n" + FIELDS + ITEMS + "    variant_dict: ${{ item.more }}\n",
    "own currency": "event: order_created\n" + FIELDS + ITEMS + "    currency: ${{ item.currency }}\n",
    "whole items": "event: order_created\n" + FIELDS + "  contents: ${{ record.items }}\n",
    "lists": "event: order_created\n" + FIELDS + "  contents:\n    - id: ${{ record.plan }}\n      quantity: 1\n",
    "any type": "event: ${{ record.event }}\nvalidate_only: ${{ record.trial }}\n"
    + FIELDS
    + ITEMS
    + "  email_sha256: ${{ record.customer.email_sha256 }}\n  consent: ${{ record.consent }}\n"
    "  action_source: ${{ record.source }}\n  custom_event_name: ${{ record.custom }}\n"
    "  plan_id: ${{ record.plan }}\n  data:\n    further: ${{ record.extra }}\n",
    "no items": "event: ${{ record.event }}\naction_source: web\nautomap: false\n" + FIELDS,
}
WORDS = st.sampled_from(
    [
        *("", " ", "x", "sku-7", "unknown", "0", "EUR", "eur", "JPY", "19.99", "7", "-1", "1e3", "https://a.de/x@b.de"),
        *(
            "order_created",
            "custom",
            "subscription_created",
            "registration_completed",
            "app_installed",
            "Order Created",
        ),
        *("2026-11-20T09:00:00+01:00", "2026-11-01T00:00:00Z", "web", "mobile_app", "app", "true", "no", "e-1"),
        *("CUST-00000007", "Customer.7@Example.com", "for Customer.7@Example.com", "thing CUST-00000007", "quantity"),
        *("+49 171 0000007", "+491710000007", "ext. 12", "192.0.2.300", "2001:db8::1", "a" * 64, "A" * 64),
        *("\ud800", "\x00"),
    ]
)
ODD = (
    WORDS
    | st.none()
    | st.booleans()
    | st.integers(-2, 2**64)
    | st.floats()
    | st.lists(WORDS, max_size=2)
    | st.dictionaries(WORDS, WORDS, max_size=2)
    | st.sampled_from([NOW_MS, 1_795_168_800, 115310627314723954, [{}], [{"sku": "CUST-00000007"}], [5], {"k": None}])
)
PLACES = [
    *((name,) for name in [*ORDER, "opt_out", "trial", "source", "custom", "email", "_csubtotal", "_csku"]),
    *(("customer", name) for name in ORDER["customer"]),
    *(("items", index, name) for index in (0, 1) for name in ("sku", "title", "quantity", "price", "more", "currency")),
]


@pytest.fixture(scope="module")
def mappings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mappings")
    loaded = {}
    for name, text in MAPPINGS.items():
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        loaded[name] = load_mapping(path)
    return loaded


def shortcut(mapping, record):
    """Return the event of the written function alone."""
    made = Shortcuts(
        mapping.plan, mapping.contract, mapping._cart, mapping._types, mapping._moment, mapping._default_source
    )
    return made.build(record, NOW_MS)


def change(record, place, value):
    *path, last = place
    for part in path:
        record = record[part] if isinstance(record, (dict, list)) and (isinstance(record, dict) or len(record)) else {}
    if isinstance(record, dict):
        record[last] = value


@settings(max_examples=300)
@pytest.mark.parametrize("name", MAPPINGS)
@given(changes=st.lists(st.tuples(st.sampled_from(sorted(PLACES, key=str, reverse=True)), ODD), max_size=3))
def test_the_short_way_gives_the_event_of_the_rules_or_none(mappings, name, changes):
    record = copy.deepcopy(ORDER)
    for place, value in sorted(changes, key=lambda one: -len(one[0])):
        change(record, place, value)
    mapping = mappings[name]
    event, mapped = mapping._shortcuts.build(record, NOW_MS), mapping.apply_rules(record, NOW_MS)
    if event is not None:
        assert mapped.event == event
        assert list(mapped.event.traces) == list(event.traces)
        assert encode_event(mapped.event) == encode_event(event)
        assert (mapped.refusals, mapped.warnings) == ((), ())
        assert (mapped.pixel_id, mapped.connection, mapped.validate_only) == (None, None, False)
    assert mapping.apply(record, now=NOW_MS / 1000) == mapped


@pytest.mark.parametrize("name", ["orders", "own currency", "lists", "no items"])
def test_a_plain_record_takes_the_short_way(mappings, name):
    assert shortcut(mappings[name], ORDER) is not None


@pytest.mark.parametrize("kind", ["order_created", "subscription_created", "registration_completed", "custom"])
def test_every_shape_has_a_short_way(mappings, kind):
    record = {**ORDER, "event": kind, "items": None, "extra": None, "plan": None, "custom": "E-1", "oppref": ""}
    if kind == "subscription_created":
        record["plan"] = "p-1"
    event = shortcut(mappings["any type"], record)
    assert event is not None
    assert event.oppref == "opp-2"
    assert event.name == ("e-1" if kind == "custom" else kind)


def test_the_text_of_a_path_is_never_read_as_python(tmp_path):
    path = tmp_path / "m.yaml"
    name = "a') if 1 else 1/0 #\\"
    key = name.replace("'", "''")
    path.write_text(
        "event: order_created\naction_source: other\nfields:\n"
        f"  id: '${{{{ record[\"{key}\"] }}}}'\n  timestamp: ${{{{ record.at }}}}\n",
        encoding="utf-8",
    )
    event = shortcut(load_mapping(path), {name: "7", "at": NOW_MS})
    assert event.id == "7"
