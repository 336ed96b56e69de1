"""Turns a page of records into results: what is unchanged costs nothing, what is held is not bought again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from penstock.base.errors import FixError, InputError, MappingError, PenstockError
from penstock.base.types import Problem, Record
from penstock.flows.model import Flow, Step
from penstock.flows.state import FlowState, Item
from penstock.operations.declare import Fields, ModelChoice
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.call import Caller

_encode = msgspec.json.Encoder(order="sorted", enc_hook=lambda part: part.__dict__).encode


@dataclass(slots=True)
class Work:
    """One record on its way through the steps."""

    record: Record
    scope: dict[str, Any]
    owner: str
    dated: float | None
    known: Item | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    prints: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    fresh: bool = False
    """Some step was asked again, so that the result may be new."""
    problem: Problem | None = None
    stage: str = ""

    def fail(self, stage: str, error: PenstockError) -> None:
        """Take the record out of the run and remember why."""
        self.stage = stage
        self.problem = Problem.from_error(error, self.record.where)

    def is_reached(self, steps: int) -> bool:
        """Tell whether the record has its result, or failed."""
        return self.problem is not None or len(self.outputs) == steps

    def item(self) -> Item:
        """Return what is to be remembered of this record."""
        return Item(
            self.record.key,
            self.owner,
            b"".join(self.prints),
            "failed" if self.problem else "done",
            self.outputs,
            self.dated,
            ",".join(self.answers),
            self.record.where,
        )


@dataclass(slots=True)
class Sorted:
    """A page, sorted by what must be done."""

    works: list[Work] = field(default_factory=list)
    filtered: int = 0
    duplicates: list[Work] = field(default_factory=list)


@dataclass(slots=True)
class Wanted:
    """What a step needs for one record: the input, and the request when one must be sent."""

    work: Work
    input: Fields
    ask: Ask
    key: bytes


class Purchases:
    """Counts what a page bought and what it had already."""

    def __init__(self) -> None:
        self.calls = self.cached = self.cost = self.tokens = self.saved = 0

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        if answer.cached:
            self.cached += 1
            self.saved += answer.cost or 0
            return
        self.calls += 1
        self.cost += answer.cost or 0
        self.tokens += answer.usage.input + answer.usage.output


class Judge:
    """Runs the steps of one flow over pages of records."""

    def __init__(
        self, flow: Flow, state: FlowState, caller: Caller, choice: ModelChoice, run: str, in_flight: int
    ) -> None:
        self.flow = flow
        self.state = state
        self.caller = caller
        self.choice = choice
        self.run = run
        self.stopped_by: PenstockError | None = None
        self._in_flight = in_flight
        self._slots = asyncio.Semaphore(in_flight)

    async def sort(self, records: Sequence[Record]) -> Sorted:
        """Build the scope of each record, filter, and tell repeated keys apart."""
        joined = await self._join(records)
        known = await self.state.items([record.key for record in records])
        result = Sorted()
        seen: set[str] = set()
        for record, extra in zip(records, joined, strict=True):
            work = Work(record, {"record": record.data, **extra}, record.key, None, known.get(record.key))
            try:
                if self.flow.where is not None and not self.flow.where.evaluate(work.scope):
                    result.filtered += 1
                    continue
                self._place(work)
            except MappingError as error:
                work.fail("prepare", error)
            if record.key in seen or self._was_seen(work):
                result.duplicates.append(work)
                continue
            seen.add(record.key)
            result.works.append(work)
        return result

    def _was_seen(self, work: Work) -> bool:
        """Tell whether this run already met the key at another place of the source."""
        known = work.known
        return known is not None and bool(self.run) and known.run == self.run and known.place != work.record.where

    def _place(self, work: Work) -> None:
        summarize = self.flow.summarize
        if summarize is None:
            return
        owner = summarize.by.evaluate(work.scope)
        if owner is None or not str(owner).strip():
            raise MappingError("the record belongs to nobody: summarize.by is empty", code="mapping.no-owner")
        work.owner = str(owner).strip()
        if summarize.at is not None:
            work.dated = to_time(summarize.at.evaluate(work.scope))

    async def _join(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        extras: list[dict[str, Any]] = [{} for _ in records]
        for join in self.flow.joins:
            keys: list[str] = []
            for record in records:
                try:
                    value = join.on.evaluate({"record": record.data})
                except MappingError:
                    value = None
                keys.append("" if value is None else str(value).strip())
            rows = await self.state.look_up(self.run or "plan", join.name, sorted({key for key in keys if key}))
            for extra, key in zip(extras, keys, strict=True):
                extra[join.name] = rows.get(key, {})
        return extras

    async def judge(self, works: Sequence[Work]) -> Purchases:
        """Run every step over `works`; failures stay with their record.

        What is larger (budget, key, quota) sets `stopped_by`: works without a result were not reached.
        """
        purchases = Purchases()
        for index, step in enumerate(self.flow.steps):
            wanted = self.prepare(index, step, works)
            held = await self.caller.answers.get_many([want.key for want in wanted])
            missing: dict[bytes, list[Wanted]] = {}
            for want in wanted:
                if want.key in held:
                    await self._finish(step, want, held, purchases)
                else:
                    missing.setdefault(want.key, []).append(want)
            if missing and self.stopped_by is None:
                await self._buy(step, missing, purchases)
        return purchases

    def prepare(self, index: int, step: Step, works: Sequence[Work]) -> list[Wanted]:
        """Return what must be asked for this step; unchanged and trivial records get their result at once."""
        wanted = []
        varying = {name: value for name, value in step.inputs.items() if value.names}
        constants = {name: value.evaluate({}) for name, value in step.inputs.items() if not value.names}
        for work in works:
            if work.problem is not None:
                continue
            try:
                values = {**constants, **{name: value.evaluate(work.scope) for name, value in varying.items()}}
                given = step.operation.parse(values)
                print_ = self._fingerprint(step, given)
                work.prints.append(print_)
                output = _unchanged_output(work.known, index, step, print_)
                if output is not None:
                    self._keep(work, step, output)
                    continue
                work.fresh = True
                prepared = step.operation.prepare(given, self.choice)
            except PenstockError as error:
                if error.recovery == "stop":
                    raise
                work.fail("prepare", error)
                continue
            if isinstance(prepared, Ask):
                wanted.append(Wanted(work, given, prepared, self.caller.address(prepared)))
            else:
                self._keep(work, step, prepared.model_dump(mode="json"))
        return wanted

    def _fingerprint(self, step: Step, given: Fields) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        choice = self.choice
        head = (step.operation.name, step.operation.version, choice.model.id, choice.tier, choice.has_decisions)
        digest.update(repr(head).encode())
        digest.update(_encode(given.__dict__))
        return digest.digest()

    def _keep(self, work: Work, step: Step, output: dict[str, Any]) -> None:
        work.outputs[step.name] = output
        work.scope[step.name] = output

    async def _finish(self, step: Step, want: Wanted, held: Mapping[bytes, Answer], purchases: Purchases) -> None:
        """Read an answer; when it cannot be used, one repair is bought through the same path."""
        asker = _Asker(self, held)
        try:
            done = await step.operation.perform(asker, want.input, self.choice, prepared=want.ask)
        except PenstockError as error:
            if error.recovery == "stop" or (isinstance(error, FixError) and not isinstance(error, InputError)):
                raise
            want.work.fail("call", error)
            return
        finally:
            for answer in asker.used:
                purchases.add(answer)
        want.work.answers += [self.caller.address(ask).hex() for ask in asker.asked]
        self._keep(want.work, step, done.output.model_dump(mode="json"))

    async def _buy(self, step: Step, missing: Mapping[bytes, list[Wanted]], purchases: Purchases) -> None:
        async def buy(key: bytes, wants: list[Wanted]) -> None:
            async with self._slots:
                if self.stopped_by is None:
                    await self._finish(step, wants[0], {}, purchases)
            if len(wants) > 1 and self.stopped_by is None:  # equal requests of one page: asked once, read for each
                again = await self.caller.answers.get_many([key])
                for want in wants[1:]:
                    await self._finish(step, want, again, purchases)

        waiting = iter(missing.items())

        async def work_off() -> None:
            for key, wants in waiting:  # shared: whoever is free takes the next
                try:
                    await buy(key, wants)
                except PenstockError as error:  # the calls under way are paid for: they end, no new one begins
                    self.stop(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(missing), self._in_flight)):
                group.create_task(work_off())

    def stop(self, error: PenstockError) -> None:
        """Begin no further call; those under way end and are kept."""
        self.stopped_by = self.stopped_by or error


def _unchanged_output(known: Item | None, index: int, step: Step, fingerprint: bytes) -> dict[str, Any] | None:
    """Return the kept result of a step when the record was judged on exactly this before."""
    if known is None or known.state != "done" or known.fingerprint[16 * index : 16 * index + 16] != fingerprint:
        return None
    output: dict[str, Any] | None = known.output.get(step.name)
    return output


class _Asker:
    """The paid path for one record: held answers first, and what is known to be missing is not looked up again."""

    def __init__(self, judge: Judge, held: Mapping[bytes, Answer]) -> None:
        self._judge = judge
        self._held = held
        self.used: list[Answer] = []
        self.asked: list[Ask] = []

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:  # noqa: ARG002
        caller = self._judge.caller
        answer = self._held.get(caller.address(ask))
        if answer is None:
            buy = caller.ask if self.asked or self._held else caller.buy
            answer = await buy(ask, flow=flow or self._judge.flow.name, run=run or self._judge.run)
        self.asked.append(ask)
        self.used.append(answer)
        return answer


def to_time(value: Any) -> float | None:
    """Turn a date of a record into seconds since 1970; a date without a zone is UTC.

    Takes ISO 8601 text, dates, and seconds or milliseconds; raises `MappingError` otherwise.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    try:
        if isinstance(value, (int, float)) or (str(value).isdigit() and len(str(value)) >= 10):
            number = float(value)
            return number / 1000 if number > 1e11 else number
        return to_time(datetime.fromisoformat(str(value).strip()))
    except (ValueError, OverflowError) as error:
        raise MappingError(
            f"{str(value)[:40]!r} is not a date",
            code="mapping.bad-date",
            hint="Write it as 2026-11-20 or 2026-11-20T09:30Z.",
        ) from error
