"""The OpenAPI document: valid, complete, and true to the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator
from service import open_service

from penstock.operations.catalogue import all_operations
from throw_away import with_one_more_operation


async def test_the_document_is_valid_openapi_and_names_every_route(tmp_path: Path) -> None:
    async with open_service(tmp_path) as client:
        document = (await client.get("/openapi.json")).json()
        OpenAPIV31SpecValidator(document).validate()
        for entry in all_operations():
            operation = document["paths"][f"/v1/operations/{entry.name}"]["post"]
            envelope = operation["requestBody"]["content"]["application/json"]["schema"]
            assert set(envelope["properties"]["input"]["properties"]) == set(entry.load().input.model_fields)
            assert {"model", "connection", "budget", "strict"} <= set(envelope["properties"])
        for door in client.app.doors:
            if door.summary:
                described = document["paths"][door.path][door.method.lower()]
                assert described["security"] == ([{"token": []}] if door.allow else [{}])
        names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
        assert len(names) == len(set(names))


def test_a_new_operation_file_is_a_new_route_without_touching_the_service(tmp_path: Path) -> None:
    program = with_one_more_operation(tmp_path)
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    told = json.loads(program.script(SCRIPT.replace("FOLDERS", repr(folders))))
    assert told == [
        200,
        {"text": "hello"},
        ["/v1/operations/echo-text", "/v1/operations/echo-text/preview"],
    ]


SCRIPT = """
import asyncio, json, sys
from pathlib import Path
sys.path += FOLDERS
from service import open_service

async def work():
    async with open_service(Path(".")) as client:
        answered = await client.post("/v1/operations/echo-text", {"input": {"text": "hello"}})
        document = (await client.get("/openapi.json")).json()
        paths = [path for path in document["paths"] if "echo-text" in path]
        print(json.dumps([answered.status, answered.json()["output"], paths]))

asyncio.run(work())
"""


async def test_what_the_service_answers_fits_what_the_document_says(tmp_path: Path) -> None:
    import jsonschema_rs

    async with open_service(tmp_path) as client:
        document = (await client.get("/openapi.json")).json()
        sent = {"/v1/operations/respond": {"input": {"text": "Hello"}}, "/v1/operations/decide/preview": None}
        sent["/v1/operations/decide/preview"] = {
            "input": {
                "text": "Late.",
                "questions": [{"type": "predicate", "name": "late", "instructions": "It is late."}],
            }
        }
        for path, body in sent.items():
            answered = await client.post(path, body)
            assert answered.status == 200, answered.body
            schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema_rs.validate({**schema, "components": document["components"]}, answered.json())
        problem = (await client.post("/v1/operations/respond", {"input": {}})).json()
        jsonschema_rs.validate(document["components"]["schemas"]["Problem"], problem)
