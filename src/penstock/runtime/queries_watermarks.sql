-- Up to where flows have read their sources, and what they keep of records that are gone.

-- name: watermark
select basis, place, total, at, reconciled_at from watermarks where flow = :flow and source = :source;

-- name: save_watermark
insert into watermarks (flow, source, basis, place, total, at, reconciled_at)
values (:flow, :source, :basis, :place, :total, :at, :reconciled_at)
on conflict (flow, source) do update set basis = excluded.basis, place = excluded.place, total = excluded.total,
  at = excluded.at, reconciled_at = excluded.reconciled_at;

-- name: forget_watermarks
delete from watermarks where flow = :flow;

-- name: forget_run_watermarks
delete from watermarks where flow = :flow and source like 'run %';

-- name: kept_keys
select key, place from items where flow = :flow and key > :after order by key limit :limit;

-- name: answers_of_keys
select answers from items where flow = :flow and key in (:keys);

-- name: drop_states
delete from effects where target = :target and flow = :flow and kind in ('attributes', 'list') and state <> 'sent';

-- name: bars_since
select count(*) from barred where reason = 'objected' and at > :at;
