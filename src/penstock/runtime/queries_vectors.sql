-- Vectors of single texts.

-- name: vectors_of
select k.key, v.body, v.seal, v.model, v.cost from vector_keys k join vectors v on v.id = k.vector
where v.at >= :since and k.key in (:keys);

-- name: vector_numbers
select vector from vector_keys where key in (:keys);

-- name: point_vector
insert into vector_keys (key, vector) values (:key, :vector)
on conflict (key) do update set vector = excluded.vector;

-- name: delete_vector_key
delete from vector_keys where key = :key;

-- name: delete_vector
delete from vectors where id = :id;

-- name: purge_vector_keys
delete from vector_keys where vector in (select id from vectors where at < :before);

-- name: purge_vectors
delete from vectors where at < :before;
