from __future__ import annotations

import msgspec
import pytest

from penstock.base.errors import (
    AccessError,
    DefectError,
    PenstockError,
    QuotaError,
    RejectedError,
    SettingsError,
    ThrottledError,
    UnavailableError,
)
from penstock.vendor.brevo import Brevo, RateState, read_rate, read_reply
from penstock.vendor.brevo_endpoints import ENDPOINTS
from penstock.vendor.http import Http, Reply

KEY = "xkeysib-0123456789abcdef"


def make_reply(status, body=None, headers=None, raw=None):
    content = raw if raw is not None else (b"" if body is None else msgspec.json.encode(body))
    return Reply(status, headers or {}, content, "api.brevo.com")


def read(operation, status, body=None, headers=None, raw=None):
    return read_reply(operation, ENDPOINTS[operation], make_reply(status, body, headers, raw))


def error_of(operation, status, body=None, headers=None, raw=None) -> PenstockError:
    with pytest.raises(PenstockError) as caught:
        read(operation, status, body, headers, raw)
    return caught.value


class Recorder:
    """An application that answers one thing and remembers what it was asked."""

    def __init__(self, status=200, body=b"{}", headers=()):
        self.status, self.body, self.headers = status, body, list(headers)
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    async def __call__(self, scope, receive, send):
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.asked.append((scope["method"], path, headers))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, {"code": "unauthorized", "message": "Key not found"}, AccessError, "brevo.key-refused"),
        (403, {"code": "permission_denied", "message": "no"}, AccessError, "brevo.permission-denied"),
        (402, {"code": "not_enough_credits", "message": "no"}, QuotaError, "brevo.no-credit"),
        (425, {"code": "too_early", "message": "wait"}, UnavailableError, "brevo.in-process"),
        (400, {"code": "account_in_process", "message": "wait"}, UnavailableError, "brevo.in-process"),
        (429, {"code": "too_many_requests", "message": "slow"}, ThrottledError, "brevo.throttled"),
        (408, None, UnavailableError, "brevo.unavailable"),
        (500, {"code": "x", "message": "y"}, UnavailableError, "brevo.unavailable"),
        (502, None, UnavailableError, "brevo.unavailable"),
        (302, None, UnavailableError, "brevo.unavailable"),
        (404, {"code": "document_not_found", "message": "no"}, RejectedError, "brevo.not-found"),
        (400, {"code": "invalid_parameter", "message": "bad"}, RejectedError, "brevo.rejected"),
        (405, {"code": "method_not_allowed", "message": "bad"}, RejectedError, "brevo.rejected"),
        (422, {"message": "no code at all"}, RejectedError, "brevo.rejected"),
        (207, {"status": "partial_success"}, UnavailableError, "brevo.error-in-answer"),
    ],
)
def test_every_failure_becomes_the_typed_error_that_says_what_to_do(status, body, kind, code):
    error = error_of("contacts.update", status, body)
    assert (type(error), error.code) == (kind, code)


def test_a_refused_key_names_the_four_causes():
    hint = error_of("account.get", 401, {"code": "unauthorized", "message": "Key not found"}).hint
    assert all(cause in hint for cause in ("wrong or deleted", "expired", "deactivated", "IP address"))


def test_an_ip_that_is_not_on_the_list_is_named_first():
    body = {"code": "unauthorized", "message": "We have detected you are using an unrecognised IP address 203.0.113.9"}
    assert error_of("account.get", 401, body).hint.startswith("Brevo says that this machine's IP address")


def test_a_missing_permission_names_the_resource_that_the_key_needs():
    error = error_of("attributes.create", 403, {"code": "permission_denied", "message": "no"})
    assert "attributes" in error.hint


@pytest.mark.parametrize("code", ["duplicate_parameter", "invalid_parameter"])
def test_a_duplicate_is_told_by_the_metadata_in_both_spellings_of_the_code(code):
    body = {"code": code, "message": "taken", "metadata": {"duplicate_identifiers": ["email", "ext_id"]}}
    error = error_of("contacts.create", 400, body)
    assert error.code == "brevo.duplicate"
    assert "email, ext_id" in error.message


def test_a_message_of_the_vendor_leaves_without_what_it_quotes():
    said = 'Invalid value "Marie Dupont" for marie@example.com, phone +33 6 12 34 56 78, key xkeysib-abcdefgh12345678'
    error = error_of("contacts.create", 400, {"code": "invalid_parameter", "message": said})
    shown = f"{error.message} {error.hint} {error.detail}"
    assert not any(secret in shown for secret in ("Marie", "marie@", "12 34 56", "abcdefgh"))


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_gateway_page_is_never_taken_for_a_missing_contact_or_permission(status):
    error = error_of("contacts.get", status, raw=b"<html>blocked</html>")
    assert (type(error), error.code) == (UnavailableError, "brevo.gateway")


