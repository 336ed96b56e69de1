-- Webhooks of our own at Brevo. What proves a delivery is kept only as hashes.
create table hooks (
    account text not null,
    type text not null,                -- marketing, transactional, inbound, conversations
    connection text not null,
    number bigint not null,            -- Brevo's id of it; 0 while it is not known
    path $BLOB not null,               -- hash of the secret part of the address
    token $BLOB not null,              -- hash
    at $REAL not null,
    primary key (account, type)
)$WITHOUT_ROWID;

-- Events of webhooks that were dealt with, by what makes two of them the same.
create table heard (
    mark $BLOB primary key,
    at $REAL not null
)$WITHOUT_ROWID;
create index heard_by_time on heard (at);

-- Contacts of Brevo as they were last seen: hashes only, with the salt of the barred people.
create table contacts_seen (
    account text not null,
    contact bigint not null,
    person $BLOB not null,             -- hash of the address, else of another identifier
    seen $BLOB not null,               -- hash of what others than Penstock keep in it
    changed_at $REAL,                  -- null: never changed since it was first seen
    sweep bigint not null,             -- the last full reading that met it
    primary key (account, contact)
)$WITHOUT_ROWID;
create index contacts_seen_changed on contacts_seen (account, changed_at) where changed_at is not null;
create index contacts_seen_person on contacts_seen (person);
create table sweeps (
    account text primary key,
    read_until bigint not null,        -- milliseconds: contacts modified before this were seen
    number bigint not null,            -- of the last full reading that was drained
    at $REAL not null                  -- when that was
)$WITHOUT_ROWID;

-- What customers said, by whatever road it came.
create table feedback (
    id text primary key,
    number bigint not null,
    source text not null,              -- whose words these are: reviews, support, ...
    road text not null,                -- http, file, event, conversation, mail, shell: the first that brought it
    contact text not null,             -- email in lower case, else another identifier; may be empty
    text text not null,
    extra text not null,               -- JSON: what else came with it
    happened_at $REAL not null,
    at $REAL not null
);
create unique index feedback_by_number on feedback (number);
create index feedback_by_contact on feedback (contact);
