"""Turns a page of records into results: what is unchanged costs nothing, what is held is not bought again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.base.errors import DefectError, FixError, InputError, MappingError, PenstockError, UnavailableError
from penstock.base.types import Record, Source
from penstock.flows.bench import Bench
from penstock.flows.gate import Gate
from penstock.flows.keys import Repeats
from penstock.flows.model import Flow, Step
from penstock.flows.roads import Later, Road
from penstock.flows.slots import Slots
from penstock.flows.state import FlowState
from penstock.flows.work import Purchases, Sorted, Wanted, Work, fold_key, to_time
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.steps import as_penstock_error
from penstock.runtime.vectors import Held

GIVE_UP_AFTER = 3
"""Calls in a row that failed in every attempt, none answered between them, that count as the vendor being down."""

_encode = msgspec.json.Encoder(order="sorted", enc_hook=lambda part: part.__dict__).encode


class Judge:
    """Runs the steps of one flow over pages of records."""

    def __init__(
        self,
        flow: Flow,
        state: FlowState,
        bench: Bench,
        run: str,
        tell: Callable[[str], None] | None = None,
        road: Road | None = None,
    ) -> None:
        """Judge for `run`; `tell` hears what a person should know while it works, `road` is how answers are bought."""
        self.flow = flow
        self.state = state
        self.caller = bench.caller
        self.choice = bench.choice
        self._others = bench.others
        self._fetch = bench.fetch
        self.run = run
        self.stopped_by: PenstockError | None = None
        self._in_flight = bench.in_flight
        self._slots = Slots(bench.in_flight)
        self._tell = tell
        self.road = road
        self._gate = Gate(
            flow, state.store, [sink.identity() for target, sink in bench.sinks if target.kind == "brevo"]
        )
        self._keeps_for = flow.expire.seconds if flow.expire and flow.expire.then == "recompute" else None
        self._given_up: list[Work] = []
        self._was_answered = False

    async def sort(self, records: Sequence[Record], repeats: Repeats) -> Sorted:
        """Build the scope of each record, filter, and set repeated keys aside."""
        joined = await self._join(records)
        known = await self.state.items([record.key for record in records])
        result, now = Sorted(), self.caller.clock.now()
        for index, (record, extra) in enumerate(zip(records, joined, strict=True)):
            work = Work(record, {"record": record.data, **extra}, record.key, None, known.get(record.key), now=now)
            if self._keeps_for is not None:
                work.stale_before = now - self._keeps_for
            try:
                if self.flow.where is not None and not self.flow.where.evaluate(work.scope):
                    result.filtered += 1
                    continue
                self._place(work)
            except MappingError as error:
                work.fail("prepare", error)
            if index in repeats.other:
                work.fail("prepare", _repeated_key(record.key))
            is_repeated = index in repeats.same or index in repeats.other
            (result.duplicates if is_repeated else result.works).append(work)
        await self._gate.hold_back(result)
        return result

    def _place(self, work: Work) -> None:
        summarize = self.flow.summarize
        if summarize is None:
            work.owner = self._gate.find_contact(work.scope) or work.owner
            return
        owner = summarize.by.evaluate(work.scope)
        if owner is None or not str(owner).strip():
            raise MappingError("the record belongs to nobody: summarize.by is empty", code="mapping.no-owner")
        work.owner = fold_key(str(owner))
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
                keys.append("" if value is None else fold_key(str(value)))
            rows = await self.state.look_up(self.run or "plan", join.name, sorted({key for key in keys if key}))
            for extra, key in zip(extras, keys, strict=True):
                extra[join.name] = rows.get(key, {})
        return extras

    @property
    def is_informed(self) -> bool:
        """Whether any record came with what its person allows."""
        return self._gate.is_informed

    async def judge(self, works: Sequence[Work]) -> Purchases:
        """Run every step over `works`; failures stay with their record.

        What is larger (budget, key, quota) sets `stopped_by`: works without a result were not reached.
        """
        purchases = Purchases()
        await self._forget_expired(works)
        for index, step in enumerate(self.flow.steps):
            choice = None
            while choice is not self.choice:  # it changes when the endpoint turns out to lack the Decisions API
                choice = self.choice
                await self._ask(step, self.prepare(index, step, works), purchases)
        if self._given_up and not self._was_answered and self.stopped_by is None:
            self._declare_down()
        return purchases

    async def _forget_expired(self, works: Sequence[Work]) -> None:
        """Forget the answers that results rest on which are too old to count, unless they were bought anew since."""
        keys = {
            bytes.fromhex(key): work.stale_before for work in works if work.is_expired for key in work.known_answers()
        }
        answers = await self.caller.answers.get_many([*keys]) if keys else {}
        old = [key for key, answer in answers.items() if answer.at < keys[key]]
        if old:
            await self.caller.answers.forget(old)

    def prepare(self, index: int, step: Step, works: Sequence[Work]) -> list[Wanted]:
        """Return what must be asked for this step; unchanged and trivial records get their result at once."""
        wanted = []
        varying = {name: value for name, value in step.inputs.items() if value.names}
        redaction = self.flow.redaction
        constants = {name: value.evaluate({}) for name, value in step.inputs.items() if not value.names}
        for work in works:
            if work.problem is not None or len(work.outputs) != index:
                continue  # failed, not reached by the step before, or done
            try:
                values = {**constants, **{name: value.evaluate(work.scope) for name, value in varying.items()}}
                if redaction is not None:
                    redaction.apply(values, step.operation.input.model_fields.keys(), work.scope)
                given = step.operation.parse(values)
                print_ = self._fingerprint(step, given)
                work.prints[index:] = [print_]
                if self._take_known(work, index, step, print_):
                    continue
                prepared = step.operation.prepare(given, self._choice_for(step))
            except PenstockError as error:
                if _stops_run(error):
                    raise
                work.fail("prepare", error)
                continue
            if isinstance(prepared, Ask):
                wanted.append(Wanted(work, given, prepared, self.caller.address(prepared)))
            else:
                self.keep(work, step, prepared.model_dump(mode="json"))
        return wanted

    def _choice_for(self, step: Step) -> ModelChoice:
        return self._others.get(step.operation.kind, self.choice)

    def _take_known(self, work: Work, index: int, step: Step, fingerprint: bytes) -> bool:
        """Take the kept result of a step when the record was judged on exactly this before."""
        known = work.known
        if (
            known is None
            or work.is_expired
            or known.state != "done"
            or known.fingerprint[16 * index : 16 * index + 16] != fingerprint
        ):
            return False
        if step.name not in known.output:
            return False
        work.outputs[step.name] = work.scope[step.name] = known.output[step.name]
        if step.name in known.made:
            work.made[step.name] = known.made[step.name]
        work.answers += [part for part in known.answers.split(",") if part]
        return True

    def _fingerprint(self, step: Step, given: Fields) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        choice = self._choice_for(step)
        head = (step.operation.name, step.operation.version, choice.model.id, choice.tier, choice.has_decisions)
        digest.update(repr(head).encode())
        digest.update(_encode(_without_defaults(step.operation, given)))
        return digest.digest()

    def keep(self, work: Work, step: Step, output: dict[str, Any]) -> None:
        """Take the result of a step."""
        work.outputs[step.name] = work.scope[step.name] = output
        model = output.get("model", "") or ("" if output.get("method") == "none" else self._choice_for(step).model.id)
        work.made[step.name] = f"{step.operation.name} {step.operation.version}|{model}"

    async def _finish(self, step: Step, want: Wanted, held: Mapping[bytes, Answer], purchases: Purchases) -> None:
        """Read an answer; when it cannot be used, one repair is bought through the same path."""
        asker, operation = _Asker(self, held), step.operation
        try:
            given = want.input
            if operation.load is not None and self._fetch is not None:
                given = await operation.load(given, self._fetch)
            prepared = want.ask if given is want.input else None  # with its files it is another request
            done = await operation.perform(asker, given, self._choice_for(step), prepared=prepared)
        except Later:  # the record has no result yet
            return
        except PenstockError as error:
            self._take_failure(want, error)
            return
        finally:
            for answer in asker.used:
                purchases.add(answer)
        want.work.answers += [key.hex() for ask in asker.asked for key in self.caller.addresses(ask)]
        self.keep(want.work, step, done.output.model_dump(mode="json"))

    def _take_failure(self, want: Wanted, error: PenstockError) -> None:
        """Sort a failed call: the record's own, the endpoint's, or one that stops the run, which is raised."""
        if error.code == "openai.endpoint-missing" and want.ask.path == "/decisions":
            self._leave_decisions()
        elif isinstance(error, UnavailableError):
            want.work.fail("call", error)
            self._given_up.append(want.work)
            if self.stopped_by is not None or len(self._given_up) >= GIVE_UP_AFTER:
                self._declare_down()
        elif _stops_run(error):
            raise error
        else:
            want.work.fail("call", error)

    def _leave_decisions(self) -> None:
        """Ask for structured output from now on: what has no result yet is prepared again."""
        if self.choice.decisions:
            self.choice = msgspec.structs.replace(self.choice, decisions=False)
            if self._tell is not None:
                self._tell("This endpoint has no Decisions API: going on with structured output.")

    def _declare_down(self) -> None:
        """Stop the run; the records whose calls failed last are not at fault, and count as not reached."""
        reason = self._given_up[-1].problem
        for work in self._given_up:
            work.problem = None
        self._given_up.clear()
        self.stop(
            UnavailableError(
                f"the vendor answers no call: {reason.message if reason else ''}",
                code=reason.code if reason else None,
                hint="Nothing is lost. Run the same command again later: it goes on where it stopped.",
            )
        )

    def was_answered(self) -> None:
        """Note that the vendor answers: calls that failed before failed for reasons of their own."""
        self._was_answered = True
        self._given_up.clear()

    async def _ask(self, step: Step, wanted: Sequence[Wanted], purchases: Purchases) -> None:
        """Read the answers that are held, and buy the others; equal requests are bought once."""
        held = await self.caller.answers.get_many([want.key for want in wanted])
        groups: dict[bytes, list[Wanted]] = {}
        for want in wanted:
            groups.setdefault(want.key, []).append(want)

        async def take(key: bytes, wants: list[Wanted]) -> None:
            answers: Mapping[bytes, Answer] = {key: held[key]} if key in held else {}
            if not answers:
                async with self._slots:
                    if self.stopped_by is None:
                        await self._finish(step, wants.pop(0), {}, purchases)
                answers = await self.caller.answers.get_many([key]) if wants else {}
            for want in wants:
                if answers or self.stopped_by is None:
                    await self._finish(step, want, answers, purchases)

        waiting = iter(groups.items())

        async def work_off() -> None:
            for key, wants in waiting:  # shared: whoever is free takes the next
                try:
                    await take(key, wants)
                except Exception as error:  # noqa: BLE001 - the calls under way are paid for: they end, no new one begins
                    self.stop(as_penstock_error(error))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(groups), self._in_flight)):
                group.create_task(work_off())

    def stop(self, error: PenstockError) -> None:
        """Begin no further call; those under way end and are kept."""
        self.stopped_by = self.stopped_by or error


async def fill_joins(state: FlowState, run: str, joins: Mapping[str, Source], page_size: int) -> None:
    """Keep every joined source for this run, by key."""
    for name, source in joins.items():
        async for page in source.pages(size=page_size):
            await state.fill_lookup(run, name, [(fold_key(row.key), row.data) for row in page.records])


def _without_defaults(operation: Operation[Any, Any], given: Fields) -> dict[str, Any]:
    """Return the values of an input; those of optional fields only when they were given."""
    fields = operation.input.model_fields
    return {
        name: value
        for name, value in given.__dict__.items()
        if name not in operation.optional or value != fields[name].default
    }


def _stops_run(error: PenstockError) -> bool:
    """Tell whether an error concerns every record alike: keys, budgets, settings, the model, our own defects."""
    if isinstance(error, (InputError, MappingError)):
        return error.code == "decide.no-decisions"
    return (
        error.recovery == "stop"
        or isinstance(error, (FixError, DefectError))
        or error.code in ("openai.model-not-found", "openai.deployment-missing", "openai.endpoint-missing")
    )


def _repeated_key(key: str) -> MappingError:
    """Return the error of a record whose key was met before with something else in it."""
    return MappingError(
        f"the key {key[:60]!r} occurs more than once in the source, with different content",
        code="source.duplicate-key",
        hint="Only the first record counts. Choose a key that identifies a record, such as an id column.",
    )


class _Asker:
    """The paid path for one record: held answers first, and what is known to be missing is not looked up again."""

    def __init__(self, judge: Judge, held: Mapping[bytes, Answer]) -> None:
        self._judge = judge
        self._held = held
        self.used: list[Answer] = []
        self.asked: list[Ask] = []

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:  # noqa: ARG002
        caller, road = self._judge.caller, self._judge.road
        answer = self._held.get(caller.address(ask))
        if answer is None:
            flow, run, is_missing = (
                flow or self._judge.flow.name,
                run or self._judge.run,
                not (self.asked or self._held),
            )
            if road is not None:
                answer = await road.buy(ask, flow=flow, run=run, is_missing=is_missing)
            else:
                answer = await (caller.buy if is_missing else caller.ask)(ask, flow=flow, run=run)
        if not answer.cached:
            self._judge.was_answered()
        self.asked.append(ask)
        self.used.append(answer)
        return answer

    async def recall(self, ask: Ask) -> list[Held | None]:
        self.asked.append(ask)
        return await self._judge.caller.recall(ask)

    def refused(self, ask: Ask) -> frozenset[str]:
        return self._judge.caller.refused(ask)

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        return await self._judge.caller.learn(ask, error)
