"""The only module that knows DBOS (`dbos` 3.4, the MIT core): blocking calls on one database, in its own words.

Its defaults are replaced where they cost durability or work: SQLite runs with write-ahead
log and full sync, records are JSON and never pickled, the version is a constant, queues are
polled five times a second (a process's own once), nothing is exported and nothing is printed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

from penstock.base.clock import SystemClock
from penstock.base.errors import DefectError, InputError, PenstockError, StoppedError
from penstock.base.redact import redact
from penstock.base.types import Problem
from penstock.runtime.steps import JSON, Interrupted, Lost, RecordedError, unpack_error
from penstock.runtime.workers import Executor

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions, WorkflowStatus
    from dbos import WorkflowSchedule as ScheduleRow
    from sqlalchemy import Connection, Engine

    Row: TypeAlias = WorkflowStatus

Run = Callable[[str, tuple[JSON, ...]], JSON]
"""Executes a job of one name in the engine's thread, from its id and arguments."""

APPLICATION = "penstock"
VERSION = "1"
"""Goes up only when the order of recorded steps changes: workers take up work of their own version alone."""

POLL_SECONDS, OWN_POLL_SECONDS = 0.2, 1.0
"""A look into a queue costs about 3 ms of processor; a process's own holds only what it took over from the dead."""
MAX_ATTEMPTS = 50
"""A job that was taken up this often without an outcome kills its workers, and is given up."""

PAGE = 1000

State = Literal["waiting", "running", "done", "failed", "cancelled"]

STATES: Mapping[str, State] = {
    "DELAYED": "waiting",
    "ENQUEUED": "waiting",
    "PENDING": "running",
    "SUCCESS": "done",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}


class Job(msgspec.Struct, frozen=True):
    """What is known of a job. Times are seconds since 1970; `worker` ran it last."""

    id: str
    name: str
    state: State
    queue: str
    worker: str
    created: float
    finished: float | None
    problem: Problem | None


def open_engine(database: str | Path | Engine) -> Engine:
    """Return an engine for a path, a `sqlite:///` or a `postgresql://` URL; connects when first used."""
    import sqlalchemy as sa

    if isinstance(database, sa.Engine):
        return database
    text = str(database)
    if text.startswith(("postgresql://", "postgres://")):
        url = sa.make_url(text.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg")
        arguments = {"connect_timeout": 10, "options": "-c idle_in_transaction_session_timeout=60000"}
        engine = sa.create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=arguments)
        sa.event.listen(engine, "do_connect", _connect_postgres)
        return engine
    path = Path(text.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), pool_size=10, max_overflow=40)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _connect_postgres(dialect: Any, _record: Any, positional: Any, named: Any) -> Any:
    """Connect, and give each failure a state by which the engine knows to try again until the server is back."""
    import psycopg

    try:
        return dialect.connect(*positional, **named)
    except psycopg.OperationalError as error:
        raise psycopg.errors.SqlclientUnableToEstablishSqlconnection(str(error)) from error


