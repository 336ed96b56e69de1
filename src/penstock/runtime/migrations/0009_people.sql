-- People who must not come back (forgotten) or must not be profiled (objected), as keyed hashes of their identifiers.
create table salts (
    name text primary key,
    salt $BLOB not null
);
create table barred (
    mark $BLOB not null,
    reason text not null,              -- forgotten, objected
    at $REAL not null,
    primary key (mark, reason)
)$WITHOUT_ROWID;
