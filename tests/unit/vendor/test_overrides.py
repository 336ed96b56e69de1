"""What the vendor lists against the catalogue, and a models file that is renewed without touching the user's lines."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.vendor.models import Limits, load_catalogue
from penstock.vendor.overrides import Change, compare_listed, limit_facts, merge, to_facts

CATALOGUE = load_catalogue()
NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TODAY = date(2026, 11, 20)
LISTED = [
    {"id": model.id, "shutdown_date": model.shutdown.isoformat() if model.shutdown else None}
    for model in CATALOGUE.all()
    if model.state(NOW) != "dead"
]


def listed_but(name: str, **changed: str | None) -> list[dict[str, str | None]]:
    return [{**item, **(changed if item["id"] == name else {})} for item in LISTED]


def test_a_list_that_says_the_same_has_no_changes():
    assert compare_listed(CATALOGUE, LISTED, NOW) == []


def test_new_gone_and_changed_models_are_told_apart():
    listed = [*listed_but("gpt-6-luna", shutdown_date="2027-09-01"), {"id": "gpt-7", "shutdown_date": None}]
    listed = [item for item in listed if item["id"] != "gpt-5.5"]
    assert compare_listed(CATALOGUE, listed, NOW) == [
        Change("gpt-6-luna", "date", None, date(2027, 9, 1)),
        Change("gpt-7", "new"),
        Change("gpt-5.5", "gone"),
    ]


def test_a_snapshot_stands_for_its_family_and_tuned_models_are_nobodys_business():
    listed = [
        *[item for item in LISTED if item["id"] != "gpt-6-luna"],
        {"id": "gpt-6-luna-2026-09-22", "shutdown_date": None},
        {"id": "ft:gpt-4o-mini:acme::x", "shutdown_date": "2027-01-14"},
    ]
    assert compare_listed(CATALOGUE, listed, NOW) == []


def test_a_snapshot_with_a_date_of_its_own_is_written_like_its_family(tmp_path: Path):
    changes = compare_listed(CATALOGUE, [*LISTED, {"id": "gpt-6-luna-2026-09-22", "shutdown_date": "2027-03-01"}], NOW)
    path = tmp_path / "models.toml"
    path.write_text(merge("", to_facts(CATALOGUE, changes), TODAY).text, encoding="utf-8")
    own = load_catalogue(path)
    assert own.find("gpt-6-luna-2026-09-22").shutdown == date(2027, 3, 1)
    assert own.find("gpt-6-luna-2026-09-22").prices == CATALOGUE.find("gpt-6-luna").prices
    assert own.find("gpt-6-luna").shutdown is None


def test_a_new_model_that_ends_stays_unknown_in_every_other_respect(tmp_path: Path):
    changes = compare_listed(CATALOGUE, [*LISTED, {"id": "gpt-7", "shutdown_date": "2027-03-01T00:00:00Z"}], NOW)
    path = tmp_path / "models.toml"
    path.write_text(merge("", to_facts(CATALOGUE, changes), TODAY).text, encoding="utf-8")
    model = load_catalogue(path).find("gpt-7")
    assert (model.known, model.shutdown, model.prices) == (False, date(2027, 3, 1), ())


def test_a_date_that_is_no_date_is_no_date():
    changes = compare_listed(CATALOGUE, listed_but("gpt-6-luna", shutdown_date="soon"), NOW)
    assert changes == []


USER = """# mine
[models.gpt-6-luna]  # the cheap one
note = "keep"

[models."gpt-6.1-sol"]
shutdown = 2028-01-01 # I know better

[[models.gpt-7.prices]]
standard = { input = 1, output = 2 }
"""


def test_the_users_lines_are_never_touched():
    facts = {
        "gpt-6-luna": {"shutdown": "2027-09-01"},
        "gpt-6.1-sol": {"shutdown": "2027-09-01"},
        "gpt-5.5": {"shutdown": "2027-09-01"},
        "gpt-7": {"shutdown": "2027-09-01"},
    }
    merged = merge(USER, facts, TODAY)
    assert [line for line in USER.splitlines() if line not in merged.text.splitlines()] == []
    tables = tomllib.loads(merged.text)["models"]
    assert tables["gpt-6-luna"] == {"note": "keep", "shutdown": date(2027, 9, 1)}
    assert tables["gpt-6.1-sol"]["shutdown"] == date(2028, 1, 1)
    assert tables["gpt-5.5"] == {"shutdown": date(2027, 9, 1)}
    assert merged.written == ("gpt-6-luna: shutdown = 2027-09-01", "gpt-5.5: shutdown = 2027-09-01")
    assert merged.kept == (
        "gpt-6.1-sol: your own `shutdown` stays",
        "gpt-7: its table is written in a form that cannot be added to",
    )


def test_lines_that_were_written_here_are_renewed_and_dated():
    first = merge(USER, {"gpt-6-luna": {"shutdown": "2027-09-01"}}, TODAY).text
    assert "shutdown = 2027-09-01  # from OpenAI, 2026-11-20" in first
    again = merge(first, {"gpt-6-luna": {"shutdown": "2027-09-01"}}, date(2026, 12, 1))
    assert (again.text, again.written, again.kept) == (first, (), ())
    moved = merge(first, {"gpt-6-luna": {"shutdown": "2027-10-01"}}, date(2026, 12, 1))
    assert moved.text.count("shutdown = 2027") == 1
    assert "shutdown = 2027-10-01  # from OpenAI, 2026-12-01" in moved.text


def test_imported_limits_come_before_those_of_the_tier(tmp_path: Path):
    facts = limit_facts(CATALOGUE, {"gpt-6-sol": Limits(rpm=77, tpm=9_000, ipm=None), "alien": Limits(rpm=1)})
    assert set(facts) == {"gpt-6-sol"}
    path = tmp_path / "models.toml"
    path.write_text(merge("", facts, TODAY).text, encoding="utf-8")
    assert load_catalogue(path).start_limits("gpt-6-sol", "Grow") == Limits(rpm=77, tpm=9_000)


@given(
    st.dictionaries(
        st.sampled_from([model.id for model in CATALOGUE.all()])
        | st.from_regex(r"[a-z][a-z0-9.-]{0,12}", fullmatch=True),
        st.dates(date(2026, 1, 1), date(2030, 1, 1)),
        max_size=8,
    ),
    st.dictionaries(st.sampled_from(["gpt-6-luna", "gpt-5.5", "x"]), st.dates(), max_size=3),
)
def test_whatever_is_merged_the_file_stays_readable_and_merging_again_changes_nothing(facts, own):
    text = "\n".join(f'[models."{name}"]\nshutdown = {day}' for name, day in own.items())
    wanted = {name: {"shutdown": day.isoformat()} for name, day in facts.items()}
    merged = merge(text, wanted, TODAY)
    tables = tomllib.loads(merged.text).get("models", {})
    for name, day in {**facts, **own}.items():
        assert tables[name]["shutdown"] == day
    again = merge(merged.text, wanted, TODAY)
    assert (again.text, again.written) == (merged.text, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("m", "new"), "new to the catalogue and has no shutdown date"),
        (Change("m", "gone"), "not listed"),
        (Change("m", "date", None, TODAY), "ends on 2026-11-20; the catalogue said none"),
        (Change("m", "date", TODAY, None), "has no shutdown date; the catalogue said 2026-11-20"),
    ],
)
def test_a_change_is_said_in_words(change, words):
    assert words in change.describe()
