-- $ID, $BLOB and $REAL are the dialect's words for an integer key, bytes and a double.
-- What tells rows apart stands first in a key: SQLite keeps no statistics by itself, and would take a leading column
-- that is the same in every row for a narrow one and read a whole flow for one contact.

create table sessions (
    id text primary key,
    host text not null,
    pid bigint not null,
    command text not null,
    started_at $REAL not null,
    ended_at $REAL
);

-- One row per call that was allowed to leave. The id is made by the program, so that it grows with time.
create table calls (
    id $ID,
    session text not null,
    run text not null,
    flow text not null,
    operation text not null,
    connection text not null,
    model text not null,
    tier text not null,
    state text not null,               -- sent, done, failed, unknown
    reserved bigint,                   -- picodollars; null when the price is not known
    cost bigint,                       -- picodollars; null until known
    input bigint not null default 0,
    cached bigint not null default 0,
    cache_write bigint not null default 0,
    output bigint not null default 0,
    reasoning bigint not null default 0,
    served_model text not null default '',
    request_id text not null default '',
    problem text not null default '',
    sent_at $REAL not null,
    settled_at $REAL
);
create index calls_open on calls (session) where state = 'sent';
create index calls_by_time on calls (sent_at);

-- Money per scope: run:…, flow:…, day:…, month:…. `held` belongs to calls whose outcome is unknown.
create table budgets (
    scope text primary key,
    spent bigint not null default 0,
    reserved bigint not null default 0,
    held bigint not null default 0,
    calls bigint not null default 0     -- that ended well
);

create table answers (
    id $ID,
    body $BLOB not null,
    at $REAL not null
);
create index answers_by_time on answers (at);
create table answer_keys (
    key $BLOB primary key,
    answer bigint not null
)$WITHOUT_ROWID;

create table corrections (
    operation text not null,
    model text not null,
    ratio $REAL not null,
    samples bigint not null,
    primary key (operation, model)
);

create table runs (
    id text primary key,
    flow text not null,
    definition text not null,          -- the flow as it was started, so that a later edit does not change it
    definition_hash text not null,
    path text not null,
    source text not null,              -- what the cursor belongs to
    state text not null,               -- running, done, failed, stopped
    session text not null,
    started_at $REAL not null,
    ended_at $REAL,
    cursor text,                       -- where the source goes on, moved in the transaction of what it covers
    counts text not null default '{}',
    problem text not null default ''
);
create index runs_by_flow on runs (flow, started_at);

-- What a flow knows of each record: the fingerprint that decides whether it must be asked again, and the result.
create table items (
    flow text not null,
    key text not null,
    owner text not null,               -- the contact that the record belongs to
    fingerprint $BLOB not null,
    state text not null,               -- done, failed
    output $BLOB not null,
    dated $REAL,
    answers text not null default '',
    place text not null default '',
    run text not null,
    at $REAL not null,
    primary key (key, flow)
)$WITHOUT_ROWID;
create index items_by_owner on items (owner, flow);

-- One row per intended write; `confirmed` is the hash of what the target was last known to hold.
create table effects (
    flow text not null,
    sink text not null,
    kind text not null,
    target text not null,
    match text not null,
    fields text not null,
    wanted $BLOB not null,
    confirmed $BLOB,
    confirmed_fields text,
    state text not null,               -- planned, sent, confirmed, rejected, conflict, unknown
    attempts bigint not null default 0,
    run text not null,
    session text not null default '',
    problem text not null default '',
    receipt text not null default '',
    at $REAL not null,
    primary key (target, sink, flow, kind)
)$WITHOUT_ROWID;
create index effects_planned on effects (flow, sink, kind, target) where state = 'planned';
create index effects_lost on effects (flow, sink, target) where state in ('sent', 'unknown');

create table dead_letters (
    id $ID,
    run text not null,
    flow text not null,
    stage text not null,               -- read, prepare, call, write
    key text not null,
    place text not null,
    code text not null,
    message text not null,
    hint text not null,
    record text not null,
    at $REAL not null,
    resolved_at $REAL
);
create index dead_letters_by_run on dead_letters (run, resolved_at);
create index dead_letters_by_key on dead_letters (flow, key);

create table lookups (
    run text not null,
    name text not null,
    key text not null,
    body text not null,
    primary key (run, name, key)
)$WITHOUT_ROWID;
