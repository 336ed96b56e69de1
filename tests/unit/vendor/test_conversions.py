import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import SettingsError
from penstock.vendor.conversions import Conversions, Pointer, normalize_integration, read_verdict
from penstock.vendor.http import Http, Reply

HOST = "bzr.openai.com"


def reply(status, body=b"", **headers):
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, HOST)


def refusal(message="no", kind="invalid_request_error", param=None, code=None, **rest):
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **rest}}


SCOPES = "You have insufficient permissions for this operation. Missing scopes: ads.third_party_events.write."
MISSING_PID = "[{'type': 'missing', 'loc': ('query', 'pid'), 'msg': 'Field required', 'input': None}]"

ANSWERS = [
    (200, {"accepted_events": 3}, "accepted", None),
    (200, {"accepted_events": 2}, "unknown", "conversions.unknown-answer"),
    (200, {"accepted_events": True}, "unknown", "conversions.unknown-answer"),
    (200, {"accepted_events": "3"}, "unknown", "conversions.unknown-answer"),
    (200, {"ok": 1}, "unknown", "conversions.unknown-answer"),
    (200, [3], "unknown", "conversions.unknown-answer"),
    (200, b'{"accepted_ev', "unknown", "conversions.unknown-answer"),
    (200, b"<html>welcome</html>", "unknown", "conversions.unknown-answer"),
    (202, b"", "unknown", "conversions.unknown-answer"),
    (302, b"", "access", "conversions.wrong-endpoint"),
    (404, {"error": "Not found"}, "access", "conversions.wrong-endpoint"),
    (405, b"", "access", "conversions.wrong-endpoint"),
    (401, refusal("Unauthorized"), "access", "conversions.key-refused"),
    (401, refusal(SCOPES), "access", "conversions.missing-scope"),
    (401, b"", "access", "conversions.key-refused"),
    (403, refusal("403: unknown pid", "server_error"), "pixel", "conversions.unknown-pixel"),
    (403, b"<html>error code: 1010</html>", "access", "conversions.not-allowed"),
    (400, refusal(MISSING_PID), "pixel", "conversions.no-pixel"),
    (400, refusal("Missing required field: events"), "unknown", "conversions.request-refused"),
    (400, refusal("bad", param="integration_source"), "unknown", "conversions.request-refused"),
    (400, refusal("events must have at most 500 entries.", param="events"), "rejected", "conversions.rejected"),
    (400, refusal("no", param="events[1]"), "rejected", "conversions.rejected"),
    (400, b"", "rejected", "conversions.rejected"),
    (413, b"too large", "rejected", "conversions.rejected"),
    (422, refusal("no"), "rejected", "conversions.rejected"),
    (409, refusal("no"), "unknown", "conversions.request-refused"),
    (418, b"", "unknown", "conversions.request-refused"),
    (429, b"", "throttled", "conversions.throttled"),
    (408, b"", "unavailable", "conversions.unavailable"),
    (500, refusal("no", "server_error"), "unavailable", "conversions.unavailable"),
    (503, b"<html>", "unavailable", "conversions.unavailable"),
    (599, b"\xff\xfe", "unavailable", "conversions.unavailable"),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), ANSWERS)
def test_an_answer_is_told_by_status_first_and_then_by_what_it_says(status, body, kind, code):
    verdict = read_verdict(reply(status, body), 3, "ABC123")
    assert (verdict.kind, verdict.status) == (kind, status)
    assert (verdict.error.code if verdict.error else None) == code
    assert verdict.error is None or verdict.error.hint or verdict.error.recovery == "retry"


def test_a_source_id_in_place_of_the_pixel_id_is_named():
    body = refusal("403: unknown pid", "server_error")
    for source_id in ("cds_123", "clidsrc_123"):
        verdict = read_verdict(reply(403, body), 1, source_id)
        assert (verdict.kind, verdict.error.code) == ("pixel", "conversions.source-id")
    assert read_verdict(reply(403, body), 1, "cdsABC").error.code == "conversions.unknown-pixel"


