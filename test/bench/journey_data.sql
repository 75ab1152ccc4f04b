-- test/bench/journey_data.sql: customers and their events, the same on every machine.
--
-- psql -v events=20000000 -f test/bench/journey_data.sql: a customer for every 40 events. How many events a customer has
-- is geometric: half have fewer than 28, one in a hundred has more than 180. Twelve codes, 1 to 12, from 29 to 4 percent
-- of the events; whole seconds of 90 days from 2026-01-01 00:00 UTC. Rows lie in the order of time, customers mixed, as an
-- application writes them. Nothing is random(): all is a hash of the number of the customer and of the event.
--
-- Makes bench_event (customer, at, code) and bench_journey (customer, journey) anew, vacuumed and analyzed. The number
-- of rows is near what was asked for, not equal to it.
\set ON_ERROR_STOP on
\if :{?events}
\else
    \set events 20000000
\endif

SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET work_mem = '1GB';
DROP TABLE IF EXISTS bench_event, bench_journey;

CREATE UNLOGGED TABLE bench_event (customer integer NOT NULL, at timestamptz NOT NULL, code integer NOT NULL) WITH (autovacuum_enabled = off);
INSERT INTO bench_event
SELECT c, timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => (hashint8extended(c, e) & 2147483647) % 7776000),
       1 + floor(12 * power((hashint8extended(c, -e) & 16777215) / 16777216.0::float8, 2))::integer
FROM generate_series(1, :events / 40) AS c,
     generate_series(1, 1 + floor(-39.5 * ln(((hashint8extended(c, 0) & 16777215) + 1) / 16777216.0::float8))::integer) AS e
ORDER BY 2, 1, 3;
VACUUM (ANALYZE, FREEZE) bench_event;

CREATE UNLOGGED TABLE bench_journey (customer integer NOT NULL, journey cxm.journey NOT NULL) WITH (autovacuum_enabled = off);
INSERT INTO bench_journey
SELECT customer, cxm.journey_agg(at, code) FROM bench_event GROUP BY customer ORDER BY customer;
VACUUM (ANALYZE, FREEZE) bench_journey;
RESET max_parallel_workers_per_gather;
RESET work_mem;
RESET client_min_messages;
