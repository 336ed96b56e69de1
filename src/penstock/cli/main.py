"""The shell commands: what they take, and which exit code they end with."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock import __version__
from penstock.base.errors import DefectError, PenstockError, StoppedError

T = TypeVar("T")

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Given:
    """The options that every command shares."""

    def __init__(self) -> None:
        self.folder = Path()
        self.debug = False
        self.overrides: dict[str, Any] = {}

    def type(self, command: str) -> str:
        """Return a command as it has to be typed to mean the same place: in the sandbox, where this one was."""
        return f"penstock {command}" + (" --sandbox" if self.overrides.get("sandbox") else "")


def _take_folder(context: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Given).folder = value


def _take_setting(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def take(context: click.Context, _param: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            context.ensure_object(Given).overrides[name] = value

    return take


def _take_debug(context: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Given).debug = True


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command shares."""
    options = [
        click.option(
            "--workspace",
            type=click.Path(file_okay=False, path_type=Path),
            expose_value=False,
            callback=_take_folder,
            help="Folder whose settings and state are used (default: this one).",
        ),
        click.option(
            "--sandbox",
            is_flag=True,
            expose_value=False,
            callback=_take_setting("sandbox"),
            help="Use the emulated vendors: no keys, no cost, nothing leaves this machine.",
        ),
        click.option(
            "--sandbox-url",
            metavar="URL",
            expose_value=False,
            callback=_take_setting("sandbox-url"),
            help="Address of a running `penstock sandbox up`.",
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_take_debug, help="Show the stack of an error."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Run async work to its end, on uvloop where it is installed."""
    import asyncio
    import gc

    gc.freeze()  # what the imports made stays; a page of answers is many small objects that no cycle holds
    gc.set_threshold(100_000, 50, 100)

    try:
        import uvloop
    except ImportError:
        return asyncio.run(work())  # type: ignore[arg-type]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())  # type: ignore[arg-type]


class _Lazy(click.Group):
    """A group whose commands are imported when they are called or listed."""

    MODULES = {  # noqa: RUF012 - a constant table
        "plan": ("penstock.cli.flows", "plan", "Say what a run would do, cost and write; changes nothing."),
        "run": ("penstock.cli.flows", "run", "Run a flow, or one operation."),
        "runs": ("penstock.cli.runs", "runs", "List, show and retry runs."),
        "batches": ("penstock.cli.batches", "batches", "List and cancel batches that wait for their answers."),
        "cost": ("penstock.cli.runs", "cost", "What was spent, by day, model, operation or flow."),
        "answers": ("penstock.cli.runs", "answers", "Held answers: how many, purge, forget."),
        "events": ("penstock.cli.events", "events", "Send conversion events; see what became of each."),
        "campaigns": ("penstock.cli.campaigns", "campaigns", "Draft, approve, send and read back campaigns at Brevo."),
        "demo": ("penstock.cli.demo", "demo", "See the main job at work in the sandbox."),
        "explain": ("penstock.cli.privacy", "explain", "What is kept of a person: sent, answered, written."),
        "forget": ("penstock.cli.privacy", "forget", "Delete what is kept of a person, for good."),
        "objections": ("penstock.cli.privacy", "objections", "Who objects to profiling, beside what Brevo says."),
        "feedback": ("penstock.cli.feedback", "feedback", "What customers said: add, import, hear, list."),
        "webhooks": ("penstock.cli.webhooks", "webhooks", "Our webhooks at Brevo: make, list, remove, replay."),
        "doctor": ("penstock.cli.doctor", "doctor", "Check settings, keys, limits and store; read-only."),
        "sandbox": ("penstock.cli.sandbox", "sandbox", "Serve the emulated vendors; plan faults."),
        "connections": ("penstock.cli.connections", "connections", "Name ways to vendors; keep keys safe; test them."),
        "settings": ("penstock.cli.doctor", "settings", "Show settings and where they come from."),
        "models": ("penstock.cli.models", "models", "List models: price, limits, end, replacement; refresh."),
        "reconcile": ("penstock.cli.reconcile", "reconcile", "Compare the ledger with OpenAI's usage and costs."),
        "content": ("penstock.cli.content", "content", "Write campaign texts from a brief; learn from results."),
        "predict": ("penstock.cli.predict", "predict", "Who comes back, how often, worth how much; with a report."),
        "segments": ("penstock.cli.segments", "segments", "Segments that a flow keeps: show, name, draw, renew."),
        "trends": ("penstock.cli.trends", "trends", "How feedback moves over time; which topics turned."),
        "evaluate": ("penstock.cli.evaluate", "evaluate", "Measure sentiment, or what redaction finds."),
        "serve": ("penstock.cli.serve", "serve", "Serve everything over HTTP."),
        "mcp": ("penstock.cli.mcp", "mcp", "Offer the operations as tools to a model."),
        "tokens": ("penstock.cli.serve", "tokens", "Who may use the HTTP service."),
        "worker": ("penstock.cli.flows", "worker", "Work on flows that other processes started (PostgreSQL)."),
    }

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.MODULES)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self.MODULES:
            return _operation_command(name)
        from importlib import import_module

        module, attribute, _ = self.MODULES[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.MODULES.items()])
        from penstock.operations.catalogue import all_operations

        with formatter.section("Operations"):
            formatter.write_dl([(entry.name, f"{entry.title}.") for entry in all_operations()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from penstock.operations.catalogue import all_operations

            names = [*self.MODULES, *(entry.name for entry in all_operations())]
            close = difflib.get_close_matches(args[0], names, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(error.message + hint, context) from error


def _operation_command(name: str) -> click.Command | None:
    from penstock.operations.catalogue import all_operations

    if name not in {entry.name for entry in all_operations()}:
        return None
    from penstock.cli.operations import build_command

    return build_command(name)


@click.group(cls=_Lazy, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="penstock")
def penstock() -> None:
    """OpenAI for customer data: planned before it costs, resumable, written to Brevo only when validated."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that fits what happened.

    Everything is closed by then. The interpreter is not taken down piece by piece: a thread of the
    HTTP library that still lets go of a cut connection would abort it, and hide the exit code.
    """
    code = execute(arguments)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def execute(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = Given()
    try:
        return _invoke(arguments, given)
    except PenstockError as error:
        return _fail(error, given.debug)
    except Exception as error:  # noqa: BLE001 - the one place where a defect becomes a message
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, PenstockError):
            return _fail(error, given.debug)
        defect = DefectError(f"{type(error).__name__}: {error}")
        defect.__cause__ = error
        return _fail(defect, given.debug)


def _invoke(arguments: list[str] | None, given: Given) -> int:
    try:
        result = penstock.main(args=arguments, prog_name="penstock", standalone_mode=False, obj=given)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return int(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        sys.stderr.close()
        return 0


def _fail(error: PenstockError, debug: bool) -> int:
    from penstock.cli.render import show_error

    show_error(error, debug=debug)
    if isinstance(error, StoppedError) and error.code == "run.interrupted":
        return 130
    return type(error).exit_code
