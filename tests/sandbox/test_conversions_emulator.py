import msgspec
import pytest
from conversions_desk import EVENTS_HOST, Desk

from penstock.sandbox.conversions_rules import load_table
from penstock.sandbox.conversions_state import PIXEL

DAY = 86_400
ACTION = {"type": "customer_action"}


def said(verdict):
    return msgspec.json.decode(verdict.body)


async def post(desk, body, query=(("pid", PIXEL),), key="sk-any-0123456", path="/v1/events", method="POST"):
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"https://{EVENTS_HOST}{path}"
    return await desk.clock.run(desk.http.send(method, url, headers=headers, body=content, query=list(query)))


async def test_valid_events_are_counted_and_kept():
    desk = Desk()
    verdict = await desk.send(desk.lead(1), desk.order(2))
    assert (verdict.kind, verdict.accepted, verdict.body) == ("accepted", 2, b'{"accepted_events":2}')
    assert [one.name for one in desk.state.received] == ["lead_created", "order_created"]
    assert verdict.headers["x-request-id"].startswith("req_")


async def test_the_same_event_is_saved_once_and_the_first_copy_wins():
    desk = Desk()
    await desk.send(desk.lead(1, oppref="first"))
    verdict = await desk.send(desk.lead(1, oppref="second"), desk.lead(2))
    assert verdict.accepted == 2
    assert desk.state.find("lead-1")[0].event["oppref"] == "first"
    assert desk.state.counts["duplicates"] == 1
    desk.change(count_duplicates=False)
    again = await desk.send(desk.lead(1))
    assert (again.kind, again.accepted) == ("unknown", 0)


async def test_dedup_tells_pixels_types_and_custom_names_apart():
    desk = Desk()
    pixel = desk.state.add_pixel("Other").pixel_id
    custom = {"type": "custom", "data": {"type": "custom"}}
    await desk.send(desk.lead(1), desk.lead(1, **custom, custom_event_name="Quiz"))
    await desk.send(desk.lead(1, **custom, custom_event_name="quiz"), desk.order(1, id="lead-1"))
    await desk.clock.run(desk.client(pixel_id=pixel).send([msgspec.json.encode(desk.lead(1))]))
    assert desk.state.counts["saved"] == 4
    assert desk.state.counts["duplicates"] == 1


async def test_the_memory_of_ids_has_an_end_where_it_is_given_one():
    desk = Desk(dedup_seconds=3600.0)
    await desk.send(desk.lead(1))
    desk.clock.advance(3601)
    await desk.send(desk.lead(1))
    assert desk.state.counts["saved"] == 2
    desk.change(dedup_seconds=None, dedup_events=1)
    await desk.send(desk.lead(2))
    await desk.send(desk.lead(1))
    assert desk.state.counts["duplicates"] == 0


async def test_validate_only_saves_nothing():
    desk = Desk()
    verdict = await desk.send(desk.lead(1), validate_only=True)
    assert (verdict.kind, verdict.accepted) == ("accepted", 1)
    assert not desk.state.received
    assert desk.state.counts["validated"] == 1


async def test_one_bad_event_fails_the_whole_batch_with_the_bodies_of_the_live_api():
    desk = Desk()
    verdict = await desk.send(desk.lead(1), desk.lead(2, data={}))
    assert (verdict.kind, verdict.status) == ("rejected", 400)
    assert said(verdict) == {
        "error": {
            "message": "Invalid event at events[1]. See errors for details.",
            "type": "invalid_request_error",
            "param": "events[1]",
            "code": "invalid_event",
            "errors": [
                {
                    "message": "events[1].data.type must be a supported data type.",
                    "param": "events[1].data.type",
                    "code": "missing_event_data_type",
                }
            ],
        }
    }
    assert not desk.state.received


async def test_an_event_outside_the_time_window_is_refused():
    desk = Desk()
    now = round(desk.clock.now() * 1000)
    assert (await desk.send(desk.lead(1, timestamp_ms=now - 7 * DAY * 1000))).kind == "accepted"
    old = await desk.send(desk.lead(2, timestamp_ms=now - 7 * DAY * 1000 - 1))
    text = "event_timestamp_ms must be within the last 7 days."
    error = {"message": text, "param": "events[0].timestamp_ms", "code": "event_timestamp_too_old"}
    assert old.status == 422
    assert said(old) == {"error": {**error, "type": "invalid_request_error", "errors": [error]}}
    assert (await desk.send(desk.lead(3, timestamp_ms=now + 600_000))).kind == "accepted"
    assert (await desk.send(desk.lead(4, timestamp_ms=now + 600_001))).status == 422
    desk.clock.advance(DAY)
    assert (await desk.send(desk.lead(5, timestamp_ms=now - 6 * DAY * 1000 - 1))).status == 422


