-- What is kept of people, found by person, and who must not come back.

-- name: salt
select salt from salts where name = :of;

-- name: make_salt
insert into salts (name, salt) values (:name, :salt) on conflict (name) do nothing;

-- name: bar
insert into barred (mark, reason, at) values (:mark, :reason, :at) on conflict (mark, reason) do nothing;

-- name: unbar
delete from barred where mark = :mark and reason = :reason;

-- name: barred_of
select mark, reason from barred where mark in (:keys);

-- name: items_of_person
select flow, key, owner, answers, output, place, run, at, state, made from items where owner in (:keys) or key in (:keys);

-- name: drop_item
delete from items where flow = :flow and key = :key;

-- name: effects_like
select flow, sink, kind, target, match, fields, confirmed_fields, state, receipt, at, run from effects
where lower(match) like :like or lower(target) like :like or lower(fields) like :like
  or lower(coalesce(confirmed_fields, '')) like :like;

-- name: drop_effect
delete from effects where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: letters_like
select id, flow, key, record, message, place from dead_letters
where lower(record) like :like or lower(key) like :like or lower(message) like :like or lower(place) like :like;

-- name: letters_of_keys
select id, flow, key from dead_letters where key in (:keys);

-- name: drop_letter
delete from dead_letters where id = :id;

-- name: lookups_like
select run, name, key, body from lookups where lower(key) like :like or lower(body) like :like;

-- name: drop_lookup
delete from lookups where run = :run and name = :name and key = :key;

-- name: cursors_like
select id, cursor from runs where state = 'done' and lower(coalesce(cursor, '')) like :like;

-- name: drop_cursor
update runs set cursor = null where id = :id;

-- name: definitions_of
select id, definition from runs where id in (:keys);

-- name: messages_after
select id, body from inbox where id > :after order by id limit :limit;

-- name: drop_message
delete from inbox where id = :id;

-- name: replies_after
select key, who, body from replies where key || ' ' || who > :after order by key || ' ' || who limit :limit;

-- name: drop_reply
delete from replies where key = :key and who = :who;

-- name: event_bodies_after
select b.number, b.body, b.notes, e.destination, e.state, e.batch from event_bodies b join events e on e.number = b.number
where b.number > :after order by b.number limit :limit;

-- name: withdraw_events
update events set state = 'opted out', code = 'privacy.forgotten', settled_at = :at
where number in (:keys) and state = 'waiting' and batch = 0 returning name, happened_ms;

-- name: lines_of_keys
select id, state from batch_lines where key in (:keys);

-- name: drop_waiting_line
delete from batch_lines where id = :id and state <> 'batched';

-- name: drop_unconfirmed_effect
delete from effects where flow = :flow and sink = :sink and kind = :kind and target = :target and confirmed is null;

-- name: restore_effect
update effects set state = 'confirmed', wanted = confirmed
where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: oldest_planned
select min(at) from effects where flow = :flow and sink = :sink and state = 'planned';
