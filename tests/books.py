"""What the books of a ledger must be, counted from its calls one by one, for tests."""

from __future__ import annotations

from typing import Any

from penstock.runtime.ledger import Ledger, Reservation, Spent
from penstock.runtime.store import Store


async def put_aside(ledger: Ledger, amount: int | None, *, run: str = "r", flow: str = "f") -> Reservation:
    return await ledger.reserve(
        operation="op", connection="openai", model="m", tier="default", worst_case=amount, run=run, flow=flow
    )


async def query(store: Store, text: str) -> list[tuple[Any, ...]]:
    def look(tx: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in tx._raw.execute(text).fetchall()]

    return await store.look(look)


async def count_books(store: Store, where: str = "1 = 1") -> Spent:
    """Return the books of some calls, from the calls alone."""
    rows = await query(store, f"select state, reserved, cost from calls where {where}")
    open_ended = [reserved or 0 for state, reserved, cost in rows if state in ("done", "unknown") and cost is None]
    return Spent(
        sum(cost or 0 for _, _, cost in rows),
        sum(reserved or 0 for state, reserved, _ in rows if state == "sent"),
        sum(open_ended),
        sum(state == "done" for state, _, _ in rows),
    )


async def die(store: Store) -> None:
    """End a store as a kill does: nothing more is written, the system lets its locks go."""
    store._is_closed = True
    store._jobs.put(None)
    store._thread.join()
    store._reads.shutdown()
    store._reader.close()
    store._writer.close()
