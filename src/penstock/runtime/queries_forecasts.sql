-- What is kept of a run of predictions for the next one.

-- name: kept_forecast
select header, at from forecasts where name = :forecast;

-- name: forecast_pieces
select data from forecast_pieces where name = :forecast order by number;

-- name: all_forecast_pieces
select name, number, data from forecast_pieces order by name, number;

-- name: drop_forecast
delete from forecasts where name = :forecast;

-- name: drop_forecast_pieces
delete from forecast_pieces where name = :forecast;

-- name: change_forecast_piece
update forecast_pieces set data = :data where name = :forecast and number = :number;
