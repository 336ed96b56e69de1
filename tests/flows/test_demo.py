"""`penstock demo` from the command line, on the example and on rated texts."""

import csv
import os
import re
import shlex
import subprocess
import sys

import pytest

from penstock.cli.demo import find_command
from penstock.cli.main import execute


def run_demo(capsys, *arguments):
    code = execute(["demo", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def facts(text, name):
    return re.findall(rf"^  {name} +(.*)$", text, re.MULTILINE)


@pytest.fixture
def told(tmp_path, capsys):
    code, out, _ = run_demo(capsys, "--folder", tmp_path / "demo")
    assert code == 0
    return out


def test_the_demo_says_that_a_lexicon_judges(told):
    assert "lexicon, not from a model" in told


def test_the_demo_plans_runs_and_buys_one_more_call_after_one_change(told):
    assert facts(told, "calls")[:4] == [
        "11 to gpt-6-luna",
        "11 bought, 0 answers held already",
        "1 to gpt-6-luna",
        "1 bought, 0 answers held already",
    ]
    assert facts(told, "writes")[1:4:2] == ["10 of 10 confirmed", "1 of 1 confirmed"]


def test_the_demo_ends_with_figures_of_calls_cost_quota_and_writes(told):
    end = told.partition("All in all")[2]
    assert facts(end, "calls") == ["12 bought, 0 answers held already"]
    assert facts(end, "writes") == ["11 confirmed by Brevo"]
    assert facts(end, "cost")[0].startswith("$0.000")
    assert facts(end, "quota")[0].endswith("a minute")


def test_brevo_is_empty_before_and_filled_after(told):
    table = told.partition("3. Brevo, before and after")[2].partition("4.")[0]
    rows = [line.split() for line in table.splitlines() if "@example.com" in line]
    assert len(rows) == 10
    assert all(row[1] == "–" for row in rows)
    assert all(re.fullmatch(r"[+-]\d\.\d\d", row[3]) for row in rows)


def test_the_commands_at_the_end_work_when_pasted(told, capsys):
    commands = [shlex.split(line) for line in told.splitlines() if line.startswith(f"  {find_command()} ")]
    assert len(commands) == 3
    for command in commands:
        assert execute(command[1:]) == 0
    said = capsys.readouterr().out
    assert "13 unchanged" in said
    assert "analyze-sentiment" in said


def test_a_second_demo_in_the_same_folder_starts_from_the_beginning(told, tmp_path, capsys):
    code, out, _ = run_demo(capsys, "--folder", tmp_path / "demo")
    assert code == 0
    assert facts(out, "calls") == facts(told, "calls")


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("precious")
    code, _, err = run_demo(capsys, "--folder", tmp_path)
    assert code == 2
    assert "demo.folder-in-use" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_real_texts_become_one_contact_per_review(tmp_path, capsys):
    texts = tmp_path / "texts.txt"
    texts.write_text("7_1\t2.5\tGreat phone, great price.\n7_2\t-1\tThe battery is bad.\n9_1\t3\tI love it.\n")
    code, out, _ = run_demo(capsys, "--texts", texts, "--folder", tmp_path / "demo")
    assert code == 0
    assert "3 real texts from 2 reviews" in out
    with (tmp_path / "demo" / "feedback.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["email"] for row in rows] == [f"review-00{n}@example.com" for n in (1, 1, 2)]
    assert [row["date"] for row in rows] == ["2025-01-11", "2025-01-21", "2025-01-11"]


@pytest.fixture
def vendors():
    """The emulators as a server of their own, so that `--live` meets something at the end of a real connection."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "penstock.sandbox.server", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        lines = []
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", "".join(lines))):
            line = server.stdout.readline()
            assert line, f"the server ended: {lines}"
            lines.append(line)
        yield found[0]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def call_live(folder, *more, **settings):
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    code = "import sys; from penstock.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "demo", "--live", "--folder", str(folder), *more]
    return subprocess.run(
        command, env={**environ, **settings}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def settings_for(vendors):
    return {
        "OPENAI_API_KEY": "sk-of-a-test",
        "OPENAI_BASE_URL": f"{vendors}/openai/v1",
        "BREVO_API_KEY": "xkeysib-of-a-test",
        "PENSTOCK_BREVO_BASE_URL": f"{vendors}/brevo/v3",
    }


def test_live_without_keys_says_which_are_missing(tmp_path):
    done = call_live(tmp_path / "demo")
    assert done.returncode == 2
    assert "openai.api-key and brevo.api-key" in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_live_runs_the_same_flow_and_creates_the_contacts(vendors, tmp_path):
    done = call_live(tmp_path / "demo", "--yes", **settings_for(vendors))
    assert done.returncode == 0, done.stderr
    assert "lexicon" not in done.stdout
    assert facts(done.stdout.partition("All in all")[2], "writes") == ["11 confirmed by Brevo"]
    assert "(not in Brevo)" in done.stdout


@pytest.mark.slow
def test_live_spends_nothing_where_nobody_can_be_asked(vendors, tmp_path):
    done = call_live(tmp_path / "demo", **settings_for(vendors))
    assert done.returncode == 2
    assert "budget.not-confirmed" in done.stderr
    assert "2. Run it" not in done.stdout
