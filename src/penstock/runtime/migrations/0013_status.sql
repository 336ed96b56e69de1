-- What made a result: by step, the operation with its version and the model, as JSON.
alter table items add column made text not null default '';
