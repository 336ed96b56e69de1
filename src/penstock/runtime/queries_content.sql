-- Texts and pictures that were made for campaigns, and what a person decided about each.

-- name: save_piece
insert into content_pieces (digest, kind, language, angle, title, model, warnings, state, at)
values (:digest, :kind, :language, :angle, :title, :model, :warnings, 'draft', :at)
on conflict (digest) do nothing;

-- name: decide_piece
update content_pieces set state = :state, decided_by = :by, reason = :reason, decided_at = :at where digest = :digest;

-- name: approve_pieces_of
update content_pieces set state = 'approved', decided_by = :by, reason = '', decided_at = :at
where state = 'draft' and digest in (
  select digest from campaign_pieces where account = :account and number = :number
);

-- name: pieces
select digest, kind, language, angle, title, model, warnings, state, decided_by, reason, at, decided_at
from content_pieces where :state = '' or state = :state order by at, kind, language, digest;

-- name: piece
select digest, kind, language, angle, title, model, warnings, state, decided_by, reason, at, decided_at
from content_pieces where digest = :digest;

-- name: pieces_of_campaign
select p.digest, p.kind, p.language, p.angle, p.title, p.model, p.warnings, p.state, p.decided_by, p.reason, p.at,
  p.decided_at
from campaign_pieces c join content_pieces p on p.digest = c.digest
where c.account = :account and c.number = :number order by p.kind, p.digest;

-- name: unlink_pieces
delete from campaign_pieces where account = :account and number = :number;

-- name: link_piece
insert into campaign_pieces (account, number, digest) values (:account, :number, :digest)
on conflict (account, number, digest) do nothing;
