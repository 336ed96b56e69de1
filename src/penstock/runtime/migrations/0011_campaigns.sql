-- Drafts of our own at Brevo: what was last written, and what a person approved. An edit anywhere ends an approval.
create table campaigns (
    account text not null,
    number bigint not null,            -- Brevo's id of it
    name text not null,
    body $BLOB not null,               -- hash of what was last written
    fingerprint text not null,         -- of what Brevo showed after that
    modified text not null,            -- when Brevo says it was changed, as of then
    params text not null,              -- Brevo never shows them again
    assisted text not null,            -- the model that helped to write it
    approved text not null default '', -- fingerprint of what was approved; empty for none
    approved_by text not null default '',
    approved_at $REAL not null default 0,
    recipients bigint not null default 0,
    at $REAL not null,
    primary key (account, number)
)$WITHOUT_ROWID;

-- Results that were read back. Brevo forgets its counts after a time, so they only grow here.
create table campaign_results (
    account text not null,
    number bigint not null,
    version text not null,             -- A, B, or empty for all
    subject text not null,
    delivered bigint not null,
    opened bigint not null,
    clicked bigint not null,
    unsubscribed bigint not null,
    complained bigint not null,
    bounced bigint not null,
    at $REAL not null,
    primary key (account, number, version)
)$WITHOUT_ROWID;
