-- Campaign texts and what became of them, by the side from which they look at an offer.

-- name: save_written
insert into written_texts (text, language, angle, at) values (:text, :language, :angle, :at)
on conflict (text, language) do update set angle = excluded.angle, at = excluded.at;

-- name: save_angle_result
insert into angle_results (source, version, language, angle, delivered, opened, clicked, at)
values (:source, :version, :language, :angle, :delivered, :opened, :clicked, :at)
on conflict (source, version) do update set language = excluded.language, angle = excluded.angle,
  delivered = excluded.delivered, opened = excluded.opened, clicked = excluded.clicked, at = excluded.at;

-- name: results_by_angle
select angle, count(*), sum(delivered), sum(opened), sum(clicked) from (
  select angle, language, delivered, opened, clicked from angle_results
  union all
  select w.angle, w.language, r.delivered, r.opened, r.clicked from campaign_results r
  join written_texts w on w.text = r.subject
  where r.version <> '' or not exists (
    select 1 from campaign_results o where o.account = r.account and o.number = r.number and o.version <> ''
  )
) as found
where :language = '' or language = :language
group by angle order by angle;
