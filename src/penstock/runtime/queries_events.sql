-- Every statement of conversion events, by name. Written so that SQLite and PostgreSQL both take it.

-- name: event_destinations
select id, connection, pixel, validate_only, state, problem, failures, since, retry_at from event_destinations order by id;

-- name: add_event_destination
insert into event_destinations (id, connection, pixel, validate_only)
select coalesce(max(id), 0) + 1, :connection, :pixel, :validate_only from event_destinations;

-- name: find_event_destination
select id from event_destinations where connection = :connection and pixel = :pixel and validate_only = :validate_only;

-- name: pause_event_destination
update event_destinations set state = 'paused', problem = :problem, since = :at
where connection = :connection and pixel = :pixel and state <> 'paused';

-- name: resume_event_destination
update event_destinations set state = 'open', problem = '', failures = 0, since = 0, retry_at = 0
where id = :id;

-- name: delay_event_destination
update event_destinations set failures = failures + 1, problem = :problem, retry_at = :retry_at,
  since = case when failures = 0 then :at else since end
where id = :id and state = 'open';

-- name: recover_event_destination
update event_destinations set failures = 0, problem = '', since = 0, retry_at = 0
where id = :id and state = 'open' and failures > 0;

-- name: known_events
select e.event_id, e.name, d.pixel, e.number from events e
join event_destinations d on d.id = e.destination
where e.event_id in (:keys) and e.queued_at >= :since and e.state in ('waiting', 'delivered')
  and d.validate_only = 0;

-- name: count_waiting_events
select coalesce(sum(events), 0) from event_counts where state = 'waiting';

-- name: count_events
insert into event_counts (day, destination, name, state, code, events)
values (:day, :destination, :name, :state, :code, :events)
on conflict (day, destination, name, state, code) do update set events = event_counts.events + excluded.events;

-- name: event_counts
select c.day, d.id, d.connection, d.pixel, d.validate_only, d.state, c.name, c.state, c.code, c.events
from event_counts c join event_destinations d on d.id = c.destination
where c.events <> 0 and c.day >= :since order by c.day, d.id, c.name, c.state, c.code;

-- name: event_load
select count(*), coalesce(sum(size), 0), min(queued_at), min(happened_ms) from (
  select size, queued_at, happened_ms from events
  where destination = :destination and state = 'waiting' and batch = 0 and happened_ms <= :newest
  order by happened_ms, number limit :limit
) as nearest;

-- name: free_events
select number, size from events
where destination = :destination and state = 'waiting' and batch = 0
  and happened_ms >= :oldest and happened_ms <= :newest
order by happened_ms, number limit :limit;

-- name: claim_events
update events set batch = :batch where number in (:keys) and state = 'waiting' and batch = 0 returning number;

-- name: expire_events
update events set state = 'expired', code = :code, problem = :problem, settled_at = :at where number in (
  select number from events where destination = :destination and state = 'waiting' and batch = 0
  and happened_ms < :oldest order by happened_ms, number limit :limit
) returning name, happened_ms;

-- name: end_event_batch
update event_batches set session = '' where id = :id;

-- name: open_event_batches
select session, id, members from event_batches where session <> '';

-- name: event_bodies
select b.number, b.body, e.attempts from event_bodies b join events e on e.number = b.number
where b.number in (:keys);

-- name: settle_events
update events set state = :state, code = :code, problem = :problem, settled_at = :at, attempts = attempts + 1
where number in (:keys) and state = 'waiting' and batch = :batch returning name, happened_ms;

-- name: release_events
update events set batch = 0, attempts = attempts + :tried where number in (:keys) and state = 'waiting' and batch = :batch
returning number;

-- name: event_outcome
select state, problem from events where number = :number;

-- name: events_by_id
select e.number, e.event_id, e.name, d.pixel, d.connection, d.validate_only, e.source, e.place, e.state, e.code,
  e.problem, e.happened_ms, e.queued_at, e.settled_at, e.attempts, e.traits, e.batch, d.state, d.problem
from events e join event_destinations d on d.id = e.destination where e.event_id = :event_id order by e.number;

