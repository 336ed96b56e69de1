-- Records that a flow computed from others, complete ones by batch.
create table made (
    batch text primary key,            -- names all that the records follow from
    flow text not null,
    count bigint not null,
    at $REAL not null
)$WITHOUT_ROWID;
create index made_of_flow on made (flow);

create table made_rows (
    batch text not null,
    number bigint not null,
    key text not null,
    place text not null,
    data $BLOB not null,               -- JSON
    primary key (batch, number)
)$WITHOUT_ROWID;
create index made_rows_of_key on made_rows (key);
