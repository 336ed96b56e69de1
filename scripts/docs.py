"""Writes docs/reference from the code: `python scripts/docs.py`, or `--check` to see whether it is fresh."""

from __future__ import annotations

import asyncio
import inspect
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from error_codes import CLASSES, find_errors
from penstock.base.settings import SETTINGS
from penstock.cli.main import common, penstock
from penstock.events.contract import load_contract
from penstock.flows import model as flow_words
from penstock.operations.catalogue import Entry, all_operations
from penstock.server.app import build_app
from penstock.server.doors import Door
from penstock.server.problems import STATUSES
from penstock.vendor.models import Model, load_catalogue
from penstock.workspace import Workspace

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTICE = "<!-- Written by scripts/docs.py from the code. Change the code, then run `make docs`. -->\n\n"


def table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(list(headings))]
    for row in rows:
        cells = ("" if cell is None else str(cell).replace("|", "\\|").replace("\n", " ").strip() for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


# commands


def commands() -> str:
    """Describe every command, from click."""
    parts = ["# Commands\n\n`penstock COMMAND --help` says the same. Data goes to stdout, everything else to stderr.\n"]
    context = click.Context(penstock, info_name="penstock")
    for name in penstock.list_commands(context):
        command = penstock.get_command(context, name)
        assert command is not None
        parts += _command(f"penstock {name}", command)
    shared = [one for one in _shared.params if isinstance(one, click.Option)]
    parts += ["## Options of every command\n", table(["option", "what it does"], _rows(reversed(shared)))]
    return "\n".join(parts)


@common
@click.command()
def _shared() -> None:
    """Carry the options that every command shares."""


def _command(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for below in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), below)
            assert inner is not None
            yield from _command(f"{name} {below}", inner)
        return
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    shared = {one.name for one in _shared.params}
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in shared]
    usage = " ".join([name, *(_argument(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    yield f"## {name}\n\n    {usage}\n\n{inspect.cleandoc(command.help or '')}\n"
    if options:
        yield table(["option", "what it does"], _rows(options))


def _rows(options: Iterable[click.Option]) -> list[tuple[str, str]]:
    return [(_option(one), _help(one)) for one in options]


def _argument(argument: click.Argument) -> str:
    name = argument.human_readable_name.upper()
    return f"[{name}]..." if argument.nargs == -1 else name


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    if option.is_flag:
        return names
    return f"{names} {option.make_metavar(click.Context(click.Command('x')))}".replace("|", " or ")


def _help(option: click.Option) -> str:
    default = option.default
    is_shown = (
        option.show_default and not option.is_flag and default is not None and "UNSET" not in repr(default).upper()
    )
    return (option.help or "") + (f" Default: `{default}`." if is_shown else "")


# settings, errors, models


def settings() -> str:
    """Describe every setting."""
    intro = (
        "# Settings\n\nA setting is looked for on the command line, then in the environment, then in `penstock.toml` "
        "of the workspace,\nthen the default holds. `penstock settings where NAME` shows the search. A dot in a name "
        "is a table in the file:\n`budget.day` is `day` under `[budget]`.\n"
    )
    rows = [
        (
            f"`{one.name}`",
            f"`{one.env}`",
            "" if one.default is None else f"`{one.default}`",
            one.help + (" Never shown or logged." if one.secret else ""),
        )
        for one in SETTINGS
    ]
    return intro + "\n" + table(["setting", "environment", "default", "what it is"], rows)


def errors() -> str:
    """Describe exit codes, classes and every error code."""
    exits = [
        (0, "done"), (1, "the vendor rejected the request, or its answer cannot be used"), (2, "fix your input"),
        (3, "the run ended, some records failed"), (4, "key refused or permission missing"),
        (5, "vendor down, or its quota used up"), (6, "stopped by a budget or a person"), (70, "a defect of Penstock"),
        (130, "interrupted; the same command goes on"),
    ]  # fmt: skip
    parts = [
        "# Errors\n\nEach has a code that stays, a message, and a hint that says what to do. … is filled in.\n",
        "## Exit codes\n",
        table(["exit", "meaning"], exits),
        "## What each kind means\n",
        table(
            ["kind", "meaning", "exit", "what Penstock does"],
            [(name, _first_line(kind), kind.exit_code, _RECOVERIES[kind.recovery]) for name, kind in CLASSES.items()],
        ),
    ]
    found = find_errors(ROOT / "src" / "penstock")
    for area in sorted({one.code.partition(".")[0] for one in found}):
        rows = [(f"`{one.code}`", one.kind, one.message, one.hint) for one in found if one.code.startswith(f"{area}.")]
        parts.append(f"## {area}\n\n" + table(["code", "kind", "message", "what to do"], rows))
    return "\n".join(parts)


_RECOVERIES = {
    "fix": "stops until you change something",
    "stop": "stops the run; what was bought is kept",
    "isolate": "keeps that record aside, the others go on",
    "retry": "tries again, waiting as long as the vendor says",
    "repair": "asks once more, then the offline scorer or aside",
    "report": "stops; please report it",
}


def models() -> str:
    """Describe every model of the catalogue: prices of today's text tokens, limits, dates."""
    catalogue = load_catalogue()
    rows = [
        (
            f"`{one.id}`", one.kind, ", ".join(one.apis), _price(one, "standard"), _price(one, "decide"),
            _size(one.context_window), _limits(one), one.shutdown or "",
            f"`{one.replacement}`" if one.replacement else "",
        )
        for one in catalogue.all()
    ]  # fmt: skip
    intro = (
        f"# Models\n\nCompiled {catalogue.compiled}. Prices are dollars per million tokens (input / cached / output), "
        "at the standard tier and of the\nDecisions API; output is pictures or sound where the model makes them. Empty "
        "means unknown, and an unknown price is never taken\nfor zero. Limits are requests and tokens a minute of the "
        "tier Build; replies of the vendor replace them. Add or\n"
        "correct a model in `models.toml` of your workspace:\nsee [how to](../how-to/models.md).\n"
    )
    headings = ["model", "kind", "APIs", "price", "decisions", "context", "limits", "ends", "then use"]
    return intro + "\n" + table(headings, rows)


def _price(model: Model, tier: str) -> str:
    prices = model.prices_at()
    rates = prices.rates(tier, 0) if prices else None
    if rates is None:
        return ""
    if rates.minute is not None or rates.characters is not None:
        return f"{rates.characters:g} (characters)" if rates.minute is None else f"{rates.minute:g} a minute"
    output = rates.image_output or rates.audio_output or rates.output
    return " / ".join("–" if one is None else f"{one:g}" for one in (rates.input, rates.cached, output))


def _size(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens else ""


def _limits(model: Model) -> str:
    limits = model.limits.get("Build")
    return f"{_rate(limits.rpm)} / {_rate(limits.tpm)}" if limits else ""


def _rate(value: float | None) -> str:
    return f"{value:,.0f}" if value else "–"


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


# operations and the flow file


def operations() -> str:
    """Describe every operation with its fields."""
    intro = (
        "# Operations\n\nEach is a command, a method in Python, a route of `penstock serve`, a tool of `penstock mcp` "
        "and a step of flows: [how to](../how-to/operations.md).\n"
        "The examples run as they stand in the sandbox; FILE is a path, a URL or a data URL.\n"
    )
    parts = [intro]
    for entry in all_operations():
        operation = entry.load()
        module = inspect.getdoc(inspect.getmodule(operation.prepare)) or ""
        more = module.partition("\n")[2].strip()
        parts.append(f"## {entry.name}\n\n{entry.title}. Version {operation.version}.\n\n{more}\n")
        parts += _example(entry.name, operation.input_schema()["properties"], operation.example)
        parts += _schema("Input", operation.input_schema())
        parts += _schema("Output", operation.output_schema())
    return "\n".join(parts)


def _example(name: str, fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Write an example as a command, as Python, as a request and as a step."""
    short = {field: _without_files(value) for field, value in values.items()}
    words = [
        f"penstock {name}",
        *(word for field, value in short.items() for word in _words(field, fields[field], value)),
    ]
    arguments = ", ".join(f"{field}={value!r}" for field, value in short.items())
    body = json.dumps({"input": short}, ensure_ascii=False)
    yield "### Example\n\n```sh\n" + " ".join(words) + "\n```\n"
    yield f"```python\nresult = penstock.{name.replace('-', '_')}({arguments})\n```\n"
    yield f"```http\nPOST /v1/operations/{name}\n\n{body}\n```\n"


def _words(field: str, details: Mapping[str, Any], value: Any) -> list[str]:
    option = f"--{field.replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    item = details.get("items", {})
    if isinstance(value, list) and "string" in (item.get("type"), *(one.get("type") for one in item.get("anyOf", ()))):
        return [f"{option} {shlex.quote(one)}" for one in value]
    return [f"{option} {shlex.quote(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}"]


def _without_files(value: Any) -> Any:
    """Stand in for the files of an example, which are too long to read."""
    if isinstance(value, list):
        return [_without_files(one) for one in value]
    return "FILE" if isinstance(value, str) and value.startswith("data:") else value


def _schema(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {title}\n"
    yield _fields(schema)
    for name, part in schema.get("$defs", {}).items():
        yield f"**{name}**: {part.get('description', '').strip()}\n\n{_fields(part)}"


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"`{name}`", _type(part), "required" if name in required else _default(part), part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]
    return table(["field", "type", "default", "what it is"], rows)


def _default(part: Mapping[str, Any]) -> str:
    return f"`{part['default']}`" if part.get("default") not in (None, "", [], {}, ()) else ""


def _type(part: Mapping[str, Any]) -> str:
    if "$ref" in part:
        return _title(str(part["$ref"]).rpartition("/")[2])
    if "enum" in part:
        return ", ".join(str(one) for one in part["enum"])
    if "const" in part:
        return str(part["const"])
    for word in ("anyOf", "oneOf"):
        if word in part:
            return " or ".join(_type(one) for one in part[word] if one.get("type") != "null")
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    extra = part.get("additionalProperties")
    if part.get("type") == "object" and isinstance(extra, dict):
        return f"mapping to {_type(extra)}"
    return {"object": "mapping", "string": "text"}.get(str(part.get("type")), str(part.get("type", "any")))


def flow_file() -> str:
    """Describe the words of a flow file, from its model."""
    found = [
        part for part in vars(flow_words).values()
        if inspect.isclass(part) and issubclass(part, flow_words.Strict) and part is not flow_words.Strict
    ]  # fmt: skip
    intro = (
        "# The flow file\n\nYAML. `${{ … }}` is an expression over the record, joined records, results of earlier "
        "steps by name, and in a sink `contact`;\na plain path looks a value up, anything else is a Jinja expression "
        "with its filters. See [sources and sinks](../how-to/files.md)\nfor the options of each connector.\n"
    )
    parts = [intro]
    for part in reversed(found):
        schema = part.model_json_schema(by_alias=True)
        parts.append(f"## {_title(part.__name__)}\n\n{inspect.getdoc(part)}\n\n{_fields(schema)}")
    return "\n".join(parts)


def _title(name: str) -> str:
    return {"FlowFile": "Top level"}.get(name, name.removesuffix("Part").lower())


def conversions_contract() -> str:
    """Describe what the Conversions API takes, from the contract."""
    found = load_contract()
    intro = (
        f"# The contract of conversions\n\nGeneration {found.generation} of OpenAI's Conversions API, compiled "
        f"{found.compiled} from public documents; `{found.url}`.\n`penstock events contract` prints the same with "
        "`conversions.toml` of the workspace over it. Since is the generation\nthat brought a field.\n"
    )
    fields = ["field", "kind", "required", "rule", "since", "certainty", "source"]
    shapes = {f"Data: {name}": shape for name, shape in found.shapes.items()}
    parts = [
        intro,
        "## Event types\n",
        table(
            ["type", "data", "pixel", "can be a goal", "fires when", "source"],
            [
                (f"`{name}`", one.shape, "yes" if one.pixel else "no", one.goal, one.fires, one.source)
                for name, one in found.types.items()
            ],
        ),
    ]
    for title, part in {"Event": found.envelope, **shapes, "Item": found.item, "Request": found.request}.items():
        rows = [
            (f"`{name}`", one.kind, one.required, one.rule, one.generation, one.certainty, one.source)
            for name, one in part.items()
        ]
        parts.append(f"## {title}\n\n" + table(fields, rows))
    users = [
        (
            f"`{name}`",
            f"`{one.input}`",
            "yes" if one.many else "no",
            "yes" if one.hashed else "no",
            one.rule,
            one.generation,
        )
        for name, one in found.user.items()
    ]
    parts.append("## User\n\n" + table(["field", "in a mapping", "list", "hashed", "rule", "since"], users))
    limits = [(name, f"{one.value:,}", one.unit, one.certainty, one.source) for name, one in found.limits.items()]
    parts.append("## Limits\n\n" + table(["limit", "value", "unit", "certainty", "source"], limits))
    answers = [
        (one.status, f"`{one.code or one.says}`" if one.code or one.says else "", one.means, one.then, one.certainty)
        for one in found.errors
    ]
    parts.append("## Refusals\n\n" + table(["status", "code or words", "means", "then", "certainty"], answers))
    older = [
        (f"`{place}{name}`", f"`{one.becomes}`" if one.becomes else one.refused, one.generation)
        for place, names in (("", found.older.envelope), ("user.", found.older.user))
        for name, one in names.items()
    ]
    parts.append("## Names of older generations\n\n" + table(["name", "today", "generation"], older))
    sources = [(name, one.title, one.dated) for name, one in found.sources.items()]
    parts.append("## Sources\n\n" + table(["source", "document", "dated"], sources))
    return "\n".join(parts)


def http() -> str:
    """Describe every route of the HTTP service, from the routes themselves."""
    doors = asyncio.run(_doors())
    shown = [(one.method, f"`{one.path}`", one.summary, one.allow or "(none)", one.status) for one in doors]
    queries = [(f"`{one.method} {one.path}`", f"`{name}`", text) for one in doors for name, text in one.query.items()]
    kinds = [(name, 403 if name == "AccessError" else kind.http_status) for name, kind in CLASSES.items()]
    intro = (
        "# HTTP\n\nThe routes of `penstock serve`; `GET /openapi.json` describes them in full, each operation with its "
        "fields.\nHow to run it: [serve over HTTP](../how-to/serve.md).\n"
    )
    errors = (
        "## Errors\n\nEvery error is problem details (RFC 9457) with `code`, `hint` and `where`; the codes stand in "
        "[errors](errors.md).\nThe status is that of the error's kind, but for the codes below.\n"
    )
    repeated = ", ".join(f"`{one.path}`" for one in doors if one.keeps)
    parts = [
        intro,
        table(["method", "path", "what it does", "token for", "status"], shown),
        "## Queries\n",
        table(["route", "query", "what it is"], queries),
        f"## Repeated writes\n\nThese honour `Idempotency-Key`: {repeated}.\n",
        errors,
        table(["code", "status"], [(f"`{code}`", status) for code, status in sorted(STATUSES.items())]),
        table(["kind", "status"], kinds),
    ]
    return "\n".join(parts)


async def _doors() -> list[Door]:
    """Return the routes, those of an operation as the first one's stand for all."""
    with tempfile.TemporaryDirectory() as folder:
        async with Workspace.open(Path(folder), overrides={"sandbox": True}, environ={}) as workspace:
            found = [door for door in build_app(workspace, tokens=None).doors if door.summary]
    first = next(iter(all_operations()))
    shown = {f"/v1/operations/{one.name}": one for one in all_operations()}
    kept = [door for door in found if shown.get(door.path.removesuffix("/preview"), first) == first]
    return [_for_all(door, first) for door in kept]


def _for_all(door: Door, one: Entry) -> Door:
    summary = door.summary.replace(one.name, "the operation").replace(f"{one.title}.", "Run the operation.")
    return replace(door, path=door.path.replace(f"/{one.name}", "/{name}"), summary=summary)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "conversions-contract.md": conversions_contract,
    "errors.md": errors,
    "flow-file.md": flow_file,
    "http.md": http,
    "models.md": models,
    "operations.md": operations,
    "settings.md": settings,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are stale."""
    stale = []
    for name, make in PAGES.items():
        path, text = REFERENCE / name, NOTICE + make().rstrip() + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"stale: {', '.join(stale)}; run: make docs", file=sys.stderr)
        return 1
    print(f"{len(PAGES)} reference pages, {len(stale)} of them written" if stale else "reference pages are fresh")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
