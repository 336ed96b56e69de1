"""What a run would do and cost, found out without a call and without a write."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.base.errors import OutputError
from penstock.base.types import Finding, Money, Problem, Usage
from penstock.flows.bench import PAGE, Bench
from penstock.flows.effects import sink_name, wanted_event, wanted_of
from penstock.flows.increments import Increments
from penstock.flows.judge import Judge, fill_joins
from penstock.flows.kept import Effect
from penstock.flows.keys import Keys
from penstock.flows.made import MadeSource
from penstock.flows.model import Flow, Step, Target
from penstock.flows.sample import check_samples, kinds_of, read_samples
from penstock.flows.state import FlowState
from penstock.flows.sweep import find_expired
from penstock.flows.work import Wanted, Work
from penstock.runtime.ask import Ask
from penstock.runtime.modes import Costs, Outlook, read_by, weigh
from penstock.runtime.radar import look_at_model


class Plan(msgspec.Struct):
    """What `run` would do. Money is picodollars, None when a price is not known; minutes are at full quota."""

    flow: str
    source: str
    records: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    filtered: int = 0
    duplicates: int = 0
    objected: int = 0
    """Records of people who object: they are not sent."""
    forgotten: int = 0
    expired: int = 0
    """Results too old to count: they are judged anew, or cleared from their contacts."""
    failed: int = 0
    rejected: int = 0
    calls: int = 0
    shared: int = 0
    """Records whose request equals that of another record: asked once."""
    held: int = 0
    """Answers that are held already and cost nothing."""
    tokens: int = 0
    cost: Money | None = 0
    minutes: float | None = None
    """None when no limit is known before the first reply."""
    writes: int = 0
    """Writes that are certain to differ from what the target holds."""
    possible_writes: int = 0
    """Contacts or records whose new values are known only after the calls."""
    examples: list[Problem] = []
    findings: list[Finding] = []
    writes_to: list[str] = []
    model: str = ""
    by: str = "now"
    """By when it is to be done."""
    ways: list[Outlook] = []
    """What each way to buy costs and takes; `cost` is that of the chosen one, and of what is made first."""
    made_first: Money | None = 0
    """What computing the source costs, where its records are bought: their number is known only then."""


class Planner:
    """Walks through a flow as `run` would, up to the first thing that costs or changes something."""

    def __init__(self, flow: Flow, bench: Bench, plan_id: str, by: str = "") -> None:
        """Prepare; `by` stands over the flow's own deadline."""
        self.flow = flow
        self.bench = bench
        self.id = plan_id
        self.state = FlowState(bench.caller.answers.store, flow.name)
        self.judge = Judge(flow, self.state, bench, plan_id)
        self.plan = Plan(flow.name, bench.source.describe(), model=bench.choice.model.id, by=by or flow.by or "now")
        self._costs = Costs(bench.ways)
        self._is_more_to_come = False
        self._keys = Keys(flow.where)
        self._seen = sqlite3.connect("")  # on disk when it grows, gone when closed
        self._seen.execute("create table seen (key blob primary key) without rowid")

    async def make(self) -> Plan:
        """Return the plan; raises what would stop the run before it begins."""
        try:
            samples = await read_samples(self.flow, self.bench.source, self.bench.joins)
            check_samples(self.flow, samples)
            await Increments(self.flow, self.bench).begin()
            self.plan.source = self.bench.source.describe()
            await fill_joins(self.state, self.id, self.bench.joins, PAGE)
            if not await self._is_to_be_made():
                async for page in self.bench.source.pages(size=PAGE):
                    await self._take(page.records, len(page.rejects))
                    self._remember(reject.problem for reject in page.rejects)
        finally:
            await self.state.drop_lookups(self.id)
            self._seen.close()
            self._keys.close()
        for target, sink in self.bench.sinks:
            self.plan.writes_to.append(sink.describe())
            self.plan.expired += await self._look_at_expired(target, sink)
            self.plan.findings += await sink.check(kinds_of(target, samples))
        self.plan.findings += self._look_at_consent()
        self.plan.minutes = self._minutes()
        seconds = read_by(self.plan.by)
        self.plan.ways = weigh(self._costs, self.plan.minutes, seconds, more=self._is_more_to_come)
        chosen = next(way.cost for way in self.plan.ways if way.is_chosen)
        self.plan.cost = None if chosen is None or self.plan.made_first is None else chosen + self.plan.made_first
        self.plan.findings += self._look_at_model()
        return self.plan

    async def _look_at_expired(self, target: Target, sink: Any) -> int:
        """Count the contacts that are cleared, though no record tells of them any more."""
        pieces = await find_expired(self.flow, self.state, target, sink_name(target, sink), self.bench.clock.now())
        effects = [effect for piece in pieces for effect in piece]
        self.plan.writes += len(effects)
        return len({str(effect.match) for effect in effects})

    async def _is_to_be_made(self) -> bool:
        """Tell whether records of the source or of a join must be bought before anything can be counted."""
        unknown = []
        for source in (self.bench.source, *self.bench.joins.values()):
            if isinstance(source, MadeSource):
                self.plan.findings += await source.advise()
                unknown += [] if source.is_known else [source]
        for source in unknown:
            likely = source.cost.likely
            known = self.plan.made_first
            self.plan.made_first = None if likely is None or known is None else known + likely
            message = f"{source.describe()} are computed first; calls and writes are known after that"
            self.plan.findings.append(Finding("source", "warn", message))
        return bool(unknown)

    def _look_at_model(self) -> list[Finding]:
        if not self.plan.calls and not self.plan.held:  # a flow without a call needs no key
            return []
        choice, caller = self.bench.choice, self.bench.caller
        client = caller.connection(choice.connection)
        return look_at_model(choice.model, client, caller.clock.now(), choice.instead_of)

    def _look_at_consent(self) -> list[Finding]:
        """Warn where Brevo contacts are judged and nothing says who of them objects."""
        is_about_contacts = self.flow.steps and any(target.kind == "brevo" for target in self.flow.targets)
        if not is_about_contacts or self.judge.is_informed or not self.plan.records:
            return []
        message = "no record says who objects; only objections noted here count"
        fix = "Join the contacts: `join: { contact: { brevo: {}, on: … } }`; see docs/concepts/consent.md."
        return [Finding("consent", "warn", message, fix)]

    async def _take(self, records: Sequence[Any], rejects: int) -> None:
        found = await self.judge.sort(records, self._keys.look(records))
        plan = self.plan
        plan.records += len(records) + rejects
        plan.rejected += rejects
        plan.filtered += found.filtered
        plan.objected += len(found.objected)
        plan.expired += sum(work.is_expired for work in found.works)
        plan.forgotten += found.forgotten
        plan.duplicates += sum(work.problem is None for work in found.duplicates)
        plan.failed += sum(work.problem is not None for work in found.duplicates)
        self._remember(work.problem for work in found.duplicates if work.problem is not None)
        waiting: set[int] = set()
        for index, step in enumerate(self.flow.steps):
            await self._step(index, step, [work for work in found.works if id(work) not in waiting], waiting)
        for work in found.works:
            self._sort(work, id(work) in waiting)
        await self._writes(found.works, waiting)

    def _sort(self, work: Work, waits: bool) -> None:
        plan = self.plan
        if work.problem is not None:
            plan.failed += 1
            self._remember([work.problem])
        elif work.known is None:
            plan.new += 1
        elif waits or work.is_fresh:
            plan.changed += 1
        else:
            plan.unchanged += 1

    def _remember(self, problems: Any) -> None:
        self.plan.examples += list(problems)[: max(0, 5 - len(self.plan.examples))]

    async def _step(self, index: int, step: Step, works: Sequence[Work], waiting: set[int]) -> None:
        wanted = self.judge.prepare(index, step, works)
        held = await self.bench.caller.answers.get_many([want.key for want in wanted])
        for want in wanted:
            answer = held.get(want.key)
            if answer is not None and answer.at >= want.work.stale_before and self._read(step, want, answer):
                self.plan.held += 1
                continue
            waiting.add(id(want.work))
            self._is_more_to_come |= index + 1 < len(self.flow.steps)
            if self._is_first(want.key):
                self._price(want.ask)
            else:
                self.plan.shared += 1

    def _read(self, step: Step, want: Wanted, answer: Any) -> bool:
        try:
            output = step.operation.read(want.input, answer).model_dump(mode="json")
        except OutputError:
            return False
        self.judge.keep(want.work, step, output)
        return True

    def _is_first(self, key: bytes) -> bool:
        """Tell whether a request's address, or a contact, is met for the first time."""
        return self._seen.execute("insert or ignore into seen values (?)", (key,)).rowcount == 1

    def _price(self, ask: Ask) -> None:
        prompt = round(self.bench.caller.corrections.expect(ask))
        used = ask.likely or ask.most or Usage(input=prompt, output=ask.likely_output_tokens)
        self.plan.calls += 1
        self.plan.tokens += round(used.input + used.output)
        self._costs.add(ask, used)

    async def _writes(self, works: Sequence[Work], waiting: set[int]) -> None:
        good = [work for work in works if work.problem is None]
        open_owners = {work.owner for work in good if id(work) in waiting}
        known = [work for work in good if work.owner not in open_owners]
        fresh = [work for work in known if work.is_fresh]
        for target, sink in self.bench.sinks:
            name = sink_name(target, sink)
            effects: list[Effect] = []
            if target.event is not None:
                effects += [wanted_event(target, work) for work in fresh]
                self.plan.possible_writes += len([work for work in good if id(work) in waiting])
            if target.has_state:
                self.plan.possible_writes += sum(self._is_first(f"{name} {owner}".encode()) for owner in open_owners)
                effects += await self._known_values(target, known)
            self.plan.writes += len(await self.state.differing(name, effects))

    async def _known_values(self, target: Target, works: Sequence[Work]) -> list[Effect]:
        owners = sorted({work.owner for work in works}) if self.flow.summarize else []
        items = await self.state.items_of_owners(owners) if owners else {}
        for work in works:  # what is held but not yet kept counts as it will
            if self.flow.summarize is not None and work.is_fresh:
                kept = [item for item in items.get(work.owner, []) if item.key != work.record.key]
                items[work.owner] = [*kept, work.item()]
        effects, problems = wanted_of(self.flow, target, works, items)
        self._remember(problem for _, problem in problems)
        return effects

    def _minutes(self) -> float | None:
        limits = self.bench.limits
        minutes = [
            amount / limit for amount, limit in ((self.plan.calls, limits.rpm), (self.plan.tokens, limits.tpm)) if limit
        ]
        return max(minutes, default=None)
