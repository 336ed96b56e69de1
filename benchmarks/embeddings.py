"""A million short texts to vectors, beside the openai SDK with numpy: `python benchmarks/embeddings.py`.

`planner`: what the client itself does, in one thread. A transport answers each call with a prebuilt base64 body, so
that neither a server nor a disk counts: texts are made equal, counted and packed, replies decoded into float32 blocks.
The SDK gets the same bodies through its own client, in slices of 2,048 texts, and its vectors go into one numpy array
a slice.
`whole`: everything over HTTP against the sandbox in a process of its own without delay: ledger, governor, each vector
held in SQLite with full sync; then the same texts again, which are all held; and the SDK, which holds nothing.
"""

from __future__ import annotations

import argparse
import statistics

from harness import folder, run_child, sandbox, save

TEXTS = """
import random, resource, sys, time
WORDS = ("the parcel came late but quality is great price too high service friendly return slow shoes broke zip "
         "jacket lovely colour size small delivery quick refund never arrived happy sad angry perfect poor").split()

def texts(count):
    chance = random.Random(5)
    for number in range(count):
        yield f"{' '.join(chance.choices(WORDS, k=chance.randint(4, 16)))} {number}"

def body_of(count, dimensions=1536):
    import base64, json
    import numpy as np
    made = np.random.default_rng(1)
    rows = [base64.b64encode(made.standard_normal(dimensions, np.float32).tobytes()).decode() for _ in range(count)]
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    used = {"prompt_tokens": count * 12, "total_tokens": count * 12}
    return json.dumps({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": used}).encode()

def peak_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20))

def report(count, cpu, wall, **rest):
    import json
    print(json.dumps({"texts": count, "texts_per_cpu_second": round(count / cpu),
                      "texts_per_second": round(count / wall), "cpu_seconds": round(cpu, 2),
                      "seconds": round(wall, 2), "peak_mib": peak_mib(), **rest}))
"""

MAKING = (
    TEXTS
    + """
count = int(sys.argv[1])
cpu = time.process_time()
for text in texts(count):
    pass
print('{"cpu_seconds": %f}' % (time.process_time() - cpu))
"""
)

PLANNER = (
    TEXTS
    + """
import asyncio, gc
from penstock.operations.declare import ModelChoice
from penstock.operations.vectors import Embedder
from penstock.runtime.ask import Answer
from penstock.vendor.embeddings import read_vectors
from penstock.vendor.http import Reply
from penstock.vendor.models import load_catalogue

gc.set_threshold(100_000, 50, 100)  # as the command line does
bodies = {2048: body_of(2048)}

class Canned:
    async def ask(self, ask, **told):
        count = len(ask.body["input"])
        assert ask.content
        if count not in bodies:
            bodies[count] = body_of(count)
        seen = read_vectors(Reply(200, {}, bodies[count], "canned"))
        return Answer(seen.content, seen.usage, 0, seen.model, "default", "", 0.0)

    async def recall(self, ask):
        return [None] * len(ask.body["input"])

    def refused(self, ask):
        return frozenset()

async def main(count):
    embedder = Embedder(Canned(), ModelChoice(load_catalogue().find("text-embedding-3-small")))
    cpu, wall, done = time.process_time(), time.perf_counter(), 0
    async for block in embedder.stream(texts(count)):
        matrix = block.matrix
        assert matrix.dtype == "float32" and matrix.shape == (len(block.rows), 1536) and not block.problems
        done += len(matrix)
    assert done == count
    report(count, time.process_time() - cpu, time.perf_counter() - wall)

asyncio.run(main(int(sys.argv[1])))
"""
)

