-- Statements of requests that go through the vendor's Batch API. Written so that SQLite and PostgreSQL both take it.

-- name: lines_of
select key, id, run, state, problem from batch_lines where key in (:keys);

-- name: put_line
insert into batch_lines (id, key, run, flow, connection, path, model, ask, custom_id, size, tokens, inputs, most, state)
values (:id, :key, :run, :flow, :connection, :path, :model, :ask, :custom_id, :size, :tokens, :inputs, :most, 'waiting');

-- name: drop_line
delete from batch_lines where id = :id;

-- name: claim_line
update batch_lines set run = :run, flow = :flow where id = :id;

-- name: kinds_waiting
select connection, path, model, count(*), coalesce(sum(tokens), 0) from batch_lines
where run = :run and state = 'waiting' group by connection, path, model order by connection, path, model;

-- name: lines_waiting
select id, size, tokens, inputs, most from batch_lines
where run = :run and state = 'waiting' and connection = :connection and path = :path and model = :model and id > :after
order by id limit :limit;

-- name: operations_of
select id, ask from batch_lines where id in (:keys);

-- name: take_line
update batch_lines set state = 'batched', batch = :batch, call = :call, reserved = :reserved where id = :id;

-- name: lines_batched
select id, key, custom_id, ask, call, reserved, attempts from batch_lines
where batch = :batch and state = 'batched' and id > :after order by id limit :limit;

-- name: lines_by_name
select id, key, custom_id, ask, call, reserved, attempts, batch from batch_lines
where state = 'batched' and custom_id in (:keys);

-- name: end_line
update batch_lines set state = :state, batch = :batch, attempts = attempts + :failed, problem = :problem, used = :used,
  ask = case when :state in ('done', 'refused') then :empty else ask end
where id = :id;

-- name: add_batch
insert into batches (id, run, flow, connection, path, model, state, lines, tokens, session, reserved_at, due_at)
values (:id, :run, :flow, :connection, :path, :model, 'prepared', :lines, :tokens, :session, :at, :at);

-- name: batch_creating
update batches set state = 'creating', file = :file where id = :id;

-- name: batch_created
update batches set state = 'open', vendor_id = :vendor_id, status = :status, created_at = :at, due_at = :due_at
where id = :id;

-- name: batch_seen
update batches set status = :status, completed = :completed, failed = :failed, polls = polls + 1, due_at = :due_at
where id = :id and state = 'open';

-- name: batch_over
update batches set state = 'over', status = :status, problem = :problem, ended_at = :at where id = :id;

-- name: batch_told
update batches set due_at = 0 where vendor_id = :vendor_id and state = 'open';

-- name: claim_batch
update batches set session = :session where id = :id;

-- name: batches_open
select id, run, flow, connection, path, model, state, status, lines, tokens, completed, failed, file, vendor_id,
  session, reserved_at, due_at, polls, created_at, ended_at, problem from batches where state <> 'over' order by id;

-- name: batches
select id, run, flow, connection, path, model, state, status, lines, tokens, completed, failed, file, vendor_id,
  session, reserved_at, due_at, polls, created_at, ended_at, problem from batches
where (:id = '' or id = :id) order by id desc limit :limit;

-- name: lines_of_run
select state, count(*), coalesce(sum(used), 0) from batch_lines where run = :run group by state;

-- name: drop_lines
delete from batch_lines where run = :run and state <> 'batched';

-- name: drop_earlier_lines
delete from batch_lines where flow = :flow and run <> :run and state <> 'batched';

-- name: save_mode
insert into run_modes (run, mode) values (:run, :mode) on conflict (run) do update set mode = excluded.mode;

-- name: mode_of
select mode from run_modes where run = :run;
