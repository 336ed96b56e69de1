-- What was heard from Brevo, its contacts as last seen, and what customers said.

-- name: hooks
select account, type, connection, number, path, token, at from hooks order by account, type;

-- name: save_hook
insert into hooks (account, type, connection, number, path, token, at)
values (:account, :type, :connection, :number, :path, :token, :at)
on conflict (account, type) do update set connection = excluded.connection, number = excluded.number,
  path = excluded.path, token = excluded.token, at = excluded.at;

-- name: number_hook
update hooks set number = :number where account = :account and type = :type;

-- name: remove_hook
delete from hooks where account = :account and type = :type;

-- name: heard_of
select mark from heard where mark in (:keys);

-- name: hear
insert into heard (mark, at) values (:mark, :at) on conflict (mark) do nothing;

-- name: forget_heard
delete from heard where at < :before;

-- name: seen_of
select contact, seen, person from contacts_seen where account = :account and contact in (:keys);

-- name: see_contact
insert into contacts_seen (account, contact, person, seen, changed_at, sweep)
values (:account, :contact, :person, :seen, :changed_at, :sweep)
on conflict (account, contact) do update set person = excluded.person, seen = excluded.seen,
  changed_at = coalesce(excluded.changed_at, contacts_seen.changed_at),
  sweep = case when excluded.sweep > contacts_seen.sweep then excluded.sweep else contacts_seen.sweep end;

-- name: changed_contacts
select contact, changed_at from contacts_seen
where account = :account and changed_at is not null
  and (changed_at > :after or (changed_at = :after and contact > :contact))
order by changed_at, contact limit :limit;

-- name: missed_contacts
select contact, person from contacts_seen where account = :account and sweep < :sweep and contact > :after
order by contact limit :limit;

-- name: drop_contact
delete from contacts_seen where account = :account and contact = :contact;

-- name: drop_person
delete from contacts_seen where person = :person;

-- name: sweep_of
select read_until, number, at from sweeps where account = :account;

-- name: save_sweep
insert into sweeps (account, read_until, number, at) values (:account, :read_until, :number, :at)
on conflict (account) do update set read_until = excluded.read_until, number = excluded.number, at = excluded.at;

-- name: owners_after
select distinct owner from items where owner > :after order by owner limit :limit;

-- name: feedback_contacts_after
select distinct contact from feedback where contact > :after order by contact limit :limit;

-- name: put_feedback
insert into feedback (id, number, source, road, contact, text, extra, happened_at, at)
values (:id, :number, :source, :road, :contact, :text, :extra, :happened_at, :at)
on conflict (id) do update set text = excluded.text, extra = excluded.extra, contact = excluded.contact,
  happened_at = excluded.happened_at
where excluded.happened_at > feedback.happened_at;

-- name: known_feedback
select id from feedback where id in (:keys);

-- name: feedback_after
select number, id, source, road, contact, text, extra, happened_at, at from feedback
where number > :after and (:source = '' or source = :source) order by number limit :limit;

-- name: feedback_before
select number, id, source, road, contact, text, extra, happened_at, at from feedback
where number < :before and (:source = '' or source = :source) order by number desc limit :limit;

-- name: count_feedback
select source, road, count(*) from feedback where :source = '' or source = :source group by source, road;

-- name: feedback_like
select id, contact, text, extra from feedback where contact = :contact or lower(text) like :like or lower(extra) like :like;

-- name: drop_feedback
delete from feedback where id = :id;

-- name: reopen_message
update inbox set state = 'waiting', due_at = :at, attempts = 0
where vendor = :vendor and (state = 'failed' or (:every = 1 and state = 'done'));

-- name: people_met
select person from contacts_seen where account = :account and sweep >= :sweep and person in (:keys);

-- name: note_former
insert into contacts_former (account, contact, person) values (:account, :contact, :person)
on conflict (account, contact, person) do nothing;

-- name: former_of
select contact, person from contacts_former where account = :account and contact in (:keys);

-- name: contacts_of_people
select contact, person from contacts_seen where account = :account and person in (:keys);

-- name: drop_former
delete from contacts_former where account = :account and contact = :contact;
