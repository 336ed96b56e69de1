from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.data.consent import PROFILING, Rule, consent_of, is_contact, is_refused

LEFT = {"id": 3, "status": "unsubscribed"}
IN = {"id": 4, "status": "subscribed"}
CLEAN: dict[str, Any] = {"emailBlacklisted": False, "smsBlacklisted": False, "listIds": [1]}
ALL = {**CLEAN, "emailBlacklisted": True, "consentGroups": [LEFT], "listUnsubscribed": [1]}


@pytest.mark.parametrize(
    ("contact", "rule", "barred", "expected"),
    [
        (ALL, PROFILING, "forgotten", "forgotten"),
        (ALL, PROFILING, "objected", "objected"),
        (ALL, PROFILING, "", "blocklisted"),
        ({**ALL, "emailBlacklisted": False}, PROFILING, "", "group"),
        ({**CLEAN, "listUnsubscribed": [1]}, PROFILING, "", "list"),
        ({**CLEAN, "listUnsubscribed": [2]}, Rule(lists=frozenset({1})), "", "subscribed"),
        ({**CLEAN, "consentGroups": [LEFT]}, Rule(groups=frozenset({9})), "", "unknown"),
        ({**CLEAN, "consentGroups": [LEFT, IN]}, Rule(groups=frozenset({4})), "", "subscribed"),
        ({**CLEAN, "consentGroups": [LEFT, IN]}, PROFILING, "", "group"),
        (CLEAN, PROFILING, "", "unknown"),
        (CLEAN, Rule(lists=frozenset({1})), "", "subscribed"),
        ({**CLEAN, "smsBlacklisted": True}, PROFILING, "", "unknown"),
        ({**CLEAN, "smsBlacklisted": True}, Rule("sms"), "", "blocklisted"),
        ({**CLEAN, "createdAt": "2020-01-01"}, PROFILING, "", "unknown"),
        ({"emailBlacklisted": "true"}, PROFILING, "", "blocklisted"),
        ({"emailBlacklisted": "no"}, PROFILING, "", "unknown"),
        ({"emailBlacklisted": {}}, PROFILING, "", "blocklisted"),
    ],
)
def test_the_strictest_sign_decides(contact: Any, rule: Rule, barred: Any, expected: str) -> None:
    assert consent_of(contact, rule, barred) == expected


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part, max_size=3))


@given(st.dictionaries(st.sampled_from([*CLEAN, "consentGroups", "listUnsubscribed"]), JSON))
def test_nothing_beside_it_makes_a_blocklisting_good(contact: dict[str, Any]) -> None:
    assert is_refused(consent_of({**contact, "emailBlacklisted": True}, PROFILING))


@given(st.dictionaries(st.sampled_from(["listIds", "consentGroups", "listUnsubscribed"]), JSON))
def test_whatever_brevo_sends_has_a_verdict(contact: dict[str, Any]) -> None:
    assert consent_of(contact, Rule("email", frozenset({1}), frozenset({2})))


def test_a_row_of_a_file_says_nothing() -> None:
    assert not is_contact({"email": "a@b.example", "text": "hello"})
    assert is_contact({"emailBlacklisted": False})
