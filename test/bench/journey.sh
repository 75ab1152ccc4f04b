#!/bin/sh
# test/bench/journey.sh: how small are journeys, and what do building, merging and reading them cost?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and a C compiler for the kernel. Makes a
# database of its own and drops it. SIZES ("200000 2000000 20000000") numbers of events, the last of which the comparisons
# are made with; 100000000 takes 20 GB of disk. RUNS (5) runs of each query; the two of a comparison run in turn, so that
# a slow moment of the machine hits both, and what is compared are the medians, on a warm cache. The data are those of
# journey_data.sql.
#
# A line a comparison: name, ours, theirs, ratio, goal, ok or MISS: median milliseconds, but bytes an event where the name
# says so. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
SIZES=${SIZES:-200000 2000000 20000000}
RUNS=${RUNS:-5}
DB=cxm_bench_journey_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

echo "journey: the kernel alone, one core"
if cc -O2 -std=gnu99 -I"$here/../../src" -o "$TEMP/kernel" "$here/../unit/journey_core_test.c" "$here/../../src/journey_core.c" 2>"$TEMP/said"; then
	"$TEMP/kernel" bench | tee "$TEMP/kernel.out"
	awk '/40 events, seconds/ { for (i = 1; i < NF; i++) if ($i == "decode") rate = $(i + 1) + 0
		printf "%-52s %9.0f %9.0f %7.3f %5.2f %s\n", "kernel: decode, million events/s / 300", rate, 300, 300 / rate, 1, (rate >= 300 ? "ok" : "MISS") }' \
		"$TEMP/kernel.out" | tee -a "$TEMP/out"
else
	echo "no C compiler that works: the kernel is left out"
fi

run()
{
	PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v runs="$RUNS" -d "$DB" "$@"
}

run <<'SQL'
CREATE EXTENSION cxm;
CREATE FUNCTION public.ms(query text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;
CREATE FUNCTION public.line(name text, ours numeric, theirs numeric, goal numeric) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s %s %s %s', rpad(name, 52), lpad(round(ours, 2)::text, 9), lpad(round(theirs, 2)::text, 9), lpad(round(ours / theirs, 3)::text, 7),
                  coalesce(lpad(round(goal, 2)::text, 5), '    -'), CASE WHEN goal IS NULL THEN '' WHEN ours / theirs <= goal THEN 'ok' ELSE 'MISS' END)
$$;
CREATE FUNCTION public.compare(name text, ours text, theirs text, goal numeric, runs integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a double precision[] := '{}';
    b double precision[] := '{}';
BEGIN
    -- the first run of each warms the cache and is not counted
    PERFORM public.ms(ours), public.ms(theirs);
    FOR i IN 1 .. runs LOOP
        a := a || public.ms(ours);
        b := b || public.ms(theirs);
    END LOOP;
    RETURN public.line(name, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest(a) AS x)::numeric,
                       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest(b) AS x)::numeric, goal);
END $$;
CREATE TABLE public.growth (events bigint, ms double precision);
SQL

# growth first: the tables of the last size stay
for size in $SIZES; do
	echo "journey: making $size events" >&2
	run -v events="$size" -f "$here/journey_data.sql"
	run -v events="$size" <<-'SQL'
		SET max_parallel_workers_per_gather = 0;
		SELECT public.ms('SELECT count(j) FROM (SELECT cxm.journey_agg(at, code) AS j FROM bench_event GROUP BY customer) AS s') AS warm \gset
		INSERT INTO public.growth SELECT :events, public.ms('SELECT count(j) FROM (SELECT cxm.journey_agg(at, code) AS j FROM bench_event GROUP BY customer) AS s') FROM generate_series(1, :runs);
	SQL
done

run <<'SQL' | tee -a "$TEMP/out"
\set count 'SELECT count(n) FROM (SELECT count(*) AS n FROM bench_event GROUP BY customer OFFSET 0) AS s'
\set build 'SELECT count(j) FROM (SELECT cxm.journey_agg(at, code) AS j FROM bench_event GROUP BY customer OFFSET 0) AS s'
SELECT format('%s customers, %s events', (SELECT count(*) FROM bench_journey), (SELECT count(*) FROM bench_event));
SELECT rpad('comparison', 52) || '      ours    theirs   ratio  goal';

SELECT public.line('bytes an event, value with its header / 8', (SELECT sum(pg_column_size(journey)) FROM bench_journey) / n, 8, 1) FROM (SELECT count(*)::numeric AS n FROM bench_event) AS s;
SELECT public.line('bytes an event, tables: journeys / events', pg_table_size('bench_journey') / n, pg_table_size('bench_event') / n, 0.2) FROM (SELECT count(*)::numeric AS n FROM bench_event) AS s;

