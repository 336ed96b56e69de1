-- Records that a flow computed from others.

-- name: made_batch
select count from made where batch = :batch;

-- name: made_rows
select number, key, place, data from made_rows
where batch = :batch and number >= :after order by number limit :limit;

-- name: clear_made_rows
delete from made_rows where batch = :batch;

-- name: clear_old_made_rows
delete from made_rows where batch in (select batch from made where flow = :flow and batch <> :batch);

-- name: clear_old_made
delete from made where flow = :flow and batch <> :batch;

-- name: finish_made
insert into made (batch, flow, count, at) values (:batch, :flow, :count, :at);

-- name: made_rows_of
select batch, number from made_rows where lower(key) in (:keys);

-- name: drop_made_row
delete from made_rows where batch = :batch and number = :number;