def test_an_error_body_under_a_good_status_is_an_error():
    error = error_of("contacts.list", 200, {"code": "internal", "message": "outage"})
    assert type(error) is UnavailableError


def test_a_refused_key_under_a_good_status_is_an_access_error():
    assert type(error_of("contacts.list", 200, {"code": "unauthorized", "message": "no"})) is AccessError


@pytest.mark.parametrize("body", [{}, [], {"contacts": None}, {"contacts": {}}, {"status": "ok"}])
def test_a_list_without_its_collection_is_an_outage_and_not_an_empty_list(body):
    assert error_of("contacts.list", 200, body).code == "brevo.wrong-shape"


def test_a_stated_count_of_zero_is_an_empty_list():
    assert read("folders.list", 200, {"count": 0}).content["folders"] == []


@pytest.mark.parametrize("raw", [b'{"id": 1', b"<html></html>"])
def test_a_cut_or_foreign_answer_is_unavailable(raw):
    assert type(error_of("contacts.get", 200, raw=raw)) is UnavailableError


def test_an_empty_answer_where_an_object_belongs_is_wrong():
    assert error_of("account.get", 200, raw=b"").code == "brevo.wrong-shape"


def test_an_empty_answer_to_a_write_is_good():
    assert read("contacts.update", 204).content is None


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("3600", 3600.0),
        ("850000", 850.0),
        ("999999999", 3600.0),
        ("-1", None),
        ("soon", None),
    ],
)
def test_the_time_to_come_back_is_clamped_and_never_trusted_blindly(reset, seconds):
    error = error_of("contacts.list", 429, {"code": "x", "message": "y"}, {"x-sib-ratelimit-reset": reset})
    assert isinstance(error, ThrottledError)
    assert error.retry_after == seconds


def test_rate_headers_become_values():
    headers = {"x-sib-ratelimit-limit": "10", "x-sib-ratelimit-remaining": "7", "x-sib-ratelimit-reset": "1"}
    assert read("contacts.update", 204, headers=headers).rate == RateState(10, 7, 1.0)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"), [("", "", ""), ("0", "0", "1"), ("10", "-1", "1"), ("x", "1", "1")]
)
def test_rate_headers_without_sense_are_none(limit, remaining, reset):
    headers = {"x-sib-ratelimit-limit": limit, "x-sib-ratelimit-remaining": remaining, "x-sib-ratelimit-reset": reset}
    assert read_rate(headers) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.sendinblue.com/v3",
        "https://api.brevo.com.example.org/v3",
        "http://api.brevo.com/v3",
        "https://example.org",
        "nonsense",
    ],
)
async def test_a_host_that_is_not_brevo_is_refused(url):
    http = Http()
    with pytest.raises(SettingsError, match="address of Brevo"):
        Brevo(http, KEY, base_url=url)
    await http.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8700/brevo/v3", "http://localhost:1/v3", "http://[::1]:1/v3"])
async def test_a_sandbox_on_this_machine_is_allowed(url):
    http = Http()
    Brevo(http, KEY, base_url=url)
    await http.close()


async def test_identifiers_are_escaped_and_the_key_travels_in_its_own_header():
    app = Recorder(body=b'{"id": 1}')
    http = Http(apps={"api.brevo.com": app})
    query = {"identifierType": "email_id"}
    await Brevo(http, KEY).send("contacts.get", path={"identifier": "a+b/c@example.com"}, query=query)
    await http.close()
    method, path, headers = app.asked[0]
    assert (method, path) == ("GET", "/v3/contacts/a%2Bb%2Fc%40example.com?identifierType=email_id")
    assert headers["api-key"] == KEY
    assert "authorization" not in headers


async def test_repeated_parameters_are_sent_one_by_one():
    app = Recorder(body=b'{"contacts": []}')
    http = Http(apps={"api.brevo.com": app})
    await Brevo(http, KEY).send("contacts.list", query={"ids": [1, 2], "limit": 20})
    await http.close()
    assert app.asked[0][1] == "/v3/contacts?ids=1&ids=2&limit=20"


async def test_a_misspelt_filter_is_never_sent():
    app = Recorder()
    http = Http(apps={"api.brevo.com": app})
    with pytest.raises(DefectError, match="modifedSince"):
        await Brevo(http, KEY).send("contacts.list", query={"modifedSince": "2026-01-01"})
    await http.close()
    assert app.asked == []


async def test_a_report_is_fetched_without_the_key():
    app = Recorder(body="\ufeffEMAIL\na@example.com\n".encode())
    http = Http(apps={"files.example.org": app})
    assert await Brevo(http, KEY).download("https://files.example.org/report.csv") == "EMAIL\na@example.com\n"
    await http.close()
    assert "api-key" not in app.asked[0][2]


async def test_a_report_at_an_open_address_is_not_fetched():
    http = Http()
    with pytest.raises(UnavailableError, match="not https"):
        await Brevo(http, KEY).download("http://169.254.169.254/latest")
    await http.close()