@pytest.mark.parametrize(
    ("pointers", "indices"), [("all", [1, 3]), ("first", [1]), ("none", []), ("locations", [1, 3])]
)
@pytest.mark.parametrize("planned", [False, True])
async def test_what_a_refusal_names_can_be_chosen_also_for_single_calls(pointers, indices, planned):
    desk = Desk(pointers="all" if planned else pointers)
    if planned:
        desk.fault("status", code=pointers, times=1)
    batch = [desk.lead(number, **({"id": ""} if number in (1, 3) else {})) for number in range(5)]
    verdict = await desk.send(*batch)
    assert verdict.kind == "rejected"
    assert [pointer.index for pointer in verdict.pointers] == indices
    assert all(pointer.field == "id" for pointer in verdict.pointers)
    if planned:
        assert len((await desk.send(*batch)).pointers) == 2


async def test_codes_that_nobody_has_seen_can_be_left_out():
    desk = Desk(codes="null")
    verdict = await desk.send(desk.lead(1, id=""), desk.lead(2, data={}))
    assert [pointer.code for pointer in verdict.pointers] == ["", "missing_event_data_type"]


BAD = [
    ("id", {"id": 7}),
    ("type", {"type": "purchase"}),
    ("type", {"type": ["lead_created"]}),
    ("timestamp_ms", {"timestamp_ms": 1.5}),
    ("timestamp_ms", {"timestamp_ms": True}),
    ("timestamp_ms", {"timestamp_ms": 1_795_000_000}),
    ("action_source", {"action_source": "website"}),
    ("action_source", {"action_source": {}}),
    ("source_url", {"source_url": None}),
    ("source_url", {"source_url": "www.example.org"}),
    ("source_url", {"source_url": "https://[bad"}),
    ("opt_out", {"opt_out": "no"}),
    ("oppref", {"oppref": 7}),
    ("user", {"user": []}),
    ("user.user_agent", {"user": {"user_agent": " "}}),
    ("user.ip_address", {"user": {"ip_address": "999.1.1.1"}}),
    ("user.emails_sha256", {"user": {"emails_sha256": "0" * 64}}),
    ("user.android_advertising_id", {"user": {"android_advertising_id": "abc"}}),
    ("data", {"data": None}),
    ("data.type", {"data": {"type": "contents"}}),
    ("data.contents", {"data": {"type": "customer_action", "contents": [{"id": "x"}]}}),
    ("data.currency", {"data": {"type": "customer_action", "amount": 1}}),
    ("data.currency", {"data": {"type": "customer_action", "amount": 1, "currency": "XYZ"}}),
    ("data.amount", {"data": {"type": "customer_action", "amount": 1.5, "currency": "EUR"}}),
    ("data.amount", {"data": {"type": "customer_action", "amount": -1, "currency": "EUR"}}),
    ("custom_event_name", {"type": "custom", "data": {"type": "custom"}}),
    ("custom_event_name", {"type": "custom", "data": {"type": "custom"}, "custom_event_name": "order_created"}),
    ("custom_event_name", {"type": "custom", "data": {"type": "custom"}, "custom_event_name": "-quiz"}),
    ("action_source", {"type": "app_opened"}),
]


@pytest.mark.parametrize(("field", "changes"), BAD)
async def test_each_documented_rule_is_held(field, changes):
    desk = Desk()
    verdict = await desk.send(desk.lead(1), desk.lead(2, **changes))
    assert verdict.kind == "rejected"
    assert {(pointer.index, pointer.field) for pointer in verdict.pointers} == {(1, field)}


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("data.contents[0].category", {"category": "mugs"}),
        ("data.contents[0].quantity", {"quantity": "2"}),
        ("data.contents[0].variant_dict", {"variant_dict": {"size": 7}}),
        ("data.contents[0].content_type", {"content_type": ""}),
    ],
)
async def test_items_take_only_their_own_fields(field, item):
    desk = Desk()
    verdict = await desk.send(desk.order(1, data={"contents": [item]}))
    assert [pointer.field for pointer in verdict.pointers] == [field]
    assert (await desk.send(desk.order(2, data={"contents": 7}))).pointers[0].field == "data.contents"
    assert (await desk.send(desk.order(2, data={"contents": [7]}))).pointers[0].field == "data.contents[0]"


