"""Orders and products: upserts by id, singly or in batches, each the other's fallback.

Amounts are major units and carry no currency (order reference, 2026). A batch of orders is taken in hand and done in
the background; only there Brevo can be told that an order is old news, so that no automation answers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from penstock.base.errors import PenstockError, RejectedError, ThrottledError, UnavailableError
from penstock.base.types import Change, Finding, Outcome, Problem
from penstock.data.brevo_known import ContactBook, People
from penstock.data.brevo_processes import Processes
from penstock.data.brevo_targets import Target, find_target, spread, width_for
from penstock.data.brevo_things import FIELDS, NEEDED, build_thing
from penstock.runtime.brevo_calls import BrevoCaller

KINDS = ("order", "product")
PATIENCE_SECONDS = 60.0
MOST_PER_BATCH = {"order": 500, "product": 100}
OLD_AFTER_SECONDS = 86_400.0
"""An order last changed before that is history: it goes by batch, and triggers nothing in Brevo."""
DOWN_AFTER = 3
ORDERS_PER_LOOK, MOST_PAGES_LOOKED_AT = 100, 5

_DOWN = Problem("brevo.unavailable", "Brevo takes no orders or products now", "Run the same command again later.")
_UNFINISHED = Problem(
    "brevo.batch-unfinished",
    "Brevo took the batch, but did not finish it in time",
    "Run the same command again later; the same order twice changes nothing.",
)
Item = tuple[int, Change]


class Thing(NamedTuple):
    """One order or product, ready to send."""

    place: int
    body: dict[str, Any]
    is_old: bool


class ShopWriter:
    """Writes the orders and products of one account."""

    def __init__(self, caller: BrevoCaller, processes: Processes, people: People, *, create_contacts: bool) -> None:
        self._caller = caller
        self._processes = processes
        self._book = ContactBook(caller, people, create_contacts=create_contacts)

    async def write(self, items: Sequence[Item], done: dict[int, Outcome]) -> None:
        """Write products, then orders, and note in `done` what became of each."""
        for kind in ("product", "order"):
            things = self._prepare([item for item in items if item[1].kind == kind], done)
            if kind == "order":
                things = await self._assign(things, items, done)
            if things:
                await self._write_kind(kind, things, done)

    def _prepare(self, items: Sequence[Item], done: dict[int, Outcome]) -> list[Thing]:
        things = []
        before = self._caller.clock.now() - OLD_AFTER_SECONDS
        for place, change in items:
            body = build_thing(change)
            if isinstance(body, Problem):
                done[place] = Outcome("rejected", body)
                continue
            changed = datetime.fromisoformat(body["updatedAt"]).timestamp() if change.kind == "order" else before
            things.append(Thing(place, body, changed < before))
        return things

    async def _assign(self, things: list[Thing], items: Sequence[Item], done: dict[int, Outcome]) -> list[Thing]:
        """Put the number of the contact into each order: one of nobody would create people, or be lost."""
        changes = dict(items)
        targets: dict[int, Target] = {}
        for thing in things:
            target = find_target(changes[thing.place].match)
            if isinstance(target, Problem):
                done[thing.place] = Outcome("rejected", target)
            else:
                targets[thing.place] = target
        try:
            numbers, refused = await self._book.number(list(targets.values()))
        except (UnavailableError, ThrottledError) as error:
            done.update({place: Outcome("later", Problem.from_error(error)) for place in targets})
            return []
        ready = []
        for thing in things:
            owner = targets.get(thing.place)
            if owner in numbers:
                body = {**thing.body, "identifiers": {"contact_id": numbers[owner]}}
                ready.append(Thing(thing.place, body, thing.is_old))
            elif owner is not None:
                done[thing.place] = Outcome("rejected", refused[owner])
        return ready

    async def _write_kind(self, kind: str, things: list[Thing], done: dict[int, Outcome]) -> None:
        operation = "orders.status" if kind == "order" else "products.create"
        is_many = len(things) > self._caller.rate_of(operation) * PATIENCE_SECONDS
        in_batches = [thing for thing in things if is_many or (kind == "order" and thing.is_old)]
        await self._write_batches(kind, in_batches, done)
        await self._write_singly(operation, [thing for thing in things if thing.place not in done], done)
        left = [thing for thing in things if thing.place not in done]
        if not in_batches:
            await self._write_batches(kind, left, done)
        for thing in left:
            done.setdefault(thing.place, Outcome("later", _DOWN))

    async def _write_singly(self, operation: str, things: list[Thing], done: dict[int, Outcome]) -> None:
        failures_in_a_row = 0

        async def write(thing: Thing) -> None:
            nonlocal failures_in_a_row
            if failures_in_a_row >= DOWN_AFTER:
                return
            body = thing.body if operation == "orders.status" else {**thing.body, "updateEnabled": True}
            try:
                await self._caller.call(operation, body=body)
            except RejectedError as error:
                done[thing.place] = Outcome("rejected", Problem.from_error(error))
            except (UnavailableError, ThrottledError):
                failures_in_a_row += 1
                return
            else:
                done[thing.place] = Outcome("confirmed")
            failures_in_a_row = 0

        await spread(things, write, width_for(self._caller, operation))

    async def _write_batches(self, kind: str, things: Sequence[Thing], done: dict[int, Outcome]) -> None:
        """Write in batches; what one refuses or leaves open stays without an outcome, to be written singly."""
        most = MOST_PER_BATCH[kind]
        send = self._send_orders if kind == "order" else self._send_products
        for is_old in (True, False):
            chosen = [thing for thing in things if thing.is_old == is_old]
            for start in range(0, len(chosen), most):
                part = chosen[start : start + most]
                try:
                    outcome = await send(part, is_old)
                except RejectedError:
                    continue
                except (UnavailableError, ThrottledError):
                    return
                if outcome is not None:
                    done.update({thing.place: outcome for thing in part})

    async def _send_products(self, part: Sequence[Thing], _is_old: bool) -> Outcome | None:
        body = {"products": [thing.body for thing in part], "updateEnabled": True}
        await self._caller.call("products.batch", body=body)
        return Outcome("confirmed")

    async def _send_orders(self, part: Sequence[Thing], is_old: bool) -> Outcome | None:
        body = {"orders": [thing.body for thing in part], "historical": is_old}
        begun = await self._processes.begin("orders.batch", body, "batch_id")
        receipt = f"orders {begun.number}"
        content = await self._processes.end(begun)
        if content is None:
            return Outcome("unknown", _UNFINISHED, receipt)
        return Outcome("confirmed", None, receipt) if content.get("status") == "completed" else None

    async def find(self, items: Sequence[Item]) -> dict[int, Outcome]:
        """Look for the newest orders; what is not found is written again, which leaves the same order or product."""
        done = dict.fromkeys((place for place, _ in items), Outcome("later"))
        wanted = {str(change.fields.get("id")): place for place, change in items if change.kind == "order"}
        changes = dict(items)
        for page in range(MOST_PAGES_LOOKED_AT if wanted else 0):
            query: dict[str, Any] = {"limit": ORDERS_PER_LOOK, "offset": page * ORDERS_PER_LOOK, "sort": "desc"}
            try:
                orders = (await self._caller.call("orders.list", query=query)).content["orders"]
            except (UnavailableError, ThrottledError) as error:
                return done | dict.fromkeys(wanted.values(), Outcome("unknown", Problem.from_error(error)))
            for order in orders:
                place = wanted.pop(str(order.get("id")), None)
                if place is not None and _is_same(order, build_thing(changes[place])):
                    done[place] = Outcome("confirmed")
            if not wanted or len(orders) < ORDERS_PER_LOOK:
                break
        return done

    async def check(self, kind: str, names: Sequence[str]) -> list[Finding]:
        """Say whether an order or product has what Brevo needs, and whether the account's shop is switched on."""
        label = f"Brevo {kind}"
        missing = [name for name in NEEDED[kind] if name not in names]
        if missing:
            fix = f"Add {', '.join(missing)} to `{kind}` of the flow's sink."
            return [Finding(label, "fail", f"an {kind} needs {', '.join(missing)}".replace("an p", "a p"), fix)]
        if unknown := [name for name in names if name not in FIELDS[kind]]:
            known = f"Brevo takes {', '.join(FIELDS[kind])}."
            return [Finding(label, "fail", f"Brevo knows no field {unknown[0]!r} there", known)]
        try:
            await self._caller.call("products.list", query={"limit": 1}, interactive=True)
        except PenstockError as error:
            fix = "Switch e-commerce on in Brevo (Settings > eCommerce), and give the key access to it."
            return [Finding(label, "fail", error.message, fix)]
        return [Finding(label, "ok", f"{kind}s can be written")]


def _is_same(order: Mapping[str, Any], body: Mapping[str, Any] | Problem) -> bool:
    names = ("status", "amount", "updatedAt")
    return not isinstance(body, Problem) and all(order.get(name) == body.get(name) for name in names)
