-- Keys that occur more than once in a source: which run met them last, so that the first record of a key stays the one that counts.
alter table items add column seen text not null default '';

-- A page that is worked on again after a crash finds its letters.
create unique index dead_letters_once on dead_letters (run, stage, key, place);
