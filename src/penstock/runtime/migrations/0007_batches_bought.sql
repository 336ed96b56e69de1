-- Requests that are bought through the vendor's Batch API, and the batches that carry them.

create table batch_lines (
    id $ID,
    key $BLOB not null,                -- the address of the answer
    run text not null,
    flow text not null,
    connection text not null,
    path text not null,
    model text not null,
    ask $BLOB not null,                -- the request, as JSON; empty once it is answered
    custom_id text not null,           -- the key as text: what the vendor repeats
    size bigint not null,              -- bytes of its line
    tokens bigint not null,            -- of its input, estimated
    inputs bigint not null,            -- texts to embed, else 1
    most bigint,                       -- picodollars that it can cost in a batch
    state text not null,               -- waiting, batched, done, refused, live (to be bought by itself)
    batch text not null default '',
    call bigint not null default 0,    -- its row in `calls` while it is in a batch
    reserved bigint,
    attempts bigint not null default 0,
    problem text not null default '',  -- JSON: why it was refused
    used bigint not null default 0     -- tokens, once it is answered
);
create unique index batch_lines_once on batch_lines (key);
create index batch_lines_waiting on batch_lines (run, connection, path, model, id) where state = 'waiting';
create index batch_lines_batched on batch_lines (batch, id) where state = 'batched';
create index batch_lines_of_run on batch_lines (run, state);

create table batches (
    id text primary key,               -- ours; travels in the metadata, so that it is found when a reply was lost
    run text not null,
    flow text not null,
    connection text not null,
    path text not null,
    model text not null,
    state text not null,               -- prepared, creating, open, over
    status text not null default '',   -- the vendor's word
    lines bigint not null,
    tokens bigint not null,
    completed bigint not null default 0,
    failed bigint not null default 0,
    file text not null default '',     -- the vendor's ids
    vendor_id text not null default '',
    session text not null,             -- the process that follows it
    reserved_at $REAL not null,
    due_at $REAL not null,             -- when to look at it again
    polls bigint not null default 0,
    created_at $REAL,
    ended_at $REAL,
    problem text not null default ''
);
create index batches_open on batches (session) where state <> 'over';
create index batches_by_vendor_id on batches (vendor_id) where state = 'open';

-- How a run buys, and until when: what it was begun with holds when it goes on.
create table run_modes (
    run text primary key,
    mode text not null
);
