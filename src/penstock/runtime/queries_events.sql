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

-- name: insert_event
insert into events (number, destination, event_id, name, source, place, state, code, problem, happened_ms, queued_at,
  settled_at, size, traits, likeness, batch)
values (:number, :destination, :event_id, :name, :source, :place, :state, :code, :problem, :happened_ms, :queued_at,
  :settled_at, :size, :traits, :likeness, :batch);

-- name: insert_event_body
insert into event_bodies (number, body, notes) values (:number, :body, :notes);

-- name: known_events
select e.event_id, e.name, d.pixel, e.number from events e
join event_destinations d on d.id = e.destination
where e.event_id in (:keys) and e.queued_at >= :since and e.state in ('waiting', 'delivered', 'opted out')
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

-- name: insert_event_batch
insert into event_batches (id, destination, session, at, members) values (:id, :destination, :session, :at, :members);

-- name: end_event_batch
update event_batches set session = '' where id = :id;

-- name: open_event_batches
select session, id, members from event_batches where session <> '';

-- name: event_bodies
select b.number, b.body, e.traits, e.attempts from event_bodies b join events e on e.number = b.number
where b.number in (:keys);

-- name: settle_events
update events set state = :state, code = :code, problem = :problem, settled_at = :at, attempts = attempts + 1
where number in (:keys) and state = 'waiting' and batch = :batch returning name, happened_ms;

-- name: release_events
update events set batch = 0, attempts = attempts + :tried where number in (:keys) and state = 'waiting' and batch = :batch
returning number;

-- name: insert_event_change
insert into event_changes (id, number, at, state, code, problem, batch)
values (:id, :number, :at, :state, :code, :problem, :batch);

-- name: insert_event_attempt
insert into event_attempts (id, batch, destination, at, seconds, kind, status, code, message, events, accepted, headers,
  response, members)
values (:id, :batch, :destination, :at, :seconds, :kind, :status, :code, :message, :events, :accepted, :headers,
  :response, :members);
