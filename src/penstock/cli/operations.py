"""A command for every operation, built from its declaration: its inputs are the options."""

from __future__ import annotations

import base64
import mimetypes
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from penstock.base.errors import InputError
from penstock.calls import CallOptions, Piece, Preview
from penstock.cli import render
from penstock.cli.main import Given, common, run_async
from penstock.operations.catalogue import find_operation
from penstock.operations.declare import Operation
from penstock.operations.result import Result
from penstock.workspace import Workspace


class Doing(NamedTuple):
    """How the result of a call is wanted."""

    as_json: bool
    is_dry_run: bool
    save: Path | None
    is_streamed: bool = False


def build_command(name: str) -> click.Command:
    """Return the command of an operation: an option for each input, the first required one also as an argument."""
    operation = find_operation(name)
    schema = operation.input_schema()
    fields: dict[str, dict[str, Any]] = schema["properties"]
    first = next((field for field in schema.get("required", ()) if _kind(fields[field]) == "string"), None)

    def call(**given_values: Any) -> int:
        given: Given = click.get_current_context().obj
        options, doing = _take_options(given_values, can_stream=operation.streams is not None)
        argument = given_values.pop("argument", None)
        values = {
            field: _read_value(field, fields[field], given_values[field])
            for field in fields
            if given_values[field] not in (None, ())
        }
        if argument is not None and first is not None:
            values.setdefault(first, _read_input(fields[first]) if argument == "-" else argument)
        return _perform(given, name, values, options, doing)

    command: click.Command = click.command(name, help=_help(operation, first))(common(call))
    own: list[click.Parameter] = [_option(field, details) for field, details in fields.items()]
    if first is not None:
        own.insert(0, click.Argument(["argument"], required=False, metavar=f"[{first.upper()}]"))
    streaming = [_STREAM] if operation.streams else []
    command.params[:0] = [*own, *streaming, *_shared_options()]
    return command


def _help(operation: Operation[Any, Any], first: str | None) -> str:
    where = f" {first.upper()} is the same as --{first.replace('_', '-')}; - reads standard input." if first else ""
    return f"{operation.title}.{where}"


def _kind(details: Mapping[str, Any]) -> str:
    """Return the JSON kind of a field, that of its first choice other than null."""
    if "anyOf" in details:
        return next((kind for part in details["anyOf"] if (kind := _kind(part)) != "null"), "object")
    if "$ref" in details or "enum" in details or "const" in details:
        return "string" if "enum" in details or "const" in details else "object"
    return str(details.get("type", "object"))


def _option(field: str, details: Mapping[str, Any]) -> click.Option:
    flag = f"--{field.replace('_', '-')}"
    help_text = str(details.get("description") or "").replace("\n", " ")
    kind = _kind(details)
    if kind == "boolean":
        return click.Option([f"{flag}/--no-{field.replace('_', '-')}", field], default=None, help=help_text)
    numbers = {"integer": "INTEGER", "number": "NUMBER"}
    is_list = kind == "array" and _kind(details.get("items", {})) == "string"
    choices = details.get("enum")
    default = details.get("default")
    return click.Option(
        [flag, field],
        type=_Offered(choices) if choices else click.STRING,
        multiple=is_list,
        default=None,
        metavar=None if choices else numbers.get(kind) or _text_or_json(kind, is_list),
        help=help_text
        + (f"  [default: {default}]" if isinstance(default, (str, int, float)) and default != "" else ""),
    )


def _text_or_json(kind: str, is_list: bool) -> str:
    if is_list:
        return "TEXT|@FILE"
    return "TEXT" if kind == "string" else "JSON|@FILE"


