-- The vector of each text that was embedded, found by an address of its own, whatever call it was bought in.
create table vectors (
    id $ID,
    body $BLOB not null,               -- little-endian 32-bit floats
    seal bigint not null,              -- CRC-32 of the body
    model text not null,               -- that served it
    cost bigint,                       -- picodollars: its share of the call; null when the price was not known
    at $REAL not null
);
create index vectors_by_time on vectors (at);
create table vector_keys (
    key $BLOB primary key,
    vector bigint not null
)$WITHOUT_ROWID;
