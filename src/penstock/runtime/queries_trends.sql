-- Judgements over time, read person by person.

-- name: newest_dated
select max(dated) from items where flow = :flow and state = 'done' and dated <= :now;

-- name: judged_by_owner
select owner, key, dated, output from items
where flow = :flow and state = 'done' and (owner, key) > (:owner, :key)
order by owner, key limit :limit;

-- name: judged_of_owner
select owner, key, dated, output from items where owner = :owner and flow = :flow and state = 'done' order by key;

-- name: states_of_sink
select kind, target, match, fields, wanted, confirmed_fields, state, attempts, problem from effects
where flow = :flow and sink = :sink and kind in ('attributes', 'list') and (kind, target) > (:kind, :target)
order by kind, target limit :limit;

-- name: newest_of_owners
select owner, max(at) from items where flow = :flow and state = 'done' and owner in (:keys) group by owner;
