-- Whether anything was ever written to a contact, by whichever flow: who was deleted since is not created again.
create index effects_of_contact on effects (sink, match) where confirmed_fields is not null;
