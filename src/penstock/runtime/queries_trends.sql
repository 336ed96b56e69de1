-- Judgements over time, read person by person.

-- name: newest_dated
select max(dated) from items where flow = :flow and state = 'done' and dated <= :now;

-- name: judged_by_owner
select owner, key, dated, output from items
where flow = :flow and state = 'done' and (owner, key) > (:owner, :key)
order by owner, key limit :limit;

-- name: judged_of_owner
select owner, key, dated, output from items where owner = :owner and flow = :flow and state = 'done' order by key;
