-- The number of the last transaction that a session committed: what to believe when the answer to a commit was lost.
alter table sessions add column batches bigint not null default 0;
