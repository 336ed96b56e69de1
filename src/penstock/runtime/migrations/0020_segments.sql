-- Segments of customers as they were found, by the flow that they belong to.
create table segment_versions (
    flow text not null,                -- its name, and the join where the source is one
    version bigint not null,
    at $REAL not null,
    recipe text not null,              -- hash of what they are found by
    model $BLOB not null,              -- centres, ids, and where customers were
    about $BLOB not null,              -- names, profiles, drift and map, as JSON
    primary key (flow, version)
)$WITHOUT_ROWID;

-- What people wish of the next run.
create table segment_wishes (
    flow text primary key not null,
    number bigint not null,            -- counts wishes, so that each is heard once
    wish text not null,                -- follow, anew, or nothing
    names text not null                -- names that people gave, as JSON
)$WITHOUT_ROWID;
