"""Serves the emulated vendors on loopback: `python -m penstock.sandbox.server --port 8089`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from penstock.base.clock import SystemClock
from penstock.sandbox.brevo import BrevoApp, build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.control import Control
from penstock.sandbox.conversions import ConversionsApp, build_conversions_app
from penstock.sandbox.conversions_ads import build_ads_app
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import OpenAI, build_openai_app
from penstock.sandbox.openai_azure import AzureDoor
from penstock.sandbox.openai_models import DEFAULT_LIMITS, load_models
from penstock.sandbox.world import Latency, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BANNER = (
    "Penstock sandbox: emulated OpenAI, its Conversions and Ads APIs, and Brevo. Judgements come from a sentiment "
    "lexicon, not from a model; nothing is billed and nothing leaves this machine."
)


def build_app(
    world: World,
    *,
    openai: OpenAI | None = None,
    brevo_scale: float = 1.0,
    deployments: Mapping[str, str] | None = None,
) -> Switchboard:
    """Build everything in one application; `deployments` are names of the emulated Azure, and the model of each.

    `/openai/v1` (and Azure's `/openai/deployments`), `/plain/v1` (a server that copies OpenAI's chat), `/brevo/v3`,
    `/conversions/v1`, `/ads/v1`, and `/_sandbox`.
    """
    brevo = build_brevo_app(world, limits=BrevoLimits(scale=brevo_scale))
    board = Switchboard(world, openai or build_openai_app(world), brevo, build_conversions_app(world))
    board.azure.deployments.update(deployments or {})
    return board


class Switchboard:
    """Hands a request to the emulator that its path names, without the path's prefix."""

    def __init__(self, world: World, openai: OpenAI, brevo: BrevoApp, conversions: ConversionsApp) -> None:
        self.azure = AzureDoor(openai)
        self._brevo = brevo
        self._control = Control(world, openai, brevo, conversions.state)
        self._prefixed: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
            "/openai/": self.azure,
            "/plain/": build_openai_app(world, plain=True),
            "/brevo/": brevo,
            "/conversions/": conversions,
            "/ads/": build_ads_app(conversions.state),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        prefix = path[: path.find("/", 1) + 1]
        if prefix in self._prefixed:
            scope["path"] = path[len(prefix) - 1 :]
            await self._prefixed[prefix](scope, receive, send)
        elif path.startswith("/v1/"):
            await self.azure(scope, receive, send)
        elif path.startswith("/v3/"):
            await self._brevo(scope, receive, send)
        else:
            await self._control(scope, receive, send)


def make_config(app: Any, host: str, port: int) -> Any:
    """Return the settings of the web server, whose connections the fault plan can cut."""
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Cuttable(HttpToolsProtocol):
        def on_message_begin(self) -> None:
            super().on_message_begin()
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]
            scope["extensions"] = {"penstock.abort": self.transport.abort}

    return uvicorn.Config(
        app, host=host, port=port, http=Cuttable, lifespan="off", log_level="warning", access_log=False, backlog=4096
    )


def serve(
    world: World,
    host: str = "127.0.0.1",
    port: int = 8089,
    *,
    openai: OpenAI | None = None,
    brevo_scale: float = 1.0,
    deployments: Mapping[str, str] | None = None,
) -> None:
    """Serve until interrupted; port 0 takes any free one. The addresses are printed once they answer."""
    import uvicorn

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            bound = self.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(f"{BANNER}\nOPENAI_BASE_URL=http://{host}:{bound}/openai/v1\n")
            sys.stdout.write(f"PENSTOCK_BREVO_BASE_URL=http://{host}:{bound}/brevo/v3\n")
            sys.stdout.write(f"PENSTOCK_CONVERSIONS_BASE_URL=http://{host}:{bound}/conversions\n")
            sys.stdout.write(f"PENSTOCK_ADS_BASE_URL=http://{host}:{bound}/ads/v1\n")
            sys.stdout.flush()

    app = build_app(world, openai=openai, brevo_scale=brevo_scale, deployments=deployments)
    Announcing(make_config(app, host, port)).run()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m penstock.sandbox.server", description=BANNER)
    parser.add_argument("--host", default="127.0.0.1", help="Loopback address to listen on.")
    parser.add_argument("--port", type=int, default=8089, help="Port; 0 takes any free one.")
    parser.add_argument("--seed", type=int, default=7, help="Seed of everything that is left to chance.")
    parser.add_argument("--latency", type=float, default=0.0, help="Mean seconds that an answer takes.")
    parser.add_argument("--latency-sigma", type=float, default=0.0, help="Log-normal spread of the latency.")
    parser.add_argument("--batch-seconds", type=float, help="Seconds that a batch of OpenAI takes, however long.")
    parser.add_argument("--tier", choices=list(DEFAULT_LIMITS), default="Build", help="Usage tier of the limits.")
    parser.add_argument("--rpm", type=float, help="Requests per minute for every model; 0 is no limit.")
    parser.add_argument("--tpm", type=float, help="Tokens per minute for every model; 0 is no limit.")
    parser.add_argument("--depth", type=float, default=60.0, help="Seconds of allowance that can be saved up.")
    parser.add_argument("--count-refused", action="store_true", help="Refused requests use the allowance too.")
    parser.add_argument("--brevo-scale", type=float, default=1.0, help="Factor on Brevo's limits; 2 is a larger plan.")
    parser.add_argument(
        "--deployment", action="append", default=[], type=_read_deployment, metavar="NAME=MODEL",
        help="A deployment of the emulated Azure; each model's own name is one already.",
    )  # fmt: skip
    parser.add_argument("--fast", action="store_true", help="One fixed answer per set of questions, rough tokens.")
    parser.add_argument("--keep", type=int, default=100_000, help="Entries that each log keeps; 0 only counts.")
    return parser.parse_args(arguments)


def _read_deployment(text: str) -> tuple[str, str]:
    name, sign, model = text.partition("=")
    if not (name and sign and model):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MODEL")
    return name, model


def main(arguments: list[str] | None = None) -> None:
    """Serve with the limits and the latency given on the command line."""
    given = _parse(arguments)
    latency = {"openai": Latency(given.latency, given.latency_sigma)}
    if given.batch_seconds is not None:
        latency["openai.batches"] = Latency(given.batch_seconds)
    world = World(SystemClock(), seed=given.seed, latency=latency, keep=given.keep)
    limits = dict(load_models().limits(given.tier))
    default = DEFAULT_LIMITS[given.tier]
    if given.rpm is not None or given.tpm is not None:
        limits, default = {}, Limit(rpm=given.rpm or None, tpm=given.tpm or None)
    limiter = Limiter(
        world.clock, limits, default=default, depth_seconds=given.depth, count_refused=given.count_refused
    )
    openai = build_openai_app(world, limiter=limiter, fast=given.fast)
    deployments = dict(given.deployment)
    serve(world, given.host, given.port, openai=openai, brevo_scale=given.brevo_scale, deployments=deployments)


if __name__ == "__main__":
    main()