async def test_an_entry_that_is_no_object_is_a_bad_event():
    desk = Desk()
    verdict = await desk.send(b"[]", b"null", desk.lead(1))
    assert [pointer.index for pointer in verdict.pointers] == [0, 1]


@pytest.mark.parametrize(
    ("switch", "one", "other", "changes"),
    [
        ("earlier_names", "ignore", "refuse", {"user": {"email_sha256": "0" * 64}}),
        ("earlier_names", "accept", "refuse", {"user": {"country_sha256": "0" * 64}}),
        ("unknown_fields", "ignore", "refuse", {"user": {"email": "a@b.example"}}),
        ("unknown_fields", "ignore", "refuse", {"event_name": "lead"}),
        ("unknown_fields", "ignore", "refuse", {"data": {"type": "customer_action", "colour": "blue"}}),
        ("bad_list_entries", "drop", "refuse", {"user": {"countries": ["Germany"]}}),
        ("missing_action_source", "accept", "refuse", {"action_source": None}),
        ("amounts_below_zero", "accept", "refuse", {"data": ACTION | {"amount": -1, "currency": "EUR"}}),
        ("currency_alone", "accept", "refuse", {"data": ACTION | {"currency": "EUR"}}),
        ("attribution_appended", "accept", "refuse", {"type": "attribution_appended", "data": {"type": "attribution"}}),
        ("longest_id", None, 5, {"id": "123456"}),
    ],
)  # fmt: skip
async def test_what_the_vendor_leaves_open_can_be_switched_both_ways(switch, one, other, changes):
    desk = Desk(**{switch: one})
    assert (await desk.send(desk.lead(1, **changes))).kind == "accepted"
    desk.change(**{switch: other})
    assert (await desk.send(desk.lead(2, **changes))).kind == "rejected"


async def test_a_repeat_inside_a_batch_can_be_refused():
    desk = Desk()
    assert (await desk.send(desk.lead(1), desk.lead(1))).accepted == 2
    assert desk.state.counts["saved"] == 1
    desk.change(repeats_in_batch="refuse")
    assert (await desk.send(desk.lead(2), desk.lead(2))).pointers[0].index == 1


async def test_earlier_names_match_only_where_they_are_accepted():
    desk = Desk()
    user = {"email_sha256": "0" * 64, "countries": ["DE", "DE", "Germany", "FR", "US", "IT"], "obref": "o"}
    await desk.send(desk.lead(1, user=user))
    assert desk.state.received[-1].matched == {"countries": ["DE", "FR", "US"], "obref": ["o"]}
    desk.change(earlier_names="accept")
    nobody = {"android_advertising_id": "00000000-0000-0000-0000-000000000000", "email_sha256": "0" * 64}
    await desk.send(desk.lead(2, user=nobody))
    assert desk.state.received[-1].matched == {"email_sha256": ["0" * 64]}


async def test_sizes_of_a_batch_have_limits():
    desk = Desk()
    lead = msgspec.json.encode(desk.lead(1))
    assert (await desk.send(*[lead] * 1000)).kind == "accepted"
    assert (await desk.send(*[lead] * 1001)).kind == "rejected"
    assert (await desk.send()).kind == "rejected"
    desk.change(empty_batch="accept", most_bytes=500)
    assert (await desk.send()).kind == "accepted"
    large = await desk.send(*[lead] * 10)
    assert (large.kind, large.status) == ("rejected", 413)
    desk.change(too_large_status=400)
    assert (await desk.send(*[lead] * 10)).status == 400


