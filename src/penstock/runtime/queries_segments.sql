-- Segments of customers, version by version.

-- name: newest_segments
select version, at, recipe, model, about from segment_versions where flow = :flow order by version desc limit 1;

-- name: segment_versions
select version, at, about from segment_versions where flow = :flow order by version desc;

-- name: segment_names
select distinct flow from segment_versions order by flow;

-- name: segment_wish
select number, wish, names from segment_wishes where flow = :flow;

-- name: add_segments
insert into segment_versions (flow, version, at, recipe, model, about)
values (:flow, :version, :at, :recipe, :model, :about);

-- name: drop_old_segments
delete from segment_versions where flow = :flow and version <= :version;

-- name: set_segment_wish
insert into segment_wishes (flow, number, wish, names) values (:flow, :number, :wish, :names)
on conflict (flow) do update set number = excluded.number, wish = excluded.wish, names = excluded.names;

-- name: clear_segment_wish
update segment_wishes set wish = '' where flow = :flow and number = :number;

-- name: made_rows_of_flow
select number, key, place, data from made_rows
where batch = (select max(batch) from made where flow = :flow) and number >= :after order by number limit :limit;
