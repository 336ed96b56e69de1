"""Counts add up, and repeated keys are found, however records fall into pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.base.expression import compile_value
from penstock.base.types import Record
from penstock.flows.kept import Counts
from penstock.flows.keys import Keys

NUMBERS = st.integers(0, 10**12)
COUNTS = st.builds(Counts, **dict.fromkeys(Counts.__struct_fields__, NUMBERS))
ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.booleans()), max_size=60)


@given(st.lists(COUNTS, max_size=6))
def test_counts_add_field_by_field_in_any_order(parts: list[Counts]) -> None:
    total, turned = Counts(), Counts()
    for part in parts:
        total = total + part
    for part in reversed(parts):
        turned = part + turned
    assert total == turned
    assert total.read == sum(part.read for part in parts)
    for name in Counts.__struct_fields__:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)


@given(rows=ROWS, size=st.integers(1, 20), filtered=st.booleans())
def test_repeated_keys_do_not_depend_on_where_pages_end(
    rows: list[tuple[str, int, bool]], size: int, filtered: bool
) -> None:
    records = [Record(key, {"content": content, "wanted": wanted}) for key, content, wanted in rows]
    keys = Keys(compile_value("${{ record.wanted }}") if filtered else None)
    same, other = [], []
    for start in range(0, len(records), size):
        repeats = keys.look(records[start : start + size])
        same += [start + index for index in repeats.same]
        other += [start + index for index in repeats.other]
    keys.close()
    first: dict[str, Record] = {}
    for index, record in enumerate(records):
        if filtered and not record.data["wanted"]:
            assert index not in same + other
            continue
        known = first.setdefault(record.key, record)
        assert (index in same) == (known is not record and known.data == record.data)
        assert (index in other) == (known is not record and known.data != record.data)
