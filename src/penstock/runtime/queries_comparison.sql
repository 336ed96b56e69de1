-- What comparing with the vendor's own sample needs beside the counts.

-- name: event_states_of
select e.state from events e join event_destinations d on d.id = e.destination
where e.event_id = :event_id and e.name = :event_name and d.pixel = :pixel and d.validate_only = 0;
