-- One-off effects, beside those of flows: no flow is called @once.

-- name: once_effect
select kind, target, state, fields, receipt, session, attempts, problem, at from effects
where flow = '@once' and sink = :sink and kind = :kind and target = :target;

-- name: once_effects
select kind, target, state, fields, receipt, session, attempts, problem, at from effects
where flow = '@once' and sink = :sink and kind = :kind order by target;

-- name: plan_once
insert into effects (flow, sink, kind, target, match, fields, wanted, state, run, at)
values ('@once', :sink, :kind, :target, '{}', :fields, :wanted, 'planned', '', :at)
on conflict (flow, sink, kind, target) do nothing;

-- name: send_once
update effects set state = 'sent', attempts = attempts + 1, session = :session, problem = '', at = :at
where flow = '@once' and sink = :sink and kind = :kind and target = :target and state = :was and session = :before;

-- name: settle_once
update effects set state = :state, problem = :problem, at = :at,
  receipt = case when :receipt = '' then receipt else :receipt end
where flow = '@once' and sink = :sink and kind = :kind and target = :target;

-- name: forget_once
delete from effects where flow = '@once' and sink = :sink and kind = :kind and target = :target;
