-- Every statement of the runtime, by name. Written so that SQLite and PostgreSQL both take it.

-- name: start_session
insert into sessions (id, host, pid, command, started_at) values (:id, :host, :pid, :command, :at);

-- name: end_session
update sessions set ended_at = :at where id = :id;

-- name: open_sessions
select s.id, s.host, s.pid, s.started_at, s.command from sessions s
where s.ended_at is null or s.id in (select c.session from calls c where c.state = 'sent');

-- name: count_sessions
select count(*) from sessions;

-- name: budget
select spent, reserved, held, calls from budgets where scope = :scope;

-- name: budgets_of
select scope, spent, reserved, held from budgets where scope in (:keys);

-- name: reserve_budget
insert into budgets (scope, reserved) values (:scope, :amount)
on conflict (scope) do update set reserved = budgets.reserved + excluded.reserved;

-- name: settle_budget
update budgets set reserved = reserved - :reserved, spent = spent + :cost, held = held + :held, calls = calls + :calls
where scope = :scope;

-- name: hold_budget
update budgets set reserved = reserved - :amount, held = held + :amount where scope = :scope;

-- name: insert_call
insert into calls (id, session, run, flow, operation, connection, model, tier, state, reserved, sent_at)
values (:id, :session, :run, :flow, :operation, :connection, :model, :tier, 'sent', :reserved, :at);

-- name: settle_call
update calls set state = :state, cost = :cost, input = :input, cached = :cached, cache_write = :cache_write,
  output = :output, reasoning = :reasoning, served_model = :served_model,
  tier = case when :tier = '' then tier else :tier end,
  request_id = :request_id, problem = :problem, settled_at = :at
where id = :id;

-- name: settled_states
select id, state from calls where id in (:keys) and state <> 'sent';

-- name: calls_of_session
select id, run, flow, reserved, sent_at from calls where session = :session and state = 'sent';

-- name: abandon_calls
update calls set state = 'unknown', settled_at = :at, problem = 'the process died before an answer came'
where session = :session and state = 'sent';

-- name: insert_answer
insert into answers (id, body, at) values (:id, :body, :at);

-- name: point_answer
insert into answer_keys (key, answer) values (:key, :answer)
on conflict (key) do update set answer = excluded.answer;

-- name: answers_of
select k.key, a.body from answer_keys k join answers a on a.id = k.answer where a.at >= :since and k.key in (:keys);

-- name: answer_numbers
select answer from answer_keys where key in (:keys);

-- name: delete_answer_key
delete from answer_keys where key = :key;

-- name: delete_answer
delete from answers where id = :id;

-- name: purge_answer_keys
delete from answer_keys where answer in (select id from answers where at < :before);

-- name: purge_answers
delete from answers where at < :before;

-- name: corrections
select operation, model, ratio, samples from corrections;

-- name: save_correction
insert into corrections (operation, model, ratio, samples) values (:operation, :model, :ratio, :samples)
on conflict (operation, model) do update set ratio = excluded.ratio, samples = excluded.samples;

-- name: refusals
select account, model, parameter from refusals;

-- name: save_refusal
insert into refusals (account, model, parameter, at) values (:account, :model, :parameter, :at)
on conflict (account, model, parameter) do update set at = excluded.at;

-- name: start_run
insert into runs (id, flow, definition, definition_hash, path, source, state, session, started_at)
values (:id, :flow, :definition, :hash, :path, :source, 'running', :session, :at);

-- name: take_over_run
update runs set state = 'running', session = :session, ended_at = null, problem = '' where id = :id;

-- name: move_run
update runs set cursor = :cursor, counts = :counts where id = :id;

-- name: end_run
update runs set state = :state, counts = :counts, ended_at = :at, problem = :problem where id = :id;

-- name: runs
select id, flow, definition_hash, path, source, state, session, started_at, ended_at, cursor, counts, problem from runs
where (:flow = '' or flow = :flow) and (:run = '' or id = :run) order by started_at desc, id desc limit :limit;

-- name: items_of
select key, owner, fingerprint, state, output, dated, answers, place, run, at, made from items
where flow = :flow and key in (:keys);

-- name: items_of_owners
select key, owner, fingerprint, state, output, dated, answers, place, run, at, made from items
where flow = :flow and state = 'done' and owner in (:keys);