def test_every_event_that_a_refusal_names_becomes_a_pointer():
    errors = [
        {"message": "a", "param": "events[1].data.type", "code": "missing_event_data_type"},
        {"message": "b", "param": "events[2].user.countries[0]", "code": None},
        {"message": "b", "param": "events[2].user.countries[0]", "code": None},
        {"message": "c", "param": "events", "code": "x"},
        {"message": "d", "param": 7},
        "e",
    ]
    body = refusal("see errors", param="events[1]", code="invalid_event", errors=errors)
    assert read_verdict(reply(400, body), 3).pointers == (
        Pointer(1, "data.type", "missing_event_data_type", "a"),
        Pointer(2, "user.countries[0]", "", "b"),
    )


def test_a_pointer_without_nested_errors_is_read_from_the_outer_param():
    body = refusal("too old", param="events[0].timestamp_ms", code="event_timestamp_too_old")
    found = read_verdict(reply(422, body), 1).pointers
    assert found == (Pointer(0, "timestamp_ms", "event_timestamp_too_old", "too old"),)


def test_locations_of_the_validator_are_pointers_too():
    text = "[{'type': 'x', 'loc': ('body', 'events', 4, 'data', 'contents', 0, 'id'), 'msg': 'Bad', 'input': None}]"
    assert read_verdict(reply(400, refusal(text)), 9).pointers == (Pointer(4, "data.contents.0.id", "", "Bad"),)


def test_an_event_that_was_not_sent_is_no_pointer():
    verdict = read_verdict(reply(400, refusal(param="events[3].id")), 3)
    assert (verdict.kind, verdict.pointers) == ("rejected", ())


def test_headers_are_kept_without_secrets_and_the_body_without_personal_data():
    body = refusal("mail jane@example.com with Bearer sk-svcacct-abcdefgh is wrong " + "x" * 100_000)
    verdict = read_verdict(reply(400, body, x_request_id="req_1", set_cookie="a=b", cf_ray="ray"), 1)
    assert verdict.headers == {"x-request-id": "req_1", "cf-ray": "ray"}
    assert b"jane" not in verdict.body
    assert b"svcacct" not in verdict.body + verdict.message.encode()
    assert len(verdict.body) <= 4 * 1024
    assert verdict.error.request_id == "req_1"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Fri, 20 Nov 2026 10:00:30 GMT", 30.0),
    ],
)
def test_the_wait_that_is_asked_for_is_read_in_seconds_or_as_a_date(text, seconds):
    verdict = read_verdict(reply(429, b"", retry_after=text, date="Fri, 20 Nov 2026 10:00:00 GMT"), 1)
    assert verdict.retry_after == seconds
    assert verdict.error.retry_after == seconds


def test_the_wait_as_a_date_needs_the_date_of_the_answer():
    assert read_verdict(reply(429, b"", retry_after="Fri, 20 Nov 2026 10:00:30 GMT"), 1).retry_after is None


@given(
    status=st.integers(200, 599),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["events[0].id", "events[99999999999]"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "errors", "param", "code", "message", "detail", "accepted_events"]), inner
                )
            ),
        ).map(msgspec.json.encode),
    ),
)
def test_no_answer_is_too_strange(status, body):
    verdict = read_verdict(reply(status, body), 2)
    assert (verdict.kind == "accepted") == (verdict.error is None)
    assert all(0 <= pointer.index < 2 for pointer in verdict.pointers)


def test_an_integration_source_is_written_as_the_api_stores_it():
    assert normalize_integration("  Shop.Name_1-2 ") == "shop.name_1-2"
    for bad in ("", "-a", "a b", "ä", "x" * 65):
        with pytest.raises(SettingsError):
            normalize_integration(bad)


def test_the_destination_is_stable_and_tells_nothing_of_the_key():
    def name(key="sk-a-0123456", pixel_id="P1", base_url="https://bzr.openai.com"):
        return Conversions(Http(), key, pixel_id=pixel_id, base_url=base_url).destination

    assert name() == name(key="sk-b-0123456")
    assert name() == name(base_url="https://bzr.openai.com/v1/events") == name(base_url="https://bzr.openai.com/v1/")
    assert len({name(), name(pixel_id="P2"), name(base_url="https://gateway.example")}) == 3


async def test_a_connection_that_cannot_be_made_sent_nothing():
    client = Conversions(Http(connect_timeout=0.5), "sk-a-0123456", pixel_id="P1", base_url="http://127.0.0.1:9")
    verdict = await client.send([b"{}"])
    assert (verdict.kind, verdict.status, verdict.error.sent) == ("unavailable", 0, False)
