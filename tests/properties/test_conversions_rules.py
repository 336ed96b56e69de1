"""The emulated Conversions API judges anything, and agrees with itself."""

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.clock import ManualClock
from penstock.sandbox.conversions import build_conversions_app
from penstock.sandbox.conversions_rules import Behaviour, load_table
from penstock.sandbox.conversions_state import PIXEL
from penstock.sandbox.world import World
from penstock.vendor.conversions import Conversions, Verdict
from penstock.vendor.http import Http

TABLE = load_table()
NAMES = sorted({*TABLE.envelope, *TABLE.lists, *TABLE.values, *TABLE.earlier, *TABLE.items, "type", "contents", "x"})
TEXTS = ["", " ", "order_created", "custom", "contents", "web", "EUR", "https://a.example/", "0" * 64, "[", "é"]
START = 1_795_000_000_000

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.just(START)
    | st.floats(allow_nan=False)
    | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
broken = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)
behaviours = st.builds(
    Behaviour,
    pointers=st.sampled_from(["all", "first", "none", "locations"]),
    earlier_names=st.sampled_from(["accept", "ignore", "refuse"]),
    unknown_fields=st.sampled_from(["ignore", "refuse"]),
    bad_list_entries=st.sampled_from(["drop", "refuse"]),
    repeats_in_batch=st.sampled_from(["accept", "refuse"]),
    attribution_appended=st.sampled_from(["accept", "refuse"]),
)


def good(number):
    return {
        "id": f"good-{number}",
        "type": "lead_created",
        "timestamp_ms": START,
        "action_source": "other",
        "data": {"type": "customer_action"},
    }


async def post(app, events) -> Verdict:
    http = Http(apps={"bzr.openai.com": app})
    try:
        client = Conversions(http, "sk-any-0123", pixel_id=PIXEL)
        return await client.send([msgspec.json.encode(event) for event in events])
    finally:
        await http.close()


def spoil(number, changes):
    return good(number) | changes


spoiled = st.builds(spoil, st.integers(0, 5), broken)


@given(
    events=st.lists(broken | values | spoiled | st.integers(0, 5).map(good), min_size=1, max_size=6),
    behaviour=behaviours,
)
def test_any_batch_is_taken_whole_or_refused_whole_and_pointers_tell_the_truth(events, behaviour):
    app = build_conversions_app(World(ManualClock(START / 1000)), behaviour=behaviour)

    async def run():
        whole = await post(app, events)
        assert whole.kind in ("accepted", "rejected")
        if whole.kind == "accepted":
            assert whole.accepted == len(events)
            return
        assert not app.state.received
        bad = {pointer.index for pointer in whole.pointers}
        assert bool(bad) == (behaviour.pointers != "none")
        if behaviour.pointers in ("all", "locations"):
            rest = [event for index, event in enumerate(events) if index not in bad]
            assert not rest or (await post(app, rest)).kind == "accepted"

    asyncio.run(run())
