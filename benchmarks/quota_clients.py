"""One client of the quota benchmark: sends a share of the records and prints how many were answered.

Runs under whichever Python has the client installed; needs nothing else of this repository
unless the client is Penstock itself.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

MODEL = "gpt-4o-mini"
WORKERS = 64
RPM, TPM = 3000, 400_000


def record(number: int, kind: str) -> tuple[str, int]:
    """Return the prompt and the greatest output of a record; its size depends on its number only."""
    chance = random.Random(number)
    if kind == "short":
        total, output = 38, 16
    else:
        dice, output = chance.random(), 100
        total = int(248 + 100 * chance.random())
        if dice >= 0.95:
            total = int(900 + 912 * chance.random())
        elif dice >= 0.8:
            total = int(300 + 600 * chance.random())
    return f"{number:012d} {kind} ".ljust((total - output) * 4, "x"), output


async def pool(numbers: range, send: Callable[[int], Awaitable[None]], workers: int = WORKERS) -> int:
    """Send every record with `workers` at once; returns how many were answered."""
    left, done = iter(numbers), 0

    async def work() -> None:
        nonlocal done
        for number in left:
            try:
                await send(number)
            except Exception as error:  # noqa: BLE001 - a lost record is what is counted
                if os.environ.get("SHOW_ERRORS"):
                    print(repr(error), file=sys.stderr)
            else:
                done += 1

    await asyncio.gather(*(work() for _ in range(workers)))
    return done


async def penstock(args: argparse.Namespace, numbers: range) -> int:
    from penstock.base.clock import SystemClock
    from penstock.base.errors import ThrottledError
    from penstock.runtime.governor import Charge, Governor, Pool
    from penstock.runtime.quota import Board, MemoryBoard, PostgresBoard, SqliteBoard
    from penstock.vendor.http import Http
    from penstock.vendor.models import Limits
    from penstock.vendor.openai import read_reply

    clock, http = SystemClock(), Http()
    board: Board = MemoryBoard(clock)
    if args.board.startswith("postgres"):
        board = PostgresBoard(args.board, clock)
    elif args.board:
        board = SqliteBoard(Path(args.board), clock)
    governor = Governor(clock, board, lambda _: Limits(rpm=5000, tpm=1_000_000))
    account, headers = Pool("account", MODEL), {"Authorization": "Bearer sk-x", "Content-Type": "application/json"}
    chance = random.Random(numbers.start)

    async def send(number: int) -> None:
        prompt, output = record(number, args.kind)
        tokens = (len(prompt) // 4 + output) * args.error * chance.lognormvariate(0.0, args.noise)
        message = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": output}
        body, again = json.dumps(message).encode(), False
        while True:
            permit = await governor.acquire(account, Charge(1, round(tokens)), front=again)
            reply = await http.send("POST", args.base + "/chat/completions", headers=headers, body=body)
            exchange = read_reply(reply)
            if not isinstance(exchange.error, ThrottledError):
                governor.observe(permit, exchange.headers, exchange.usage.input)
                if exchange.error:
                    raise exchange.error
                return
            governor.refuse(permit, exchange.error, exchange.headers)
            again = True

    workers = max(1, args.workers // args.processes)
    done = await pool(numbers, send, workers)
    await governor.close()
    await board.close()
    await http.close()
    return done


async def openai_sdk(args: argparse.Namespace, numbers: range) -> int:
    import openai

    client = openai.AsyncOpenAI(base_url=args.base, api_key="sk-x", max_retries=args.retries)

    async def send(number: int) -> None:
        prompt, output = record(number, args.kind)
        await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=output
        )

    return await pool(numbers, send)


async def litellm_router(args: argparse.Namespace, numbers: range) -> int:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    deployment = {"model": f"openai/{MODEL}", "api_base": args.base, "api_key": "sk-x", "rpm": RPM, "tpm": TPM}
    router = litellm.Router(model_list=[{"model_name": MODEL, "litellm_params": deployment}])

    async def send(number: int) -> None:
        prompt, output = record(number, args.kind)
        await router.acompletion(model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=output)

    return await pool(numbers, send)


async def langchain_limiter(args: argparse.Namespace, numbers: range) -> int:
    from langchain_core.rate_limiters import InMemoryRateLimiter
    from langchain_openai import ChatOpenAI

    limiter = InMemoryRateLimiter(requests_per_second=RPM / 60, max_bucket_size=RPM / 60)
    models = {
        output: ChatOpenAI(
            model=MODEL, base_url=args.base, api_key="sk-x", max_tokens=output, rate_limiter=limiter, max_retries=2
        )
        for output in (16, 100)
    }

    async def send(number: int) -> None:
        prompt, output = record(number, args.kind)
        await models[output].ainvoke(prompt)

    return await pool(numbers, send)


async def curator(args: argparse.Namespace, numbers: range) -> int:
    os.environ |= {"OPENAI_API_KEY": "sk-x", "CURATOR_DISABLE_CACHE": "1", "TELEMETRY_ENABLED": "0"}
    # Its tokenizer looks for rank files on the network; LiteLLM, which it needs anyway, has them on disk.
    litellm = importlib.util.find_spec("litellm")
    if litellm is not None and litellm.origin:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator as library

    output = record(0, args.kind)[1]
    model = library.LLM(
        model_name=MODEL,
        backend="openai",
        generation_params={"max_tokens": output},
        backend_params={
            "base_url": args.base,
            "max_requests_per_minute": RPM,
            "max_tokens_per_minute": TPM,
            "require_all_responses": False,
        },
    )
    answers: Any = await asyncio.to_thread(model, [record(number, args.kind)[0] for number in numbers])
    return len(getattr(answers, "dataset", answers))


CLIENTS = {
    "penstock": penstock,
    "openai-sdk": openai_sdk,
    "litellm-router": litellm_router,
    "langchain-limiter": langchain_limiter,
    "curator": curator,
}
MODULES = {
    "penstock": "penstock",
    "openai-sdk": "openai",
    "litellm-router": "litellm",
    "langchain-limiter": "langchain_openai",
    "curator": "bespokelabs.curator",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--base", default="")
    parser.add_argument("--kind", default="mixed")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--error", type=float, default=1.0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--board", default="")
    parser.add_argument("--probe", action="store_true", help="only say whether the client can be imported")
    args = parser.parse_args()
    if args.probe:
        importlib.import_module(MODULES[args.client])
        return
    print("ready", flush=True)
    sys.stdin.readline()
    started, cpu = time.monotonic(), time.process_time()
    done = asyncio.run(CLIENTS[args.client](args, range(args.first, args.first + args.records)))
    print(json.dumps({"done": done, "wall": time.monotonic() - started, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
