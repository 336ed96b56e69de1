"""`penstock demo`: the main job from beginning to end, on a folder of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from penstock.base.errors import FixError, SettingsError, StoppedError
from penstock.base.settings import Settings
from penstock.cli import render
from penstock.cli.demo_folder import check_folder, read_rows, write_folder, write_rows
from penstock.cli.flows import show_report, stop_softly
from penstock.cli.main import Given, run_async
from penstock.data.brevo import BrevoSink
from penstock.flows.engine import Report
from penstock.flows.plan import Plan
from penstock.runtime.effects import Effects
from penstock.runtime.governor import Pool
from penstock.runtime.progress import Progress, Snapshot
from penstock.vendors import check_sandbox_extra
from penstock.workspace import Workspace

BUDGET = 2.50
SHOWN = 10
NEW_TEXT = "Terrible. The second order got lost as well, nobody answers, and I am very angry."


@click.command()
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts instead of the small example: lines of id, rating, text, separated by tabs.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("penstock-demo"),
    show_default=True,
    help="Where the demo's files and state go.",
)
@click.option("--live", is_flag=True, help="Use OpenAI and Brevo themselves; asks before it spends or writes.")
@click.option("--yes", is_flag=True, help="With --live: do not ask.")
@click.option("--debug", is_flag=True, help="Show the stack of an error.")
@click.pass_obj
def demo(given: Given, texts: Path | None, folder: Path, live: bool, yes: bool, debug: bool) -> int:
    """Plan, run and change a feedback flow, and show what it does to Brevo; in the sandbox, without keys."""
    given.debug = debug
    check_folder(folder)
    _check_keys(folder) if live else check_sandbox_extra()
    story = _Story(folder, live, yes)
    story.greet()
    render.show(write_folder(folder, texts, live))
    return run_async(story.tell)


def _check_keys(folder: Path) -> None:
    settings = Settings(folder)
    missing = [name for name in ("openai.api-key", "brevo.api-key") if not settings.get(name)]
    if missing:
        raise SettingsError(
            f"--live needs keys, and {' and '.join(missing)} is missing",
            code="settings.missing",
            hint="export OPENAI_API_KEY=… BREVO_API_KEY=…, or leave out --live to stay in the sandbox.",
        )


class _Quota(NamedTuple):
    """How much of the tightest limit was in use at the fullest moment."""

    used: float = 0.0
    text: str = "no call was needed"


class _Story:
    """The demo, told step by step; every figure in it is read from the run, the store or Brevo."""

    def __init__(self, folder: Path, live: bool, yes: bool) -> None:
        self.folder = folder
        self.flow = folder / "flow.yaml"
        self.live = live
        self.yes = yes
        self.workspace: Workspace
        self.quota = _Quota()
        self.reports: list[Report] = []

    def greet(self) -> None:
        if self.live:
            render.show("Penstock demo with OpenAI and Brevo themselves: calls cost money, contacts are written.")
            return
        render.show("Penstock demo in the sandbox: OpenAI and Brevo are emulated inside this process.")
        render.show("Judgements come from a sentiment lexicon, not from a model; nothing is billed or sent anywhere.")

    async def tell(self) -> int:
        """Tell the whole story; returns the exit code of its worst run."""
        # no variable may lead the sandbox to a real database
        environ: dict[str, str] | None = None if self.live else {}
        async with Workspace.open(
            self.folder, overrides={"sandbox": not self.live}, environ=environ, command="demo"
        ) as workspace:
            self.workspace = workspace
            made = await self._plan("1. Plan: what would a run do and cost?")
            if self.live:
                await self._ask(made)
            emails = _spread([row["email"] for row in read_rows(self.folder / "contacts.csv")], SHOWN)
            before = await self._read_brevo(emails)
            if not await self._run("2. Run it. The budget is a hard stop."):
                return self.reports[-1].exit_code
            after = await self._read_brevo(emails)
            self._compare("3. Brevo, before and after", emails, before, after)
            changed = self._change_text(emails)
            await self._plan(f"4. {changed} writes something new. What would that cost?")
            await self._run("5. Run again: the one new text is bought, one contact is written.")
            self._compare("Brevo, before and after", [changed], [after[emails.index(changed)]],
                          await self._read_brevo([changed]))  # fmt: skip
            self._sum_up()
        self._say_next()
        return max(report.exit_code for report in self.reports)

    async def _plan(self, title: str) -> Plan:
        _head(title)
        made = await self.workspace.plan(self.flow)
        missing = [finding.name for finding in made.findings if finding.verdict == "fail"]
        render.show_facts(
            [
                ("records", f"{made.new:,} new, {made.changed:,} changed, {made.unchanged:,} unchanged"),
                ("calls", f"{made.calls:,} to {made.model}"),
                ("cost", f"{render.money(made.cost)} (estimate)"),
                ("writes", f"up to {made.writes + made.possible_writes:,} contacts in {', '.join(made.writes_to)}"),
                ("missing", f"{len(missing)} Brevo attributes; the run creates them" if missing else None),
            ]
        )  # fmt: skip
        return made

    async def _ask(self, made: Plan) -> None:
        if self.yes:
            return
        question = (
            f"This sends {made.calls:,} texts to OpenAI, stops at ${BUDGET:.2f}, and creates or changes "
            f"{made.possible_writes:,} contacts in {', '.join(made.writes_to)}. Go on?"
        )
        if not sys.stdin.isatty():
            raise FixError("nobody can be asked here", code="budget.not-confirmed", hint="Add --yes.")
        if not click.confirm(question, err=True):
            raise StoppedError("nothing was spent or written", code="budget.declined")

    async def _run(self, title: str) -> bool:
        _head(title)
        lines: list[render.ProgressLine] = []

        def listen(progress: Progress) -> None:
            lines.append(render.ProgressLine(progress))
            progress.listen(self._look_at_quota)

        report = await self.workspace.run(
            self.flow, budget=BUDGET, apply_schema=True, listen=listen, started=stop_softly
        )
        for line in lines:
            line.clear()
        self.reports.append(report)
        show_report(report, f"run {self.flow} --workspace {self.folder}", Given())
        if report.problem is not None:
            render.show_error(report.problem)
            return False
        return True

    def _look_at_quota(self, _snapshot: Snapshot) -> None:
        workspace = self.workspace
        choice = workspace.flows.choose_model()
        pool = Pool(workspace.caller.connection(choice.connection).quota_account, choice.model.id)
        for name, part in workspace.governor.headroom(pool)["limits"].items():
            used = 1 - float(part["left"]) / float(part["limit"])
            if part["known_from"] == "headers" and used >= self.quota.used:
                self.quota = _Quota(used, f"{min(used, 1):.0%} of {part['limit']:,.0f} {name} a minute")

    async def _read_brevo(self, emails: Sequence[str]) -> list[dict[str, Any] | None]:
        from penstock.data.brevo import read_account

        caller = self.workspace.vendors.open_brevo()
        account = await read_account(caller)
        sink = BrevoSink(caller, account, Effects(self.workspace.store, caller.clock, f"brevo:{account.id}"))
        return await sink.read_back([{"email": email} for email in emails])

    def _compare(
        self, title: str, emails: Sequence[str], before: Sequence[dict[str, Any] | None],
        after: Sequence[dict[str, Any] | None],
    ) -> None:  # fmt: skip
        _head(title)
        render.show_table(
            ["contact", "before", "after", "texts", "trend", "topics"],
            [
                (email, _feeling(old), _feeling(new), _number(new, "SENTIMENT_COUNT"),
                 (new or {}).get("SENTIMENT_TREND", ""), str((new or {}).get("SENTIMENT_TOPICS", ""))[:40])
                for email, old, new in zip(emails, before, after, strict=True)
            ],
        )  # fmt: skip

    def _change_text(self, emails: Sequence[str]) -> str:
        """Give the last text of the first shown contact that has one a new wording; returns the contact."""
        path = self.folder / "feedback.csv"
        rows = read_rows(path)
        last = {row["email"]: number for number, row in enumerate(rows)}
        contact = next(email for email in emails if email in last)
        rows[last[contact]]["text"] = NEW_TEXT
        write_rows(path, list(rows[0]), [list(row.values()) for row in rows])
        return contact

    def _sum_up(self) -> None:
        _head("All in all")
        read, unchanged, calls, held, cost, written = (
            sum(getattr(report.counts, name) for report in self.reports)
            for name in ("read", "unchanged", "calls", "cached", "cost", "written")
        )
        billed = "" if self.live else " at list prices; the sandbox bills nothing"
        render.show_facts(
            [
                ("records", f"{read:,} read in {len(self.reports)} runs, {unchanged:,} of them unchanged"),
                ("calls", f"{calls:,} bought, {held:,} answers held already"),
                ("cost", render.money(cost) + billed),
                ("quota", self.quota.text),
                ("writes", f"{written:,} confirmed by Brevo"),
            ]
        )

    def _say_next(self) -> None:
        command, place = find_command(), f"--workspace {self.folder}"
        _head("Try next")
        for text, arguments in (
            ("judge a text of your own", f"run analyze-sentiment -i text='Late again, and the box was empty.' {place}"),
            (f"edit {self.folder}/feedback.csv, then see what changed", f"plan {self.flow} {place}"),
            ("what was spent, by operation", f"cost --by operation {place}"),
        ):
            render.show(f"  # {text}")
            render.show(f"  {command} {arguments}")
        if not self.live:
            render.show("\nWith OPENAI_API_KEY and BREVO_API_KEY set, --live runs the same flow with the vendors.")


def find_command() -> str:
    """Return how this program is called from here, so that commands can be pasted."""
    name = Path(sys.argv[0]).name
    return sys.argv[0] if name == "penstock" and shutil.which("penstock") is None else "penstock"


def _head(title: str) -> None:
    render.show()
    render.show(render.paint(title, "bold"))


def _spread(values: Sequence[str], count: int) -> list[str]:
    """Return some of the values, evenly spread."""
    return list(values[:: max(1, len(values) // count)][:count])


def _feeling(attributes: dict[str, Any] | None) -> str:
    if attributes is None:
        return "(not in Brevo)"
    if attributes.get("SENTIMENT_LABEL") is None:
        return "–"
    return f"{attributes['SENTIMENT_LABEL']} {float(attributes['SENTIMENT_SCORE']):+.2f}"


def _number(attributes: dict[str, Any] | None, name: str) -> str:
    value = (attributes or {}).get(name)
    return "" if value is None else f"{float(value):.0f}"
