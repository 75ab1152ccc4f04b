-- Periods of the calendar in a time zone, by number.

CREATE FUNCTION cxm.period_number(at timestamptz, period text, time_zone text, week_start integer DEFAULT 1) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_period_number'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.period_number(timestamptz, text, text, integer) IS
'The number of the hour, day, week, month, quarter or year (period) that a time lies in by the clocks of a time zone: how many periods it is after the one of 2000-01-01 00:00, less than 0 before it. Consecutive periods have consecutive numbers. time_zone: an IANA name; week_start: 1 = Monday ... 7 = Sunday. The period is that of at AT TIME ZONE time_zone. NULL when an argument is NULL. Error 22023: another period, zone or week start; 22008: an infinite time, or hours after the year 230000.';

CREATE FUNCTION cxm.period_start(number integer, period text, time_zone text, week_start integer DEFAULT 1) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'cxm_period_start'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.period_start(integer, text, text, integer) IS
'When the period of a number (cxm.period_number) begins: the first instant at which clocks of the zone show it or a later one. It ends when the next one begins; a day on which clocks change has not 24 hours, one that a zone left out of its calendar has none. NULL when an argument is NULL. Error 22008: a number outside of the range of timestamps; 22023: as period_number.';
