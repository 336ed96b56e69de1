"""`penstock events check` and `contract`: what is shown, what is hidden, exit codes."""

import json

from penstock.events.identifiers import hash_email

MAPPING = """\
event: order_created
amount_unit: major
fields:
  id: ${{ record.order }}
  timestamp: ${{ record.at }}
  email: ${{ record.email }}
  phone: ${{ record.phone }}
  source_url: https://shop.example/
  amount: ${{ record.total }}
  currency: ${{ record.currency }}
"""
ROWS = """\
order,at,email,phone,total,currency
1001,2026-11-20T10:00:00Z,Ada@Example.com,+1 415 555 2671,42.00,USD
1002,2026-11-20T10:05:00Z,bob@example.com,+1 (555) 123-4567 ext. 89,10.005,USD
1003,2026-10-01T10:05:00Z,eve@example.com,,10.00,EUR
"""
AT = ("--at", "2026-11-20T12:00Z")


def write(tmp_path, mapping=MAPPING, rows=ROWS, name="orders.csv"):
    (tmp_path / "m.yaml").write_text(mapping)
    (tmp_path / name).write_text(rows)


def test_each_record_shows_its_event_or_the_field_and_reason(penstock, tmp_path):
    write(tmp_path)
    ended = penstock("events", "check", "orders.csv", "--mapping", "m.yaml", *AT)
    assert ended.code == 3
    assert "✓ orders.csv:2  order_created 1001" in ended.out
    assert "✗ orders.csv:3  no event" in ended.out
    assert "amount has more decimals than the currency's 2 [money.precision]" in ended.out
    assert "timestamp is 50.1 days back" in ended.out
    assert "3 records: 1 events, 2 refused" in ended.out
    assert hash_email("ada@example.com") in ended.out
    for clear in ("ada@", "Ada@", "bob@", "eve@", "415 555", "ext. 89"):
        assert clear not in ended.out + ended.err


def test_a_stream_holds_every_record_and_a_document_the_counts(penstock, tmp_path):
    write(tmp_path, rows=ROWS.splitlines()[0] + "\n" + ROWS.splitlines()[1] + "\n")
    ended = penstock("events", "check", "orders.csv", "--mapping", "m.yaml", "--jsonl", *AT)
    assert ended.code == 0
    line = json.loads(ended.out)
    assert line["event"]["data"] == {"type": "contents", "amount": 4200, "currency": "USD"}
    assert line["traces"][hash_email("ada@example.com")] == "email"
    write(tmp_path)
    ended = penstock("events", "check", "orders.csv", "--mapping", "m.yaml", "--json", "--only", "refused", *AT)
    found = json.loads(ended.out)
    assert found["counts"]["reasons"] == {"money.precision (amount)": 1, "event.too-old (timestamp)": 1}
    assert [view["where"] for view in found["records"]] == ["orders.csv:3", "orders.csv:4"]


def test_lines_that_are_no_records_are_counted_and_the_others_go_on(penstock, tmp_path):
    good = '{"order": "1", "at": "2026-11-20T10:00:00Z"}\n'
    write(tmp_path, rows=good + "not json\n[1]\n" + good, name="orders.jsonl")
    ended = penstock("events", "check", "orders.jsonl", "--mapping", "m.yaml", *AT)
    assert ended.code == 3
    assert "4 records: 2 events, 2 refused" in ended.out


def test_a_column_that_no_record_has_is_told(penstock, tmp_path):
    write(tmp_path, MAPPING.replace("record.email", "record.emial"))
    ended = penstock("events", "check", "orders.csv", "--mapping", "m.yaml", *AT)
    assert "email: no record has 'emial'. Did you mean email?" in ended.err


def test_a_preset_works_by_name_and_a_wrong_name_says_the_right_one(penstock, tmp_path):
    row = {"event": "lead_created", "id": "7", "timestamp": "2026-11-20T10:00:00Z", "action_source": "email"}
    write(tmp_path, rows=json.dumps(row) + "\n", name="leads.jsonl")
    assert penstock("events", "check", "leads.jsonl", "--mapping", "flat", *AT).code == 0
    ended = penstock("events", "check", "leads.jsonl", "--mapping", "flt", *AT)
    assert (ended.code, "Did you mean flat?" in ended.err) == (2, True)
    assert penstock("events", "check", "leads.jsonl", "--mapping", "flat", "--at", "soon").code == 2


def test_the_contract_is_printed_with_what_the_workspace_adds(penstock, tmp_path):
    ended = penstock("events", "contract")
    assert ended.code == 0
    assert "trial_started" in ended.out
    (tmp_path / "conversions.toml").write_text('[types.refund_issued]\nshape = "contents"\n')
    assert "refund_issued" in json.loads(penstock("events", "contract", "--json").out)["types"]
    schema = json.loads(penstock("events", "contract", "--schema").out)
    assert "refund_issued" in schema["$defs"]["event"]["properties"]["type"]["enum"]
    (tmp_path / "conversions.toml").write_text('[types.refund_issued]\nshape = "content"\n')
    ended = penstock("events", "contract")
    assert (ended.code, "Did you mean contents?" in ended.err) == (2, True)
