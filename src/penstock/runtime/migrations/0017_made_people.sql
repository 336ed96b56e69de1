-- Computed records are found by the person that they are about, however the key is written.
drop index made_rows_of_key;
create index made_rows_of_person on made_rows (lower(key));
