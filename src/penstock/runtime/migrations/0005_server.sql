-- Who may use the HTTP service: a token is kept only as a hash.
create table tokens (
    name text primary key,
    hash $BLOB not null,
    allow text not null,               -- words separated by commas: events, work, metrics
    mapping text not null,             -- how the events of this source are read; empty when the request says it
    created_at $REAL not null
);

-- Answers to writes that carried an Idempotency-Key.
create table replies (
    who text not null,
    key text not null,
    request $BLOB not null,            -- hash of what was asked
    session text not null,
    state text not null,               -- open, done
    status bigint not null default 0,
    headers text not null default '{}',
    body $BLOB not null,
    at $REAL not null,
    primary key (key, who)
)$WITHOUT_ROWID;
create index replies_by_time on replies (at);

-- What vendors told by webhook.
create table inbox (
    id $ID,
    vendor text not null,
    message text not null,             -- the vendor's id of the delivery
    type text not null,
    body $BLOB not null,
    state text not null,               -- waiting, taken, done, failed
    session text not null default '',
    attempts bigint not null default 0,
    problem text not null default '',
    due_at $REAL not null,
    at $REAL not null
);
create unique index inbox_once on inbox (message, vendor);
create index inbox_due on inbox (due_at) where state = 'waiting';
create index inbox_taken on inbox (session) where state = 'taken';
