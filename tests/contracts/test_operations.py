"""What holds for every operation, whatever it does."""

import ast
import inspect
import re
import sys
from typing import Any

import jsonschema_rs
import pytest

from penstock.operations.catalogue import Entry, all_operations, find_operation
from penstock.operations.declare import Fields, Operation

every_operation = pytest.mark.parametrize("entry", all_operations(), ids=lambda entry: entry.name)


@every_operation
def test_the_catalogue_finds_each_by_its_name(entry: Entry) -> None:
    operation = find_operation(entry.name)
    assert (operation.name, operation.title, operation.module) == (entry.name, entry.title, entry.module)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.name)
    assert entry.title[0].isupper()
    assert not entry.title.endswith(".")
    assert operation.version >= 1


@every_operation
def test_a_leaf_has_input_output_and_run_in_that_order(entry: Entry) -> None:
    operation = entry.load()
    module = sys.modules[entry.module]
    tree = ast.parse(inspect.getsource(module))
    names = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
    places = [names.index(name) for name in ("Input", "Output", "run")]
    assert places == sorted(places)
    assert (operation.input, operation.output) == (module.Input, module.Output)
    assert inspect.iscoroutinefunction(module.run)


def _models(operation: Operation[Any, Any]) -> list[type[Fields]]:
    return [operation.input, operation.output]


@every_operation
def test_every_field_is_explained_once_and_unknown_fields_are_refused(entry: Entry) -> None:
    for model in _models(entry.load()):
        assert model.model_config["extra"] == "forbid"
        for name, field in model.model_fields.items():
            assert field.description, f"{entry.name}: {model.__name__}.{name} has no docstring"
            assert field.description.endswith("."), f"{entry.name}: {model.__name__}.{name}"
            assert re.fullmatch(r"[a-z][a-z_]*", name)


@every_operation
def test_input_and_output_have_a_valid_json_schema(entry: Entry) -> None:
    operation = entry.load()
    for schema in (operation.input_schema(), operation.output_schema()):
        jsonschema_rs.meta.validate(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
