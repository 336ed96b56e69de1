-- Drafts at Brevo, their approvals and results.

-- name: campaign_row
select number, name, body, fingerprint, modified, params, assisted, approved, approved_by, approved_at, recipients, at
from campaigns where account = :account and number = :number;

-- name: campaign_rows
select number, name, body, fingerprint, modified, params, assisted, approved, approved_by, approved_at, recipients, at
from campaigns where account = :account order by number;

-- name: save_campaign
insert into campaigns (account, number, name, body, fingerprint, modified, params, assisted, at)
values (:account, :number, :name, :body, :fingerprint, :modified, :params, :assisted, :at)
on conflict (account, number) do update set name = excluded.name, body = excluded.body,
  fingerprint = excluded.fingerprint, modified = excluded.modified, params = excluded.params,
  assisted = excluded.assisted, approved = '', approved_by = '', approved_at = 0, recipients = 0, at = excluded.at;

-- name: approve_campaign
update campaigns set approved = :fingerprint, fingerprint = :fingerprint, modified = :modified, approved_by = :by,
  approved_at = :at, recipients = :recipients
where account = :account and number = :number;

-- name: drop_campaign
delete from campaigns where account = :account and number = :number;

-- name: campaign_results_of
select version, subject, delivered, opened, clicked, unsubscribed, complained, bounced, at from campaign_results
where account = :account and number = :number order by version;

-- name: save_campaign_result
insert into campaign_results (account, number, version, subject, delivered, opened, clicked, unsubscribed, complained,
  bounced, at)
values (:account, :number, :version, :subject, :delivered, :opened, :clicked, :unsubscribed, :complained, :bounced, :at)
on conflict (account, number, version) do update set subject = excluded.subject, delivered = excluded.delivered,
  opened = excluded.opened, clicked = excluded.clicked, unsubscribed = excluded.unsubscribed,
  complained = excluded.complained, bounced = excluded.bounced, at = excluded.at;