def explain(error: Exception) -> PenstockError | None:
    """Say in words what an error of the database means; None for any other error."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    if not isinstance(error, SQLAlchemyError):
        return None
    reason = redact(str(error.orig if isinstance(error, DBAPIError) else error)).strip()
    return StoppedError(
        f"the database of the jobs cannot be used: {reason}",
        code="job.no-database",
        hint="Mend the cause (space on the disk, the server, PENSTOCK_DATABASE_URL) and run the same command again: "
        "it goes on behind the last recorded step.",
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"  # writers queue up instead of failing half way
    for pragma in ("busy_timeout = 30000", "journal_mode = wal", "synchronous = full", "foreign_keys = on"):
        connection.execute(f"pragma {pragma}")
    if sqlite3.sqlite_version_info < (3, 42):  # the engine asks for unixepoch('subsec'), which older libraries lack
        connection.create_function("unixepoch", 1, lambda _unit: SystemClock().now())


class DbosEngine:
    """The engine on one database: every process may ask it, one that called `launch` executes."""

    _launched: ClassVar[DbosEngine | None] = None

    def __init__(self, engine: Engine) -> None:
        from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

        _silence()
        self.engine = engine
        self._serializer = DBOSPortableJSONSerializer()
        self._entries: dict[str, Callable[[JSON], JSON]] = {}
        DBOS.migrate(engine.url.render_as_string(hide_password=False))
        self.client: DBOSClient = DBOSClient(
            system_database_engine=engine, serializer=self._serializer, application_name=APPLICATION
        )

    def launch(
        self, executor: Executor, queues: Mapping[str, int | None], listen: Sequence[str], runs: Mapping[str, Run]
    ) -> None:
        """Start executing: what `listen` names of `queues`, with `runs` by job name."""
        from dbos import DBOS, DBOSConfig

        if DbosEngine._launched is not None:
            raise DefectError("this process executes jobs of another database already", code="job.second-engine")
        DbosEngine._launched = self
        for name, at_once in queues.items():
            pause = POLL_SECONDS if at_once else OWN_POLL_SECONDS
            self.client.register_queue(name, worker_concurrency=at_once, polling_interval_sec=pause)
        for name, run in runs.items():
            self._entries[name] = DBOS.workflow(name=name, max_recovery_attempts=MAX_ATTEMPTS)(_entry(run))
        config = DBOSConfig(
            name=APPLICATION,
            system_database_engine=self.engine,
            executor_id=str(executor),
            application_version=VERSION,
            serializer=self._serializer,
            use_listen_notify=False,
            run_migrations=False,
            enable_otlp=False,
            log_level="WARNING",
            notification_listener_polling_interval_sec=0.1,  # unused, but its thread is waited for at the end
            scheduler_polling_interval_sec=5.0,
        )
        DBOS(config=config)
        DBOS.listen_queues(listen)
        DBOS.launch()

    def close(self) -> None:
        """Stop executing and let go of the database; jobs must have ended or been interrupted before."""
        from dbos import DBOS

        if DbosEngine._launched is self:
            DBOS.destroy(destroy_registry=True)
            DbosEngine._launched = None
        self.client.destroy()

    def execute(self, name: str, job_id: str, payload: JSON) -> tuple[JSON] | None:
        """Execute a new job in this thread and return its result; None when the id exists already.

        Raises `RecordedError` and `Interrupted`.
        """
        from dbos import SetWorkflowID, error

        try:
            with SetWorkflowID(job_id, workflow_id_reuse_policy="reject"):
                return (self._entries[name](payload),)
        except error.DBOSWorkflowIDInUseError:
            return None

    def find(self, job_id: str) -> Row:
        """Return what is recorded of a job; raises `InputError` for an unknown id."""
        rows = self.client.list_workflows(workflow_ids=[job_id], load_input=False)
        if not rows:
            raise InputError(
                f"there is no job {job_id!r}",
                code="job.unknown",
                hint="Look at the id; a finished job is deleted after its time.",
            )
        return rows[0]

    def enqueue(
        self, name: str, job_id: str, payload: JSON, queue: str, priority: int, within: Connection | None
    ) -> None:
        """Put a job in a queue, inside the transaction `within` where given; an id that exists is left as it is."""
        options: EnqueueOptions = {
            "workflow_name": name,
            "workflow_id": job_id,
            "queue_name": queue,
            "app_version": VERSION,
        }
        if priority > 0:  # the engine's own default is 0, the highest, and it refuses to be told so
            options["priority"] = priority
        if within is None:
            self.client.enqueue(options, payload)
        else:
            self.client.enqueue_in_transaction(within, options, payload)

    def resume(self, job_id: str, queue: str) -> None:
        """Put a job that has neither result nor error in a queue, wherever it was."""
        self.client.resume_workflow(job_id, queue_name=queue)

    def retry(self, job_id: str, queue: str) -> None:
        """Put a failed job in a queue, to go on behind the last step that succeeded."""
        steps = self.client.list_workflow_steps(job_id)
        last = steps[-1] if steps else None
        start = 1 if last is None else last["function_id"] + (0 if last["error"] is not None else 1)
        self.client.rewind_workflow(job_id, start_step=start, queue_name=queue)

    def reclaim(self, row: Row, queue: str) -> bool:
        """Put the job of a dead executor back in its queue, or in `queue`; false when another process was faster.

        Counts as an attempt, unlike `resume`, so that a job that kills its workers comes to an end.
        """
        database = self.client._sys_db  # noqa: SLF001 - the public `resume` forgets the attempts and the queue
        return database.reenqueue_for_recovery(row.workflow_id, [str(row.executor_id)], queue)

    def running(self) -> list[Row]:
        """Return the jobs that some executor has taken up."""
        return self.client.list_workflows(status="PENDING", load_input=False, load_output=False, limit=PAGE)

    def waiting_in(self, queue: str) -> list[Row]:
        """Return the jobs that wait in a queue."""
        return self.client.list_workflows(status="ENQUEUED", queue_name=queue, load_input=False, load_output=False)

    def forget(self, states: list[str], before: str) -> int:
        """Delete jobs in `states` that ended before an ISO time; returns how many."""
        count = 0
        while rows := self.client.list_workflows(
            status=states, completed_before=before, limit=PAGE, load_input=False, load_output=False
        ):
            self.client.delete_workflows([row.workflow_id for row in rows])
            count += len(rows)
        return count

    def schedule(self, name: str, job: str, cron: str, payload: JSON, tz: str, queue: str) -> None:
        """Create or change an entry of the calendar; raises `InputError` when it is not understood."""
        from dbos import error

        try:
            self.client.apply_schedules(
                [
                    {
                        "schedule_name": name,
                        "workflow_name": job,
                        "schedule": cron,
                        "context": payload,
                        "automatic_backfill": True,
                        "cron_timezone": tz,
                        "queue_name": queue,
                    }
                ]
            )
        except error.DBOSException as refusal:
            raise InputError(
                f"the schedule {name!r} is not understood: {refusal.message}",
                code="schedule.invalid",
                hint="For example `0 6 * * 1-5` for 6:00 on working days, with a time zone such as Europe/Paris.",
            ) from refusal

    def schedules(self) -> Iterable[ScheduleRow]:
        """Return the calendar."""
        return self.client.list_schedules()


def error_of(row: Row) -> PenstockError:
    """Return why a job has no result."""
    if row.status == "CANCELLED":
        return StoppedError(
            f"the job {row.workflow_id} was cancelled", code="job.cancelled", hint="`run` takes it up again."
        )
    if row.status != "ERROR":
        return StoppedError(
            f"the job {row.workflow_id} was given up: it took its worker down each time it was tried",
            code="job.given-up",
            hint="Look at the worker's memory and log, mend the cause, then run the job again.",
        )
    return unpack_error(getattr(row.error, "data", None), str(row.error))


def describe(row: Row) -> Job:
    """Return a record in our own words."""
    state = STATES[row.status]
    return Job(
        id=row.workflow_id,
        name=row.name,
        state=state,
        queue=row.queue_name or "",
        worker=row.executor_id or "",
        created=(row.created_at or 0) / 1000,
        finished=None if row.completed_at is None else row.completed_at / 1000,
        problem=Problem.from_error(error_of(row)) if state in ("failed", "cancelled") else None,
    )


def record_step(name: str, work: Callable[[], JSON]) -> JSON:
    """Run `work` as the next step of the job that this thread executes, or return its record."""
    from dbos import DBOS, PortableWorkflowError, error

    try:
        return DBOS.run_step({"name": name}, work)
    except PortableWorkflowError as record:
        raise RecordedError(unpack_error(record.data, record.message)) from record
    except error.DBOSBaseException as verdict:
        raise Lost from verdict
    except error.DBOSUnexpectedStepError as verdict:
        defect = DefectError(
            f"the recorded steps of this job differ from what it does now: {verdict}", code="job.changed"
        )
        raise RecordedError(defect) from verdict


def _entry(run: Run) -> Callable[..., JSON]:
    def execute(*given: JSON) -> JSON:
        from dbos import DBOS

        job_id = DBOS.workflow_id
        if job_id is None:
            raise Interrupted
        return run(job_id, given)

    return execute


class _Redact(logging.Filter):
    """Keeps keys and personal data out of the engine's own log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text} {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        record.msg, record.args, record.exc_info = redact(text), (), None
        return True


def _silence() -> None:
    """Let the engine log through `logging` only: with a handler present it adds none for the terminal."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_Redact())
        logger.setLevel(logging.WARNING)
