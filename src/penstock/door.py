"""The one synchronous door, for scripts and notebooks.

from penstock.door import Penstock

with Penstock("project", sandbox=True) as penstock:
    result = penstock.respond(text="Write one line about rain.")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

from penstock.calls import Piece, parse_options
from penstock.flows.engine import Report
from penstock.flows.plan import Plan
from penstock.operations.catalogue import all_operations
from penstock.operations.result import Result
from penstock.workspace import Workspace

T = TypeVar("T")


class Penstock:
    """A workspace for code that does not await; every operation is a method, with its inputs as arguments.

    Settings are given by name, with `_` for the dots and hyphens: `Penstock(".", sandbox=True)`.
    Close it, or use it in a `with` block. It belongs to one thread that runs no event loop.
    """

    def __init__(self, folder: Path | str = ".", **settings: Any) -> None:
        """Open the workspace in `folder`; raises `SettingsError` for wrong settings."""
        self._runner = asyncio.Runner()
        self._closing = AsyncExitStack()
        opened = Workspace.open(Path(folder), overrides=_setting_names(settings), command="python")
        try:
            self.workspace: Workspace = self._run(self._closing.enter_async_context(opened))
        except BaseException:
            self._runner.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the workspace."""
        self._run(self._closing.aclose())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Result]:
        wanted = name.replace("_", "-")
        if wanted not in {entry.name for entry in all_operations()}:
            raise AttributeError(name)
        return lambda **values: self.call(wanted, values)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(entry.name.replace("-", "_") for entry in all_operations())]

    def call(self, name: str, values: Mapping[str, Any], **options: Any) -> Result:
        """Run one operation by its name; `options` are those of `penstock.calls.CallOptions`."""
        return self._run(self.workspace.operations.call(name, values, parse_options(options)))

    def stream(self, name: str, values: Mapping[str, Any], **options: Any) -> Iterator[Piece | Result]:
        """Run one operation and yield its text as it comes, then its result; see `penstock.calls.Operations.stream`."""
        parts = self.workspace.operations.stream(name, values, parse_options(options))

        async def step() -> Piece | Result | None:
            return await anext(parts, None)

        try:
            while (part := self._run(step())) is not None:
                yield part
        finally:
            self._run(parts.aclose())

    def plan(self, flow: Path | str, *, by: str | None = None, all_records: bool = False) -> Plan:
        """Return what running a flow would do and cost; `by` is a deadline such as `24h`."""
        return self._run(self.workspace.plan(Path(flow), by=by, all_records=all_records))

    def run(
        self,
        flow: Path | str,
        *,
        budget: float | None = None,
        by: str | None = None,
        apply_schema: bool = False,
        all_records: bool = False,
    ) -> Report:
        """Run a flow, or go on with its unfinished run.

        `budget` is in dollars, `by` a deadline such as `24h`; `all_records` reads unchanged ones too.
        """
        return self._run(
            self.workspace.run(Path(flow), budget=budget, by=by, apply_schema=apply_schema, all_records=all_records)
        )

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def _setting_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Find the settings that are meant by names with `_` for the dots and hyphens."""
    from penstock.base.settings import BY_NAME

    plain = {name.replace(".", "_").replace("-", "_"): name for name in BY_NAME}
    return {plain.get(name, name): value for name, value in given.items()}
