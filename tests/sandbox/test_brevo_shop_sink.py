"""Orders and products as a sink: each once, singly or in batches, and each road the other's fallback."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from brevo_desk import Desk
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.types import Change, Problem
from penstock.data.brevo_things import FIELDS, NEEDED, build_thing

MANY = 400


def order(desk: Desk, number: int, email: str, *, days: float = 0.0, **more) -> Change:
    moment = datetime.fromtimestamp(desk.clock.now(), UTC) - timedelta(days=days)
    fields = {
        "id": f"o{number}",
        "createdAt": moment.isoformat(),
        "status": "paid",
        "amount": "12.50",
        "products": [{"productId": "p1", "quantity": 1, "price": 12.5}],
        **more,
    }
    return Change(f"order-{number}", "order", {"email": email}, fields)


def product(number: int, **more) -> Change:
    return Change(
        f"product-{number}", "product", {}, {"id": f"p{number}", "name": f"Jacket {number}", "price": 9, **more}
    )


def act(desk: Desk, changes, **options):
    return desk.clock.run(desk.sink(**options).write(changes))


def states(outcomes):
    return [outcome.state for outcome in outcomes]


async def test_orders_belong_to_the_contact_that_they_match():
    desk = Desk()
    emails = desk.add_people(3)
    outcomes = await act(desk, [order(desk, n, email) for n, email in enumerate(emails)])
    assert states(outcomes) == ["confirmed"] * 3
    assert {one.id: one.contact for one in desk.state.shop.orders.values()} == {"o0": 1, "o1": 2, "o2": 3}
    assert desk.state.shop.orders["o0"].fields["amount"] == 12.5
    assert desk.count("orders.status", 204) == 3


async def test_an_order_of_nobody_is_refused_and_makes_nobody():
    desk = Desk()
    (outcome,) = await act(desk, [order(desk, 1, "ghost@example.com")])
    assert (outcome.state, outcome.problem.code) == ("rejected", "brevo.no-such-contact")
    assert (await act(desk, [order(desk, 1, "ghost@example.com")], create_contacts=True))[0].state == "confirmed"
    assert len(desk.state.contacts) == 1


async def test_old_orders_are_told_as_history():
    desk = Desk()
    (email,) = desk.add_people(1)
    assert states(await act(desk, [order(desk, 1, email, days=30), order(desk, 2, email)])) == ["confirmed"] * 2
    sent = {path.rsplit("/v3", 1)[-1]: body for path, body in desk.gateway.bodies}
    assert sent["/orders/status/batch"]["historical"] is True
    assert [one["id"] for one in sent["/orders/status/batch"]["orders"]] == ["o1"]
    assert sent["/orders/status"]["id"] == "o2"


async def test_many_go_in_batches():
    desk = Desk()
    (email,) = desk.add_people(1)
    changes = [product(n) for n in range(MANY)] + [order(desk, n, email) for n in range(MANY)]
    assert set(states(await act(desk, changes))) == {"confirmed"}
    assert desk.count("products.batch", 201) == 4
    assert desk.count("orders.batch", 202) == 1
    assert desk.count("orders.status") == desk.count("products.create") == 0
    assert len(desk.state.shop.orders) == len(desk.state.shop.products) == MANY


@pytest.mark.parametrize("batch", ["orders.batch", "products.batch"])
async def test_when_batches_are_down_single_calls_do_the_work(batch):
    desk = Desk()
    (email,) = desk.add_people(1)
    desk.fault(batch, "status", status=503)
    changes = [product(n) for n in range(MANY)] + [order(desk, n, email) for n in range(MANY)]
    assert set(states(await act(desk, changes))) == {"confirmed"}
    assert len(desk.state.shop.orders) == len(desk.state.shop.products) == MANY


@pytest.mark.parametrize("single", ["orders.status", "products.create"])
async def test_when_single_calls_are_down_a_batch_does_the_work(single):
    desk = Desk()
    (email,) = desk.add_people(1)
    desk.fault(single, "status", status=503)
    changes = [product(1), order(desk, 1, email)]
    assert set(states(await act(desk, changes))) == {"confirmed"}
    assert len(desk.state.shop.orders) == len(desk.state.shop.products) == 1


async def test_one_wrong_product_does_not_cost_the_others():
    desk = Desk()
    changes = [product(n) for n in range(MANY)]
    changes[7] = Change("x", "product", {}, {"id": "p7", "price": 1})  # without the name that a new one needs
    outcomes = await act(desk, changes)
    assert states(outcomes).count("confirmed") == MANY - 1
    assert outcomes[7].state == "rejected"


async def test_an_order_whose_outcome_is_unknown_is_looked_up():
    desk = Desk()
    (email,) = desk.add_people(1)
    changes = [order(desk, n, email) for n in range(3)]
    await act(desk, changes[:2])
    changed = order(desk, 1, email, status="refunded")
    found = await desk.clock.run(desk.sink().find([changes[0], changed, changes[2], product(1)]))
    assert states(found) == ["confirmed", "later", "later", "later"]


async def test_a_shop_that_is_switched_off_is_found_before_the_run():
    desk = Desk(ecommerce=False)
    fields = {f"order.{name}": "" for name in NEEDED["order"]}
    (finding,) = await desk.clock.run(desk.sink().check(fields))
    assert (finding.verdict, "e-commerce" in finding.fix) == ("fail", True)


async def test_missing_and_unknown_fields_are_found_before_the_run():
    desk = Desk()
    (finding,) = await desk.clock.run(desk.sink().check({"order.id": "text"}))
    assert "createdAt, status, amount, products" in finding.message
    (finding,) = await desk.clock.run(desk.sink().check({"product.id": "text", "product.colour": "text"}))
    assert "colour" in finding.message
    assert (await desk.clock.run(desk.sink().check({"product.id": "text"})))[0].verdict == "ok"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("createdAt", date(2026, 11, 2), "2026-11-02T00:00:00.000Z"),
        ("createdAt", "2026-11-02T10:00:00+02:00", "2026-11-02T08:00:00.000Z"),
        ("createdAt", "yesterday", None),
        ("amount", "nan", None),
        ("amount", True, None),
        ("products", '[{"productId": 7, "price": "2"}]', [{"productId": "7", "price": 2.0}]),
        ("products", "two jackets", None),
        ("products", [{"productId": 7}], None),
        ("products", [{"productId": 7, "price": 1, "colour": "red"}], None),
        ("coupons", "A, B", ["A", "B"]),
        ("billing", '{"city": "Paris"}', {"city": "Paris"}),
        ("billing", "Paris", None),
        ("colour", "red", None),
        ("status", "", None),
    ],
)
def test_fields_of_an_order_are_built_or_refused(field, value, expected):
    fields = {"id": 1, "createdAt": "2026-11-01", "status": "paid", "amount": 1, "products": [], field: value}
    built = build_thing(Change("x", "order", {}, fields))
    if expected is None:
        assert isinstance(built, Problem)
        assert built.where == field
    else:
        assert built[field] == expected


@given(
    st.sampled_from(["order", "product"]),
    st.dictionaries(
        st.sampled_from(sorted({*FIELDS["order"], *FIELDS["product"]})),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()), st.dates()),
    ),
)
def test_whatever_the_values_a_thing_is_built_whole_or_refused(kind, fields):
    built = build_thing(Change("x", kind, {}, fields))
    assert isinstance(built, Problem) or (set(NEEDED[kind]) <= set(built) <= set(FIELDS[kind]))
