-- A page that is worked on again after a crash finds its letters.
create unique index dead_letters_once on dead_letters (run, stage, key, place);