-- building, as users find the server: its own work_mem; then with memory for all states, where each row waits for memory
SET max_parallel_workers_per_gather = 0;
SELECT public.compare('journey_agg / count(*), by customer', :'build', :'count', 2, :runs);
SELECT public.compare('journey_agg / array_agg of times, by customer', :'build', 'SELECT count(j) FROM (SELECT array_agg(at) AS j FROM bench_event GROUP BY customer OFFSET 0) AS s', NULL, :runs);
SET work_mem = '1GB';
SELECT public.compare('journey_agg / count(*), states in memory', :'build', :'count', NULL, :runs);
RESET work_mem;
SET max_parallel_workers_per_gather = 2;
SELECT public.compare('parallel: journey_agg / count(*), by customer', :'build', :'count', 2, :runs);
SET max_parallel_workers_per_gather = 0;
CREATE UNLOGGED TABLE by_customer AS SELECT * FROM bench_event ORDER BY customer, at;
CREATE INDEX ON by_customer (customer);
VACUUM (ANALYZE, FREEZE) by_customer;
SET enable_hashagg = off; SET enable_indexonlyscan = off;
SELECT public.compare('rows by customer: journey_agg / count(*)', replace(:'build', 'bench_event', 'by_customer'), replace(:'count', 'bench_event', 'by_customer'), 2, :runs);
CREATE UNLOGGED TABLE unordered AS SELECT * FROM bench_event ORDER BY customer, hashint8extended(extract(epoch FROM at)::bigint, code);
CREATE INDEX ON unordered (customer);
VACUUM (ANALYZE, FREEZE) unordered;
SELECT public.compare('times in no order / in order', replace(:'build', 'bench_event', 'unordered'), replace(:'build', 'bench_event', 'by_customer'), NULL, :runs);
DROP TABLE unordered;
RESET enable_hashagg; RESET enable_indexonlyscan;

-- merging: what a profile of two identifiers costs, and a day's events that come to what is there
CREATE UNLOGGED TABLE halves AS SELECT customer, cxm.slice(journey, '(,2026-02-15)') AS a, cxm.slice(journey, '[2026-02-15,)') AS b FROM bench_journey;
VACUUM (ANALYZE, FREEZE) halves;
SELECT public.compare('rollup of two journeys / journey_agg of the rows', 'SELECT count(j) FROM (SELECT cxm.rollup(j) AS j FROM halves, LATERAL (VALUES (a), (b)) AS v (j) GROUP BY customer OFFSET 0) AS s', :'build', NULL, :runs);
SELECT public.compare('+ / rollup', 'SELECT count(a OPERATOR(cxm.+) b) FROM halves', 'SELECT count(j) FROM (SELECT cxm.rollup(j) AS j FROM halves, LATERAL (VALUES (a), (b)) AS v (j) GROUP BY customer OFFSET 0) AS s', NULL, :runs);

-- reading: storage makes no difference below 2 kB; these have 1000 events, 4 kB
CREATE UNLOGGED TABLE long_main AS SELECT customer / 25 AS customer, cxm.rollup(journey) AS journey FROM bench_journey GROUP BY 1;
CREATE UNLOGGED TABLE long_external (LIKE long_main);
ALTER TABLE long_external ALTER journey SET STORAGE external;
CREATE UNLOGGED TABLE long_extended (LIKE long_main);
ALTER TABLE long_extended ALTER journey SET STORAGE extended;
INSERT INTO long_external SELECT * FROM long_main;
INSERT INTO long_extended SELECT * FROM long_main;
VACUUM (ANALYZE, FREEZE) long_main, long_external, long_extended;
\set scan 'SELECT sum(cxm.count(cxm.filter_codes(journey, ''{1,4,7,9}''))) FROM long_main'
SELECT public.compare('journeys of 4 kB: storage main / external', :'scan', replace(:'scan', 'long_main', 'long_external'), NULL, :runs);
SELECT public.compare('journeys of 4 kB: storage main / extended', :'scan', replace(:'scan', 'long_main', 'long_extended'), NULL, :runs);
SELECT public.compare('filter_codes of 4 / count of all', 'SELECT sum(cxm.count(cxm.filter_codes(journey, ''{1,4,7,9}''))) FROM bench_journey', 'SELECT sum(cxm.count(journey)) FROM bench_journey', NULL, :runs);
SELECT public.compare('count, first_at, last_at of values / of rows', 'SELECT sum(cxm.count(journey)), count(cxm.first_at(journey)), count(cxm.last_at(journey)) FROM bench_journey',
    'SELECT sum(n), count(a), count(b) FROM (SELECT count(*) AS n, min(at) AS a, max(at) AS b FROM bench_event GROUP BY customer OFFSET 0) AS s', NULL, :runs);

-- one value of millions of events
CREATE UNLOGGED TABLE giant AS SELECT cxm.journey_agg(at, code) AS journey FROM (SELECT * FROM bench_event LIMIT 5000000) AS e;
SELECT public.compare('5 million events in a value: build / count(*)', 'SELECT cxm.count(cxm.journey_agg(at, code)) FROM (SELECT * FROM bench_event LIMIT 5000000) AS e', 'SELECT count(*) FROM (SELECT * FROM bench_event LIMIT 5000000) AS e', NULL, :runs);
SELECT public.compare('5 million events in a value: filter_codes / build', 'SELECT cxm.count(cxm.filter_codes(journey, ''{1,4,7,9}'')) FROM giant', 'SELECT cxm.count(cxm.journey_agg(at, code)) FROM (SELECT * FROM bench_event LIMIT 5000000) AS e', NULL, :runs);

-- growth: ten times the events, at most ten times the time, and half again for what no longer fits a cache or memory
SELECT public.line(format('growth: time an event, %s / %s events', events, before_events), (ms / events * 1e6)::numeric, (before_ms / before_events * 1e6)::numeric, CASE WHEN before_ms > 50 THEN 2.5 END)
FROM (SELECT events, ms, lag(events) OVER w AS before_events, lag(ms) OVER w AS before_ms
      FROM (SELECT events, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms FROM public.growth GROUP BY events) AS s WINDOW w AS (ORDER BY events)) AS g
WHERE before_events IS NOT NULL ORDER BY events;
SQL
! grep -q 'MISS$' "$TEMP/out"