-- name: save_item
insert into items (flow, key, owner, fingerprint, state, output, dated, answers, place, run, at, made)
values (:flow, :key, :owner, :fingerprint, :state, :output, :dated, :answers, :place, :run, :at, :made)
on conflict (flow, key) do update set owner = excluded.owner, fingerprint = excluded.fingerprint,
  state = excluded.state, output = excluded.output, dated = excluded.dated, answers = excluded.answers,
  place = excluded.place, run = excluded.run, at = excluded.at, made = excluded.made;

-- name: known_effects
select kind, target, wanted, confirmed, state, run from effects where flow = :flow and sink = :sink and target in (:keys);

-- name: known_contacts
select distinct match from effects where sink = :sink and match in (:keys) and confirmed_fields is not null;

-- name: plan_effect
insert into effects (flow, sink, kind, target, match, fields, wanted, state, run, at)
values (:flow, :sink, :kind, :target, :match, :fields, :wanted, 'planned', :run, :at)
on conflict (flow, sink, kind, target) do update set match = excluded.match, fields = excluded.fields,
  wanted = excluded.wanted,
  state = case when effects.confirmed = excluded.wanted and effects.state not in ('sent', 'unknown')
    then 'confirmed' else 'planned' end,
  confirmed = case when effects.state in ('sent', 'unknown') then null else effects.confirmed end,
  run = case when effects.confirmed = excluded.wanted and effects.state not in ('sent', 'unknown')
    then effects.run else excluded.run end,
  attempts = 0, problem = '', at = excluded.at;

-- name: next_effects
select kind, target, match, fields, wanted, confirmed_fields, state, attempts, problem, session from effects
where flow = :flow and sink = :sink and kind = :kind and state = 'planned' order by target limit :limit;

-- name: lost_effects
select kind, target, match, fields, wanted, confirmed_fields, state, attempts, problem from effects
where flow = :flow and sink = :sink
  and state in ('sent', 'unknown') order by target limit :limit;

-- name: send_effect
update effects set state = 'sent', attempts = attempts + 1, session = :session, at = :at
where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: confirm_effect
update effects set state = case when wanted = :wanted then 'confirmed' else 'planned' end, confirmed = :wanted,
  confirmed_fields = case when wanted = :wanted then fields else confirmed_fields end, problem = '', receipt = :receipt, at = :at
where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: replan_effect
update effects set state = 'planned', problem = :problem, at = :at
where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: fail_effect
update effects set state = :state, problem = :problem, at = :at
where flow = :flow and sink = :sink and kind = :kind and target = :target;

-- name: count_open_effects
select count(*) from effects where flow = :flow and sink = :sink and state = 'planned';

-- name: bury_letter
insert into dead_letters (id, run, flow, stage, key, place, code, message, hint, record, at)
values (:id, :run, :flow, :stage, :key, :place, :code, :message, :hint, :record, :at)
on conflict (run, stage, key, place) do update set code = excluded.code, message = excluded.message, hint = excluded.hint,
  record = excluded.record, at = excluded.at, resolved_at = null;

-- name: resolve_letters
update dead_letters set resolved_at = :at where flow = :flow and key = :key and key <> '' and resolved_at is null;

-- name: replace_letters
update dead_letters set resolved_at = :at
where flow = :flow and key = :key and key <> '' and run <> :run and resolved_at is null;

-- name: letters
select id, run, stage, key, place, code, message, hint, record, at from dead_letters
where run = :run and id > :after and resolved_at is null order by id limit :limit;

-- name: fill_lookup
insert into lookups (run, name, key, body) values (:run, :name, :key, :body)
on conflict (run, name, key) do update set body = excluded.body;

-- name: look_up
select key, body from lookups where run = :run and name = :name and key in (:keys);

-- name: drop_lookups
delete from lookups where run = :run;

-- name: count_effects_of_run
select state, count(*) from effects where flow = :flow and run = :run group by state;

-- name: effects_of_sink
select kind, target, match, fields, wanted, confirmed_fields, state, attempts, problem from effects
where flow = :flow and sink = :sink and kind = 'row' and target > :after order by target limit :limit;

-- name: confirm_all_effects
update effects set state = 'confirmed', confirmed = wanted, confirmed_fields = fields, at = :at
where flow = :flow and sink = :sink and state <> 'confirmed';

-- name: replan_failed_effects
update effects set state = 'planned', attempts = 0, run = :new_run, at = :at
where flow = :flow and run = :run and state in ('rejected', 'conflict');