async def test_requests_around_the_events_are_judged_as_the_live_api_does():
    desk = Desk()
    lead = desk.lead(1)
    assert b"Missing required field: events" in (await post(desk, lead)).body
    missing = await post(desk, {"events": [lead]}, query=())
    assert (missing.status, b"('query', 'pid')" in missing.body) == (400, True)
    assert (await post(desk, b"{")).status == 400
    assert (await post(desk, {"events": 7})).status == 400
    assert (await post(desk, {"events": [lead], "validate_only": 1})).status == 400
    assert (await post(desk, {"events": [lead], "integration_source": "-"})).status == 400
    assert (await post(desk, {"events": [lead], "integration_source": " My.Shop "})).status == 200
    assert (await post(desk, b"", path="/v2/events")).status == 404
    assert (await post(desk, b"", method="PUT")).status == 405


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "conversions.key-refused"),
        ("sk-invalid-0123", "conversions.key-refused"),
        ("sk-advertiser-0123", "conversions.missing-scope"),
        ("sk-platform-0123", "conversions.missing-scope"),
        ("sk-unscoped-0123", "conversions.missing-scope"),
    ],
)
async def test_keys_of_other_kinds_are_refused_with_their_cause(key, code):
    desk = Desk()
    verdict = await desk.clock.run(desk.client(key).send([msgspec.json.encode(desk.lead(1))]))
    assert (verdict.kind, verdict.status, verdict.error.code) == ("access", 401, code)


async def test_pixel_ids_that_are_not_known_are_refused():
    desk = Desk()
    for pixel_id, code in (("nobody", "conversions.unknown-pixel"), ("cds_sandbox0001", "conversions.source-id")):
        verdict = await desk.clock.run(desk.client(pixel_id=pixel_id).send([msgspec.json.encode(desk.lead(1))]))
        assert (verdict.kind, verdict.error.code) == ("pixel", code)
        assert verdict.body == (
            b'{"error":{"message":"403: unknown pid","type":"server_error","param":null,"code":null}}'
        )
    desk.change(any_pixel=True)
    assert desk.state.knows_pixel("nobody")
    assert not desk.state.knows_pixel("unknown1")
    assert not desk.state.knows_pixel("cds_sandbox0001")


async def test_throttling_states_its_wait_or_does_not():
    desk = Desk(requests_per_minute=2)
    kinds = [(await desk.send(desk.lead(number))).kind for number in range(3)]
    assert kinds == ["accepted", "accepted", "throttled"]
    verdict = await desk.send(desk.lead(3))
    assert 0 < verdict.retry_after <= 60
    desk.change(states_wait=False)
    assert (await desk.send(desk.lead(3))).retry_after is None
    desk.clock.advance(60)
    assert (await desk.send(desk.lead(3))).kind == "accepted"


@pytest.mark.parametrize(
    ("fault", "kind", "saved"),
    [
        ({"kind": "status", "status": 503, "seconds": 9.0}, "unavailable", 0),
        ({"kind": "status", "status": 429, "seconds": 9.0}, "throttled", 0),
        ({"kind": "status", "status": 401}, "access", 0),
        ({"kind": "status", "status": 401, "code": "missing_scope"}, "access", 0),
        ({"kind": "status", "status": 403}, "pixel", 0),
        ({"kind": "status", "status": 400, "code": "invalid_event"}, "rejected", 0),
        ({"kind": "html", "status": 502}, "unavailable", 0),
        ({"kind": "drop"}, "unavailable", 0),
        ({"kind": "lost"}, "unavailable", 1),
        ({"kind": "lost", "status": 504}, "unavailable", 1),
        ({"kind": "slow", "seconds": 5.0}, "accepted", 1),
        ({"kind": "malformed"}, "unknown", 1),
    ],
)
async def test_planned_faults_strike_as_planned(fault, kind, saved):
    desk = Desk()
    desk.fault(**fault, times=1)
    verdict = await desk.send(desk.lead(1))
    assert (verdict.kind, desk.state.counts["saved"]) == (kind, saved)
    assert verdict.retry_after == (9.0 if fault["kind"] == "status" and fault.get("seconds") else None)
    assert (await desk.send(desk.lead(1))).kind == "accepted"
    assert desk.state.counts["saved"] == 1


async def test_request_ids_can_be_missing():
    assert "x-request-id" not in (await Desk(request_ids=False).send()).headers


def test_every_event_type_of_the_contract_has_a_shape():
    table = load_table()
    assert len(table.types) == 13
    assert set(table.types.values()) <= set(table.shapes)
