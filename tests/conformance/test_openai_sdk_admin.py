"""The official OpenAI SDK's admin client, with strict validation, reads the sandbox's usage, costs and limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import openai
import pytest
import uvicorn

from penstock.base.clock import ManualClock
from penstock.base.types import Usage
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.server import make_config
from penstock.sandbox.world import World

DAY = 86_400
START = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
NOW = START + 45 * DAY
TEXT_KINDS = ("completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions")


class Site:
    """A sandbox on a free loopback port whose world has billed something on several days."""

    def __init__(self) -> None:
        self.world = World(ManualClock(NOW))
        app = build_openai_app(self.world)
        self.server = uvicorn.Server(make_config(app, "127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.base = f"http://127.0.0.1:{port}/v1"

    def bill(self, day: int, operation: str, model: str, usage: Usage, body: bytes = b"{}") -> None:
        clock = ManualClock(START + day * DAY + 3600)
        kept, self.world.clock = self.world.clock, clock
        self.world.bill(operation, body, model, usage)
        self.world.clock = kept

    def admin(self, key: str = "sk-admin-test") -> openai.OpenAI:
        return openai.OpenAI(
            api_key="sk-test",
            admin_api_key=key,
            base_url=self.base,
            max_retries=0,
            _strict_response_validation=True,
        )

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    million = 1_000_000
    made.bill(0, "responses", "gpt-6-luna", Usage(100_000, 20_000, 10_000, 5_000))
    made.bill(0, "decisions", "gpt-6-luna", Usage(200_000, output=100))
    made.bill(1, "chat", "gpt-6-sol", Usage(1_000, output=200), b'{"service_tier": "fast"}')
    made.bill(1, "batch.responses", "gpt-6-luna", Usage(100_000, output=1_000))
    made.bill(2, "embeddings", "text-embedding-3-small", Usage(million))
    made.bill(2, "moderations", "omni-moderation-latest", Usage(500))
    made.bill(3, "images.generate", "gpt-image-2", Usage(100, output=1_000, images=2, image_output=1_000))
    made.bill(3, "speech", "tts-1", Usage(characters=1_000))
    made.bill(40, "transcriptions", "whisper-1", Usage(seconds=90))
    yield made
    made.stop()


def test_usage_is_reported_per_day_project_and_model(site: Site) -> None:
    page = site.admin().admin.organization.usage.completions(
        start_time=START, end_time=START + 2 * DAY, group_by=["project_id", "model", "service_tier", "batch"]
    )
    assert [bucket.start_time for bucket in page.data] == [START, START + DAY]
    first = page.data[0].results[0]
    assert (first.project_id, first.model, first.service_tier) == ("proj_sandbox", "gpt-6-luna", "default")
    assert (first.input_tokens, first.input_cached_tokens, first.input_uncached_tokens) == (100_000, 20_000, 70_000)
    assert (first.input_cache_write_tokens, first.output_tokens, first.num_model_requests) == (10_000, 5_000, 1)
    second = {(row.model, row.service_tier, row.batch) for row in page.data[1].results}
    assert second == {("gpt-6-sol", "fast", False), ("gpt-6-luna", "batch", True)}


def test_decisions_have_an_endpoint_of_their_own(site: Site) -> None:
    page = site.admin().admin.organization.usage.decisions(start_time=START, end_time=START + DAY, group_by=["model"])
    row = page.data[0].results[0]
    assert (row.object, row.input_tokens, row.output_tokens) == ("organization.usage.decisions.result", 200_000, 100)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_every_kind_of_usage_is_understood(site: Site, kind: str) -> None:
    read = getattr(site.admin().admin.organization.usage, kind)
    page = read(start_time=START, end_time=START + 5 * DAY, group_by=["model"])
    rows = [row for bucket in page.data for row in bucket.results]
    assert rows or kind == "audio_transcriptions"
    assert all(row.num_model_requests for row in rows)


@pytest.mark.parametrize(
    "kind", ["vector_stores", "code_interpreter_sessions", "file_search_calls", "web_search_calls"]
)
def test_what_the_sandbox_does_not_serve_was_not_used(site: Site, kind: str) -> None:
    page = getattr(site.admin().admin.organization.usage, kind)(start_time=START, end_time=START + DAY)
    assert [bucket.results for bucket in page.data] == [[]]


def test_pages_cover_every_bucket_once(site: Site) -> None:
    usage = site.admin().admin.organization.usage
    days, page, cursor = [], None, None
    while page is None or page.has_more:
        given = {"page": cursor} if cursor else {}
        page = usage.audio_transcriptions(start_time=START, end_time=START + 45 * DAY, limit=31, **given)
        days += [bucket.start_time for bucket in page.data]
        cursor = page.next_page
    assert days == [START + day * DAY for day in range(45)]


def test_costs_per_line_item_add_up_to_the_price_list(site: Site) -> None:
    page = site.admin().admin.organization.usage.costs(
        start_time=START, end_time=START + 45 * DAY, limit=180, group_by=["project_id", "line_item"]
    )
    found = {
        (bucket.start_time, row.line_item): (row.amount.value, row.quantity)
        for bucket in page.data
        for row in bucket.results
    }
    assert found[START, "gpt-6-luna, input_tokens"] == (pytest.approx(0.007 + 0.02), 270_000)
    assert found[START, "gpt-6-luna, cached_input_tokens"] == (pytest.approx(0.0002), 20_000)
    assert found[START, "gpt-6-luna, cache_write_tokens"] == (pytest.approx(0.00125), 10_000)
    assert found[START + DAY, "gpt-6-sol, output_tokens"] == (pytest.approx(0.004), 200)
    assert found[START + DAY, "gpt-6-luna, input_tokens"] == (pytest.approx(0.005), 100_000)
    assert found[START + 2 * DAY, "text-embedding-3-small, input_tokens"] == (pytest.approx(0.02), 1_000_000)
    assert found[START + 2 * DAY, "omni-moderation-latest, input_tokens"] == (0, 500)
    assert found[START + 3 * DAY, "gpt-image-2, image_output_tokens"] == (pytest.approx(0.03), 1_000)
    assert found[START + 3 * DAY, "tts-1, characters"] == (pytest.approx(0.015), 1_000)
    assert found[START + 40 * DAY, "whisper-1, duration"] == (pytest.approx(0.009), 1.5)


def test_filters_narrow_what_is_reported(site: Site) -> None:
    usage = site.admin().admin.organization.usage
    page = usage.completions(start_time=START, end_time=START + 2 * DAY, models=["gpt-6-sol"], batch=False)
    assert [len(bucket.results) for bucket in page.data] == [0, 1]
    page = usage.completions(start_time=START, end_time=START + 2 * DAY, project_ids=["proj_other"])
    assert [len(bucket.results) for bucket in page.data] == [0, 0]
    costs = usage.costs(start_time=START, end_time=START + DAY, line_items=["gpt-6-luna, output_tokens"])
    assert costs.data[0].results[0].amount.value == pytest.approx(0.0025)


def test_projects_and_their_real_limits_are_listed(site: Site) -> None:
    organization = site.admin().admin.organization
    assert [project.id for project in organization.projects.list()] == ["proj_sandbox"]
    limits = {row.model: row for row in organization.projects.rate_limits.list_rate_limits("proj_sandbox", limit=10)}
    assert (limits["gpt-6-sol"].max_requests_per_1_minute, limits["gpt-6-sol"].max_tokens_per_1_minute) == (
        5_000,
        1_000_000,
    )
    assert len(limits) > 10


def test_a_project_key_may_not_look(site: Site) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        site.admin("sk-test").admin.organization.usage.costs(start_time=START)


@pytest.mark.parametrize(
    "given",
    [
        {"limit": 32},
        {"limit": 0},
        {"bucket_width": "1w"},
        {"group_by": ["size"]},
        {"end_time": START},
        {"page": "page_!"},
    ],
)
def test_a_wrong_question_is_refused(site: Site, given: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError):
        site.admin().admin.organization.usage.completions(start_time=START, **given)  # type: ignore[arg-type]
