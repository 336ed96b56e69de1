-- Parameters that a model refused over a connection, learnt from its 400s, so that they are not sent again.
create table refusals (
    account text not null,
    model text not null,
    parameter text not null,
    at $REAL not null,
    primary key (account, model, parameter)
);
