"""The count of recipients is the number of people whom the emulated Brevo mails."""

from __future__ import annotations

from brevo_desk import Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.data.brevo_campaigns import Audience
from penstock.data.brevo_recipients import SAMPLES, count_recipients, sample_recipients
from penstock.sandbox.brevo_campaigns import Campaign
from penstock.sandbox.brevo_records import Segment
from penstock.sandbox.brevo_sending import find_recipients

people = st.lists(
    st.tuples(
        st.sets(st.integers(1, 3)), st.sets(st.integers(1, 3)), st.booleans(), st.booleans(), st.sampled_from("abc")
    ),
    max_size=25,
)
some = st.sets(st.integers(1, 3), max_size=2).map(lambda found: tuple(sorted(found)))


@given(people, some, some, some, some)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_count_is_the_number_of_those_who_get_it(rows, lists, segments, out_lists, out_segments):
    desk = Desk(limited=False, per_list_unsubscription=True)
    desk.state.add_attribute("KIND")
    for number in range(1, 4):
        desk.state.add_list(f"list {number}")
        desk.state.segments[number] = Segment(number, f"segment {number}", "KIND", "abc"[number - 1], 0)
    for number, (member, left, blocked, has_email, kind) in enumerate(rows):
        desk.state.add_contact(
            f"p{number}@example.com" if has_email else None,
            {"KIND": kind},
            ext_id=f"x{number}",
            lists=sorted(member),
            unsubscribed=sorted(left & member),
            email_blacklisted=blocked,
        )
    audience = Audience(lists, segments, out_lists, out_segments)
    chosen = {"listIds": list(lists), "segmentIds": list(segments)}
    chosen |= {"exclusionListIds": list(out_lists), "exclusionSegmentIds": list(out_segments)}
    expected = find_recipients(desk.state, Campaign(1, "draft", 0, 0, {"recipients": chosen}, ""))

    async def work():
        return (
            await count_recipients(desk.caller, desk.account, audience),
            await sample_recipients(desk.caller, desk.account, audience),
        )

    import asyncio

    count, samples = asyncio.run(desk.clock.run(work()))
    assert count.reached == len(expected)
    in_any = {
        one.id for one in desk.state.by_creation
        if set(one.lists) & set(lists) or "abc".index(one.attributes["KIND"]) + 1 in segments
    }  # fmt: skip
    assert count.reached + count.blocklisted + count.left + count.without_email + count.excluded == len(in_any)
    assert len(samples) <= SAMPLES
    assert len(count.samples) == min(SAMPLES, len(expected))
