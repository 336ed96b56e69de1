"""Vendors that fail: every record ends judged or with a reason, nothing is written twice, and the run can go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import AccessError, UnavailableError
from penstock.flows.state import list_letters, list_runs
from penstock.sandbox.world import Fault
from penstock.workspace import Workspace
from shop import Shop, assert_accounted_for, attributes_of, billed, feedback, in_shop

KINDS = [
    Fault(kind="status", status=500),
    Fault(kind="status", status=503),
    Fault(kind="status", status=429),
    Fault(kind="slow", seconds=20),
    Fault(kind="drop"),
    Fault(kind="lost"),
    Fault(kind="malformed"),
    Fault(kind="html"),
]
EVENT = {"name": "feedback_judged", "properties": {"feedback": "${{ record.id }}"}}


def many(number: int) -> list[dict[str, str]]:
    return [feedback(index) for index in range(number)]


def plague(kind: Fault, rate: float = 0.2) -> list[Fault]:
    import msgspec

    return [
        msgspec.structs.replace(kind, vendor="openai", operation="decisions", rate=rate),
        *(
            msgspec.structs.replace(kind, vendor="brevo", operation=operation, rate=rate)
            for operation in ("contacts.update", "contacts.get", "contacts.list", "events.create", "events.list")
        ),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.kind}-{kind.status or ''}")
async def test_with_a_fifth_of_all_calls_failing_every_record_is_judged_and_written_once(
    tmp_path: Path, kind: Fault
) -> None:
    shop = Shop(tmp_path, many(60))
    shop.flow["sink"]["brevo"]["event"] = EVENT

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults += plague(kind)
        report = await shop.run(workspace)
        assert report.problem is None, report.problem
        assert_accounted_for(report, 60)
        assert (report.counts.judged, report.counts.failed, report.exit_code) == (60, 0, 0), report
        sent = [one.properties["feedback"] for one in workspace.vendors.account.events]
        assert sorted(sent) == sorted(row["id"] for row in shop.rows)
        for number in range(60):
            assert "SENTIMENT_LABEL" in attributes_of(workspace, f"c{number}@example.com")
        books = await workspace.ledger.spent(f"run:{report.run}")
        assert (books.reserved, books.calls) == (0, 60)

    await in_shop(shop, work)


async def test_an_openai_that_is_down_ends_with_5_and_the_same_command_goes_on(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(20))

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(Fault(vendor="openai", operation="*", kind="status", status=500, after=8))
        report = await shop.run(workspace)
        assert isinstance(report.problem, UnavailableError)
        assert (report.state, report.exit_code, report.counts.judged, report.counts.failed) == ("stopped", 5, 8, 0)
        assert await list_letters(workspace.store, report.run) == []
        workspace.vendors.world.faults.clear()
        again = await shop.run(workspace)
        assert (again.run, again.resumed, again.exit_code, again.counts.judged) == (report.run, True, 0, 20)
        assert billed(workspace) == 20

    await in_shop(shop, work)


async def test_a_single_call_that_nobody_answers_is_no_fault_of_the_record(tmp_path: Path) -> None:
    shop = Shop(tmp_path, many(1))

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(Fault(vendor="openai", kind="drop"))
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.failed) == (5, 0)
        workspace.vendors.world.faults.clear()
        assert (await shop.run(workspace)).exit_code == 0

    await in_shop(shop, work)


async def test_a_brevo_that_is_down_ends_with_5_and_only_the_writes_are_left(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(
            Fault(vendor="brevo", operation="contacts.update", kind="status", status=503)
        )
        workspace.vendors.world.faults.append(
            Fault(vendor="brevo", operation="contacts.import", kind="status", status=503)
        )
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.judged, report.counts.written) == (5, 6, 0)
        workspace.vendors.world.faults.clear()
        again = await shop.run(workspace)
        assert (again.exit_code, again.counts.calls, again.counts.written, billed(workspace)) == (0, 6, 6, 6)
        assert attributes_of(workspace, "c1@example.com")["SENTIMENT_LABEL"] == "positive"

    await in_shop(shop, work)


@pytest.mark.parametrize("vendor", ["openai", "brevo"])
async def test_a_refused_key_stops_the_run_with_4(tmp_path: Path, vendor: str) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        operation = "decisions" if vendor == "openai" else "contacts.update"
        workspace.vendors.world.faults.append(Fault(vendor=vendor, operation=operation, kind="status", status=401))
        report = await shop.run(workspace)
        assert isinstance(report.problem, AccessError)
        assert (report.exit_code, report.counts.failed, report.counts.refused) == (4, 0, 0)
        workspace.vendors.world.faults.clear()
        assert (await shop.run(workspace)).exit_code == 0

    await in_shop(shop, work)


async def test_credit_that_is_used_up_stops_the_run_with_5_and_fails_no_record(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        code = "credit_balance_exhausted"
        workspace.vendors.world.faults.append(Fault(vendor="openai", kind="status", status=429, code=code, after=2))
        report = await shop.run(workspace)
        assert (report.exit_code, report.problem.code if report.problem else "") == (5, "openai.credit-exhausted")
        assert (report.counts.judged, report.counts.failed) == (2, 0)

    await in_shop(shop, work)


async def test_an_endpoint_without_decisions_is_asked_for_structured_output_instead(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(
            Fault(vendor="openai", operation="decisions", kind="status", status=404, code="unknown_url")
        )
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.judged, report.counts.calls) == (0, 6, 6), report.failures
        assert workspace.vendors.world.billed_calls["responses"] == 6
        again = await shop.run(workspace)
        assert (again.counts.unchanged, again.counts.calls, again.counts.written) == (6, 0, 0)

    await in_shop(shop, work)


async def test_the_setting_spares_an_endpoint_without_decisions_the_attempt(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        report = await shop.run(workspace)
        assert (report.exit_code, workspace.vendors.world.billed_calls["decisions"]) == (0, 0)
        assert not any(operation == "decisions" for _, operation, _ in workspace.vendors.world.calls)

    await in_shop(shop, work, **{"openai.decisions": False})


async def test_a_model_that_does_not_exist_stops_the_run_at_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, model="gpt-nowhere")

    async def work(workspace: Workspace) -> None:
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.failed) == (1, 0)
        assert report.problem is not None
        assert report.problem.code == "openai.model-not-found"

    await in_shop(shop, work)


async def test_one_rejected_record_is_a_dead_letter_and_can_be_tried_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(
            Fault(vendor="openai", operation="decisions", kind="status", status=400, code="bad", times=1)
        )
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.judged, report.counts.failed, report.counts.written) == (3, 5, 1, 5)
        (letter,) = await list_letters(workspace.store, report.run)
        assert (letter.stage, letter.problem.code) == ("call", "openai.rejected")
        retried = await workspace.retry(report.run)
        assert (retried.exit_code, retried.counts.judged, retried.counts.written) == (0, 1, 1)
        assert await list_letters(workspace.store, report.run) == []
        assert [row.state for row in await list_runs(workspace.store)] == ["done", "done"]
        assert (await shop.run(workspace)).counts.unchanged == 6

    await in_shop(shop, work)


async def test_a_contact_that_brevo_does_not_have_is_one_dead_letter_until_it_is_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.account.add_contact("somebody@example.com")  # so that the sandbox adds none by itself
        for number in range(5):
            workspace.vendors.account.add_contact(f"c{number}@example.com")
        report = await shop.run(workspace)
        assert (report.exit_code, report.counts.written, report.counts.refused) == (3, 5, 1)
        again = await shop.run(workspace)
        assert (again.exit_code, again.counts.calls, again.counts.refused) == (3, 0, 1)
        assert await list_letters(workspace.store, report.run) == []  # the newer run has it
        (letter,) = await list_letters(workspace.store, again.run)
        assert (letter.stage, letter.problem.code) == ("write", "brevo.no-such-contact")
        workspace.vendors.account.add_contact("c5@example.com")
        retried = await workspace.retry(again.run)
        assert (retried.exit_code, retried.counts.written) == (0, 1)
        assert await list_letters(workspace.store, again.run) == []

    await in_shop(shop, work)


async def test_a_letter_about_a_write_is_resolved_when_a_later_run_brings_it_over(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.account.add_contact("c0@example.com")
        report = await shop.run(workspace)
        assert len(await list_letters(workspace.store, report.run)) == 5
        for number in range(1, 6):
            workspace.vendors.account.add_contact(f"c{number}@example.com")
        again = await shop.run(workspace)
        assert (again.exit_code, again.counts.written, again.counts.calls) == (0, 5, 0)
        assert await list_letters(workspace.store, report.run) == []

    await in_shop(shop, work)


async def test_failed_records_are_tried_again_with_another_model(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Workspace) -> None:
        workspace.vendors.world.faults.append(
            Fault(vendor="openai", operation="decisions", kind="status", status=400, code="bad", times=2)
        )
        report = await shop.run(workspace)
        assert report.counts.failed == 2
        shop.flow["model"] = "gpt-5.4-mini"
        shop.write()
        retried = await workspace.retry(report.run)
        assert (retried.counts.judged, retried.counts.failed, retried.exit_code) == (2, 0, 0)
        assert {one.model for one in list(workspace.vendors.world.billed)[-2:]} == {"gpt-5.4-mini"}

    await in_shop(shop, work)