-- name: newest_events
select e.number, e.event_id, e.name, d.pixel, d.connection, d.validate_only, e.source, e.place, e.state, e.code,
  e.problem, e.happened_ms, e.queued_at, e.settled_at, e.attempts, e.traits, e.batch, d.state, d.problem
from events e join event_destinations d on d.id = e.destination
where (:state = '' or e.state = :state) and (:held = '' or d.state = :held) and (:code = '' or e.code = :code)
  and (:source = '' or e.source = :source) and e.queued_at >= :since and e.queued_at < :until
order by e.number desc limit :limit;

-- name: events_after
select e.number, e.event_id, e.name, d.pixel, d.connection, d.validate_only, e.source, e.place, e.state, e.code,
  e.problem, e.happened_ms, e.queued_at, e.settled_at, e.attempts, e.traits, e.batch, d.state, d.problem
from events e join event_destinations d on d.id = e.destination
where e.number > :after and (:state = '' or e.state = :state) and (:held = '' or d.state = :held)
  and (:code = '' or e.code = :code) and (:source = '' or e.source = :source)
  and e.queued_at >= :since and e.queued_at < :until
order by e.number limit :limit;

-- name: event_body
select body, notes from event_bodies where number = :number;

-- name: event_changes
select at, state, problem, batch from event_changes where number = :number order by id;

-- name: event_attempts
select id, at, seconds, kind, status, code, message, events, accepted, headers, response, members from event_attempts
where batch in (:keys);

-- name: replayable_ids
select number from events where event_id in (:keys) and state in ('rejected', 'expired', 'delivered', 'validated');

-- name: replayable_events
select number from events where number > :after and state in ('rejected', 'expired', 'delivered', 'validated')
  and (:state = '' or state = :state) and (:code = '' or code = :code)
  and queued_at >= :since and queued_at < :until
order by number limit :limit;

-- name: ended_events
select e.number, e.destination, e.name, e.happened_ms, e.state, e.code, e.batch, length(b.body)
from events e left join event_bodies b on b.number = e.number
where e.number in (:keys) and e.state in ('rejected', 'expired', 'delivered', 'validated');

-- name: replay_events
update events set state = 'waiting', code = '', problem = '', settled_at = null, batch = 0
where number in (:keys) returning number;

-- name: event_quality
select d.validate_only, e.state, e.code, e.traits, count(*),
  sum(e.queued_at - e.happened_ms / 1000.0), max(e.queued_at - e.happened_ms / 1000.0),
  sum(case when e.queued_at - e.happened_ms / 1000.0 > 3600 then 1 else 0 end),
  sum(case when e.queued_at - e.happened_ms / 1000.0 > 86400 then 1 else 0 end),
  sum(coalesce(e.settled_at, e.queued_at) - e.queued_at)
from events e join event_destinations d on d.id = e.destination where e.queued_at >= :since
group by d.validate_only, e.state, e.code, e.traits;

-- name: alike_events
select count(*), sum(copies), min(one) from (
  select count(distinct event_id) as copies, min(event_id) as one from events
  where queued_at >= :since and state in ('waiting', 'delivered') group by destination, name, happened_ms, likeness
  having count(distinct event_id) > 1
) as groups;

-- name: old_event_bodies
select b.number from event_bodies b join events e on e.number = b.number
where b.number < :before and e.state <> 'waiting' and e.settled_at < :settled order by b.number limit :limit;

-- name: old_events
select number from events where number < :before and state <> 'waiting' order by number limit :limit;

-- name: drop_event_bodies
delete from event_bodies where number in (:keys) returning number;

-- name: drop_events
delete from events where number in (:keys) and state <> 'waiting' returning number;

-- name: drop_event_changes
delete from event_changes where number in (:keys) returning id;

-- name: old_event_attempts
select id from event_attempts where id < :before order by id limit :limit;

-- name: drop_event_attempts
delete from event_attempts where id in (:keys) returning batch;

-- name: drop_event_batches
delete from event_batches where id in (:keys) and session = '' returning id;

-- name: count_event_attempts
select count(*) from event_attempts;
