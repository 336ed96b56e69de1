-- Conversion events on their way to the vendor. `events` is narrow and changes; `event_bodies` is wide and only grows
-- until it is purged, so that a change of state never rewrites what was accepted.

create table event_destinations (
    id $ID,
    connection text not null,          -- which key
    pixel text not null,
    validate_only bigint not null,
    state text not null default 'open', -- open, paused
    problem text not null default '',  -- JSON: why it is paused, or what failed last
    failures bigint not null default 0, -- in a row
    since $REAL not null default 0,    -- from when on it is paused or fails
    retry_at $REAL not null default 0
);
create unique index event_destinations_once on event_destinations (connection, pixel, validate_only);

create table events (
    number $ID,
    destination bigint not null,
    event_id text not null,
    name text not null,                -- the event name that the vendor recognises duplicates by
    source text not null,
    place text not null,
    state text not null,               -- waiting, delivered, validated, rejected, expired, opted out, duplicate, refused
    code text not null default '',
    problem text not null default '',  -- JSON
    happened_ms bigint not null,
    queued_at $REAL not null,
    settled_at $REAL,
    size bigint not null,
    traits bigint not null,            -- bits: which identifiers and other parts it has
    likeness bigint not null,          -- equal for events that differ in their id only
    batch bigint not null default 0,   -- 0: in no batch
    attempts bigint not null default 0
);
create index events_by_id on events (event_id, name);
create index events_free on events (destination, happened_ms, number) where state = 'waiting' and batch = 0;

create table event_bodies (
    number $ID,
    body $BLOB not null,               -- the JSON object that is sent
    notes $BLOB not null               -- JSON: source record without values that were not sent, traces, warnings
);

create table event_batches (
    id $ID,
    destination bigint not null,
    session text not null,             -- who sends it; empty when it is done
    at $REAL not null,
    members $BLOB not null             -- numbers of its events, packed
);
create index event_batches_open on event_batches (session) where session <> '';

-- One row per request.
create table event_attempts (
    id $ID,
    batch bigint not null,
    destination bigint not null,
    at $REAL not null,
    seconds $REAL not null,
    kind text not null,
    status bigint not null,
    code text not null,
    message text not null,
    events bigint not null,
    accepted bigint,
    headers text not null,
    response $BLOB not null,
    members $BLOB not null             -- numbers of its events, packed; empty: the whole batch
);
create index event_attempts_by_batch on event_attempts (batch);

-- What happened to an event apart from its last batch: returned, taken over, replayed.
create table event_changes (
    id $ID,
    number bigint not null,
    at $REAL not null,
    state text not null,               -- the state that was left
    code text not null,
    problem text not null,
    batch bigint not null
);
create index event_changes_by_number on event_changes (number);

create table event_counts (
    day bigint not null,               -- days since 1970 (UTC) of the event's own time
    destination bigint not null,
    name text not null,
    state text not null,
    code text not null,
    events bigint not null,
    primary key (day, destination, name, state, code)
)$WITHOUT_ROWID;
