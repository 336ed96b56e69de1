-- What is kept of the last run of predictions: the model, and a summary of each customer's orders.
create table forecasts (
    name text primary key,
    header $BLOB not null,             -- packed
    at $REAL not null
)$WITHOUT_ROWID;

create table forecast_pieces (
    name text not null,
    number bigint not null,
    data $BLOB not null,               -- rows of customers, packed
    primary key (name, number)
)$WITHOUT_ROWID;
