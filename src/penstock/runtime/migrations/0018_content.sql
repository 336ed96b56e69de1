-- Texts and pictures that were made for campaigns, by hash of their content, and what a person decided about each.
create table content_pieces (
    digest text primary key not null,
    kind text not null,                -- subject, email, button, visual, template
    language text not null,
    angle text not null,
    title text not null,               -- what a list shows of it
    model text not null,
    warnings text not null,            -- what its checks said, as JSON
    state text not null,               -- draft, approved, rejected
    decided_by text not null default '',
    reason text not null default '',
    at $REAL not null,
    decided_at $REAL not null default 0
)$WITHOUT_ROWID;

-- Which of them a campaign of ours holds.
create table campaign_pieces (
    account text not null,
    number bigint not null,
    digest text not null,
    primary key (account, number, digest)
)$WITHOUT_ROWID;
