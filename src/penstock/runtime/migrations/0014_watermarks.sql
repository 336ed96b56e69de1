-- Up to where a flow has read a source that can tell what changed since.
create table watermarks (
    flow text not null,
    source text not null,              -- its identity, with the account
    basis text not null,               -- hash of all that results rest on beside the records
    place text not null,               -- the source's own
    total bigint,                      -- records that there were
    at $REAL not null,
    reconciled_at $REAL not null,      -- when what is kept was last compared with what is there
    primary key (flow, source)
)$WITHOUT_ROWID;