class _Offered(click.Choice[Any]):
    """Choices that are shown and completed; the operation itself says which are wrong, as through every door."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        return value


def _shared_options() -> list[click.Parameter]:
    return [
        click.Option(["--connection", "connection_"], metavar="NAME", help="Connection instead of openai."),
        click.Option(["--model", "model_"], metavar="ID", help="Model instead of the setting."),
        click.Option(["--tier", "tier_"], metavar="NAME", help="Service tier, such as flex or fast."),
        click.Option(["--budget", "budget_"], type=float, metavar="DOLLARS", help="Most that this call may cost."),
        click.Option(
            ["--strict", "strict_"], is_flag=True, help="Refuse what cannot be honoured; else it is a warning."
        ),
        click.Option(["--fresh", "fresh_"], is_flag=True, help="Buy a new answer even if one is held."),
        click.Option(["--dry-run", "dry_run_"], is_flag=True, help="Show the exact request and its price."),
        click.Option(["--save", "save_"], type=click.Path(path_type=Path), help="Where a picture or sound is written."),
        click.Option(["--json", "json_"], is_flag=True, help="One JSON document on stdout."),
    ]


_STREAM = click.Option(
    ["--stream/--no-stream", "stream_"],
    default=None,
    help="Print the text as it comes; with --json, pieces and result as JSON lines.  [default: on a terminal]",
)


def _take_options(values: dict[str, Any], *, can_stream: bool) -> tuple[CallOptions, Doing]:
    options = CallOptions(**{name: values.pop(f"{name}_") for name in CallOptions.__struct_fields__})
    as_json, wanted = values.pop("json_"), values.pop("stream_", None)
    is_streamed = can_stream and (wanted if wanted is not None else sys.stdout.isatty() and not as_json)
    return options, Doing(as_json, values.pop("dry_run_"), values.pop("save_"), is_streamed)


def _read_value(field: str, details: Mapping[str, Any], value: Any) -> Any:
    """Return the value of an option: text as it is (`-` is standard input), other kinds from JSON."""
    kind = _kind(details)
    if isinstance(value, tuple) and _is_file(details["items"]):
        return [_read_input(details["items"]) if given == "-" else given for given in value]
    if isinstance(value, tuple):
        return [text for given in value for text in _read_texts(field, given)]
    if kind == "string" and value == "-":
        return _read_input(details)
    if not isinstance(value, str) or kind == "string":
        return value
    return read_json(field, value)


def _is_file(details: Mapping[str, Any]) -> bool:
    """Tell whether a field takes a file: then it also takes one as an object with base64."""
    return any("base64" in part.get("properties", ()) for part in details.get("anyOf", ()))


def _read_input(details: Mapping[str, Any]) -> str | bytes:
    return sys.stdin.buffer.read() if _is_file(details) else sys.stdin.read()


def _read_texts(field: str, given: str) -> list[str]:
    """Return a text as it is, or those of a file: `@FILE` is a JSON list of texts, else each line is one."""
    if not given.startswith("@"):
        return [given]
    source = _read_file(field, given[1:])
    if source.lstrip()[:1] != "[":
        return source.removesuffix("\n").split("\n") if source else []
    try:
        return msgspec.json.decode(source, type=list[str])
    except msgspec.DecodeError as error:
        raise InputError(
            f"{field}: {given[1:]} looks like JSON, but is no list of texts: {error}", code="input.json"
        ) from None


def _read_file(field: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "What begins with @ is a file; a text that begins so goes into a JSON file."
        raise InputError(f"{field}: {path} cannot be read: {error}", code="input.file", hint=hint) from error


def read_json(field: str, text: str) -> Any:
    """Decode JSON that was typed, or the file that `@` points to; raises `InputError`."""
    source = _read_file(field, text[1:]) if text.startswith("@") else text
    try:
        return msgspec.json.decode(source)
    except msgspec.DecodeError as error:
        if text[:1] in ("[", "{", "@"):
            raise InputError(f"the input {field} looks like JSON, but is not: {error}", code="input.json") from error
        return text


def run_operation(given: Given, name: str, inputs: tuple[str, ...], as_json: bool) -> int:
    """Run one operation with `NAME=VALUE` inputs; `NAME=-` reads the value from standard input."""
    return _perform(given, name, read_inputs(inputs), CallOptions(), Doing(as_json, is_dry_run=False, save=None))


def read_inputs(inputs: tuple[str, ...]) -> dict[str, Any]:
    """Read `NAME=VALUE` pairs; a value in brackets or braces is JSON."""
    values: dict[str, Any] = {}
    for pair in inputs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise InputError(f"{pair!r} is not NAME=VALUE", code="input.shape", hint="For example: -i text='Great!'")
        values[name] = sys.stdin.read() if text == "-" else read_json(name, text) if text[:1] in ("[", "{") else text
    return values


def _perform(given: Given, name: str, values: dict[str, Any], options: CallOptions, doing: Doing) -> int:
    if doing.is_streamed and not doing.is_dry_run:
        return _perform_aloud(given, name, values, options, as_json=doing.as_json)

    async def work() -> Result | Preview:
        async with Workspace.open(given.folder, overrides=given.overrides, command=name) as workspace:
            if doing.is_dry_run:
                return workspace.operations.preview(name, values, options)
            return await workspace.operations.call(name, values, options)

    result = run_async(work)
    if isinstance(result, Preview):
        render.show_json(result)
    elif doing.as_json:
        render.show_json(_with_files(result, doing.save) if doing.save else result)
    else:
        _show_result(_with_files(result, doing.save))
    return 0


def _perform_aloud(given: Given, name: str, values: dict[str, Any], options: CallOptions, *, as_json: bool) -> int:
    """Show the text of an answer as it comes, then what it took."""

    async def work() -> None:
        async with (
            Workspace.open(given.folder, overrides=given.overrides, command=name) as workspace,
            aclosing(workspace.operations.stream(name, values, options)) as parts,
        ):
            is_open = False
            try:
                async for part in parts:
                    if as_json:
                        render.show_line(part)
                    elif isinstance(part, Piece):
                        render.show_piece(part.text)
                        is_open = True
                    else:
                        render.show()
                        is_open = False
                        _show_facts(part)
            finally:
                if is_open:
                    render.show()

    run_async(work)
    return 0


def _show_result(result: Result) -> None:
    output = result.output
    if list(output)[:1] == ["text"] and not any(
        value for name, value in output.items() if name not in ("text", "model")
    ):
        render.show_text(str(output["text"]))
    else:
        render.show_facts((name, _shown(value)) for name, value in output.items())
    _show_facts(result)


def _show_facts(result: Result) -> None:
    sys.stdout.flush()
    cost = "unknown" if result.cost_dollars is None else f"${result.cost_dollars:.6f}".rstrip("0").rstrip(".")
    used = [f"{result.usage['input']:,} in, {result.usage['output']:,} out"]
    if not result.usage["input"] and not result.usage["output"]:  # billed by something else
        used = [f"{result.usage[unit]:,} {unit}" for unit in ("seconds", "characters") if unit in result.usage] or used
    facts = [result.model or "no call", *used, cost]
    render.note(" · ".join([*facts, *(["held already"] if result.cached else [])]))
    for warning in result.warnings:
        render.note(f"warning: {warning}")


def _shown(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, (dict, list)) else value


def _with_files(result: Result, save: Path | None) -> Result:
    """Write every file in the output to disk and put its path there instead."""
    names = _free_names(save, result.operation)
    return msgspec.structs.replace(result, output=_save(result.output, names))


def _save(value: Any, names: Any) -> Any:
    if isinstance(value, list):
        return [_save(part, names) for part in value]
    if not isinstance(value, dict):
        return value
    if not {"media_type", "base64"} <= value.keys():
        return {name: _save(part, names) for name, part in value.items()}
    content = base64.b64decode(value["base64"])
    path = names(value["media_type"], str(value.get("name") or ""))
    path.write_bytes(content)
    rest = {name: part for name, part in value.items() if name != "base64"}
    return {**rest, "path": str(path), "bytes": len(content)}


def _free_names(save: Path | None, operation: str) -> Any:
    """Return a function that names the next file: the wished path first, never one that exists already."""

    def name(media_type: str, own: str) -> Path:
        suffix = Path(own).suffix or mimetypes.guess_extension(media_type) or ".bin"
        wanted = save or Path(f"penstock-{operation}{suffix}")
        path, number = wanted, 1
        while path.exists():
            number += 1
            path = wanted.with_stem(f"{wanted.stem}-{number}")
        return path

    return name