-- name: resolve_written_letters
update dead_letters set resolved_at = :at where run = :run and stage = 'write' and resolved_at is null;

-- name: costs
select (cast(sent_at as bigint) - case when cast(sent_at as bigint) > sent_at then 1 else 0 end) / 86400 as day,
  model, operation, flow, state, count(*), sum(cost),
  sum(case when cost is null and state in ('unknown', 'done') then reserved else 0 end),
  sum(input), sum(cached), sum(output), sum(case when cost is null and state = 'done' then 1 else 0 end)
from calls where sent_at >= :since group by 1, 2, 3, 4, 5 order by 1 desc, 2, 3, 4, 5;

-- name: booked_usage
select (cast(sent_at as bigint) - case when cast(sent_at as bigint) > sent_at then 1 else 0 end) / 86400 as day,
  connection, case when served_model = '' then model else served_model end as answered, state, count(*),
  sum(input), sum(cached), sum(output), sum(cost),
  sum(case when cost is null and state in ('unknown', 'done') then reserved else 0 end),
  sum(case when cost is null and state = 'done' then 1 else 0 end)
from calls where sent_at >= :since and sent_at < :until group by 1, 2, 3, 4 order by 1, 2, 3, 4;

-- name: unknown_calls
select id, run, flow, operation, model, reserved, sent_at, problem from calls
where state = 'unknown' order by id desc limit :limit;

-- name: count_unknown_calls
select count(*), sum(reserved) from calls where state = 'unknown';

-- name: count_answers
select count(*), coalesce(sum(held.size), 0), min(held.at), max(held.at)
from (select length(body) as size, at from answers union all select length(body) as size, at from vectors) held;

-- name: answers_of_owner
select answers, key from items where owner = :owner or key = :owner;

-- name: lock_run
update runs set state = state where id = :id;

-- name: tokens
select name, hash, allow, mapping, created_at from tokens order by name;

-- name: save_token
insert into tokens (name, hash, allow, mapping, created_at) values (:name, :hash, :allow, :mapping, :at)
on conflict (name) do update set hash = excluded.hash, allow = excluded.allow, mapping = excluded.mapping,
  created_at = excluded.created_at;

-- name: remove_token
delete from tokens where name = :name;

-- name: reply
select request, session, state, status, headers, body from replies where key = :key and who = :who;

-- name: open_reply
insert into replies (who, key, request, session, state, body, at)
values (:who, :key, :request, :session, 'open', :body, :at);

-- name: take_over_reply
update replies set session = :session, at = :at
where key = :key and who = :who and state = 'open' and session = :from;

-- name: finish_reply
update replies set state = 'done', status = :status, headers = :headers, body = :body where key = :key and who = :who;

-- name: release_reply
delete from replies where key = :key and who = :who and state = 'open';

-- name: forget_replies
delete from replies where at < :before;

-- name: put_message
insert into inbox (id, vendor, message, type, body, state, due_at, at)
values (:id, :vendor, :message, :type, :body, 'waiting', :due_at, :at)
on conflict (message, vendor) do nothing;

-- name: due_messages
select id, vendor, message, type, body, attempts, at from inbox
where state = 'waiting' and due_at <= :at and vendor || ' ' || type in (:keys) order by due_at, id limit :limit;

-- name: take_message
update inbox set state = 'taken', session = :session where id = :id;

-- name: end_message
update inbox set state = :state, due_at = :due_at, problem = :problem, attempts = attempts + 1 where id = :id;

-- name: reopen_messages
update inbox set state = 'waiting'
where state = 'taken' and (session = :session or session in (select id from sessions where ended_at is not null));

-- name: forget_messages
delete from inbox where state = 'done' and at < :before;

-- name: count_inbox
select type, state, count(*) from inbox group by type, state;

-- name: runs_before
select id, flow, definition_hash, path, source, state, session, started_at, ended_at, cursor, counts, problem from runs
where (:flow = '' or flow = :flow) and (:before = '' or id < :before) order by id desc limit :limit;

-- name: count_runs
select state, count(*) from runs group by state;

-- name: calls_between
select model, operation, state, count(*), sum(cost), sum(input), sum(cached), sum(output), sum(settled_at - sent_at)
from calls where sent_at >= :since and sent_at < :until group by model, operation, state;

-- name: oldest_open_call
select min(sent_at) from calls where state = 'sent';

-- name: touch_session
update sessions set started_at = started_at where id = :id;