SDK = (
    TEXTS
    + """
from itertools import islice
import httpx, numpy, openai

count, url = int(sys.argv[1]), sys.argv[2]
bodies = {size: body_of(size) for size in {2048, count % 2048 or 2048}}

def answer(request):
    import json
    body = bodies[len(json.loads(request.content)["input"])]
    return httpx.Response(200, content=body, headers={"content-type": "application/json"})

canned = {"http_client": httpx.Client(transport=httpx.MockTransport(answer))} if url == "canned" else {}
client = openai.OpenAI(api_key="sk-sandbox", base_url="http://canned/v1" if canned else url + "/openai/v1", **canned)
cpu, wall, done = time.process_time(), time.perf_counter(), 0
source = texts(count)
while part := list(islice(source, 2048)):
    reply = client.embeddings.create(model="text-embedding-3-small", input=part)
    matrix = numpy.array([one.embedding for one in reply.data], numpy.float32)
    assert matrix.shape == (len(part), 1536)
    done += len(matrix)
assert done == count
report(count, time.process_time() - cpu, time.perf_counter() - wall)
"""
)

WHOLE = (
    TEXTS
    + """
import asyncio, gc
from pathlib import Path
import uvloop
from penstock.operations.vectors import Embedder
from penstock.workspace import Workspace

gc.set_threshold(100_000, 50, 100)

async def main(folder, url, count):
    async with Workspace.open(Path(folder), overrides={"sandbox": True, "sandbox-url": url}) as workspace:
        embedder = Embedder(workspace.caller, workspace.operations.choose("embedding"))
        cpu, wall, done, bought = time.process_time(), time.perf_counter(), 0, 0
        async for block in embedder.stream(texts(count)):
            assert block.matrix.shape == (len(block.rows), 1536) and not block.problems
            done += len(block.rows)
            bought += sum(not answer.cached for answer in block.answers)
        assert done == count
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    report(count, cpu, wall, calls=bought)

uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
)


def measure_planner(given: argparse.Namespace) -> dict[str, object]:
    count = str(given.texts)
    ours, theirs = [], []
    for _ in range(given.rounds):
        ours.append(run_child(PLANNER, count))
        theirs.append(run_child(SDK, str(given.sdk_texts), "canned"))
    making = float(run_child(MAKING, count)["cpu_seconds"])
    for one in ours:  # what it takes to make the texts up is no work of the planner
        one["texts_per_cpu_second"] = round(given.texts / (one["cpu_seconds"] - making))
    for one in theirs:
        one["texts_per_cpu_second"] = round(
            given.sdk_texts / (one["cpu_seconds"] - making * given.sdk_texts / given.texts)
        )
    middle = statistics.median(one["texts_per_cpu_second"] for one in ours)
    other = statistics.median(one["texts_per_cpu_second"] for one in theirs)
    return {
        "penstock_texts_per_cpu_second": middle,
        "openai_sdk_texts_per_cpu_second": other,
        "ratio": round(middle / other, 2),
        "making_texts_cpu_seconds": round(making, 2),
        "rounds": {"penstock": ours, "openai_sdk": theirs},
    }


def measure_whole(given: argparse.Namespace) -> dict[str, object]:
    options = ("--fast", "--rpm", "0", "--tpm", "0", "--keep", "0")
    with sandbox(*options) as url, folder() as place:
        # The server has no limits; without this the governor keeps to the published 1,000,000 tokens a minute.
        (place / "models.toml").write_text("[models.text-embedding-3-small]\nlimits = {}\n")
        first = run_child(WHOLE, str(place), url, str(given.texts))
        print(first, flush=True)
        again = run_child(WHOLE, str(place), url, str(given.texts))
        print(again, flush=True)
        sdk = run_child(SDK, str(given.sdk_texts), url)
        store = (place / ".penstock" / "sandbox.sqlite").stat().st_size
    return {"first": first, "all_held": again, "openai_sdk": sdk, "store_bytes_per_text": store // given.texts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--sdk-texts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=["planner", "whole"], default=["planner", "whole"])
    given = parser.parse_args()
    measured = {"planner": measure_planner, "whole": measure_whole}
    found = {part: measured[part](given) for part in given.parts}
    if given.parts == ["planner", "whole"]:
        save("embeddings", {"what": "short texts to vectors of 1,536 numbers", "texts": given.texts, **found})
    else:
        print(found)


if __name__ == "__main__":
    main()
