#!/bin/sh
# test/bench/ratings.sh: what do the aggregates of cxm.ratings cost beside the built-in ones?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and
# drops it. ROWS (10000000) answers, RUNS (9) runs of each query. The two queries of a comparison run in turn, so
# that a slow moment of the machine hits both; what is compared are the medians, on a warm cache.
#
# A line a comparison: name, median ms of ours, median ms of theirs, ratio, goal, ok or MISS. Exit status 1 where
# a goal was missed. Comparisons without a goal are for information.
set -eu
ROWS=${ROWS:-10000000}
RUNS=${RUNS:-9}
DB=cxm_bench_ratings_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
echo "ratings: loading $ROWS answers" >&2

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -v runs="$RUNS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
SET max_parallel_workers_per_gather = 0;

-- the same scores in every type, with the shape of real answers: many at the top, a few at the bottom
CREATE UNLOGGED TABLE answer AS
SELECT (i % 50)::smallint AS store, s::smallint AS small, s::integer AS int, s::bigint AS big,
       s::double precision AS dbl, s::numeric AS num
FROM (SELECT i, floor(11 * sqrt(random()))::integer AS s FROM generate_series(1, :rows) AS i) AS made;
ALTER TABLE answer SET (autovacuum_enabled = off);
VACUUM (ANALYZE, FREEZE) answer;
-- counts as a rollup keeps them, for the form with a count
CREATE UNLOGGED TABLE counted AS SELECT small, 1::bigint AS n FROM answer;
ALTER TABLE counted SET (autovacuum_enabled = off);
VACUUM (ANALYZE, FREEZE) counted;

CREATE FUNCTION pg_temp.ms(query text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;

CREATE FUNCTION pg_temp.compare(name text, ours text, theirs text, goal numeric DEFAULT NULL, runs int DEFAULT 7)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a double precision[] := '{}';
    b double precision[] := '{}';
    ma numeric;
    mb numeric;
    ratio numeric;
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || ours INTO plan;
    IF (name LIKE '%parallel%') <> (plan::text LIKE '%"Gather%') THEN
        RAISE EXCEPTION '%: the plan is not what the name says: %', name, plan;
    END IF;
    -- the first run of each warms the cache and is not counted
    PERFORM pg_temp.ms(ours), pg_temp.ms(theirs);
    FOR i IN 1 .. runs LOOP
        a := a || pg_temp.ms(ours);
        b := b || pg_temp.ms(theirs);
    END LOOP;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO ma FROM unnest(a) AS x;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO mb FROM unnest(b) AS x;
    ratio := ma / mb;
    RETURN format('%s %s %s %s %s %s', rpad(name, 52), lpad(round(ma, 1)::text, 9), lpad(round(mb, 1)::text, 9),
                  lpad(round(ratio, 3)::text, 7), coalesce(round(goal, 2)::text, '   -'),
                  CASE WHEN goal IS NULL THEN '' WHEN ratio <= goal THEN 'ok' ELSE 'MISS' END);
END $$;

SELECT rpad('comparison', 52) || '      ours    theirs   ratio goal';

\set formula '100.0 * (count(*) FILTER (WHERE small >= 9) - count(*) FILTER (WHERE small <= 6)) / count(small)'
\set formula_int '100.0 * (count(*) FILTER (WHERE int >= 9) - count(*) FILTER (WHERE int <= 6)) / count(int)'
\set formula_big '100.0 * (count(*) FILTER (WHERE big >= 9) - count(*) FILTER (WHERE big <= 6)) / count(big)'

SELECT pg_temp.compare('nps_agg(smallint) / avg', 'SELECT cxm.nps_agg(small) FROM answer', 'SELECT avg(small) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps_agg(integer) / avg', 'SELECT cxm.nps_agg(int) FROM answer', 'SELECT avg(int) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps_agg(bigint) / avg', 'SELECT cxm.nps_agg(big) FROM answer', 'SELECT avg(big) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps_agg(double precision) / avg', 'SELECT cxm.nps_agg(dbl) FROM answer', 'SELECT avg(dbl) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps_agg(numeric) / avg', 'SELECT cxm.nps_agg(num) FROM answer', 'SELECT avg(num) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps(smallint) / avg', 'SELECT cxm.nps(small) FROM answer', 'SELECT avg(small) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('nps_agg(smallint) / FILTER formula', 'SELECT cxm.nps_agg(small) FROM answer', 'SELECT ' || :'formula' || ' FROM answer', 0.90, :runs);
SELECT pg_temp.compare('nps_agg(integer) / FILTER formula', 'SELECT cxm.nps_agg(int) FROM answer', 'SELECT ' || :'formula_int' || ' FROM answer', 0.90, :runs);
SELECT pg_temp.compare('nps_agg(bigint) / FILTER formula', 'SELECT cxm.nps_agg(big) FROM answer', 'SELECT ' || :'formula_big' || ' FROM answer', 0.90, :runs);
SELECT pg_temp.compare('nps(smallint) / FILTER formula', 'SELECT cxm.nps(small) FROM answer', 'SELECT ' || :'formula' || ' FROM answer', 0.90, :runs);
SELECT pg_temp.compare('nps_agg(smallint, n) / avg', 'SELECT cxm.nps_agg(small, n) FROM counted', 'SELECT avg(small) FROM counted', NULL, :runs);
SELECT pg_temp.compare('ratings_agg(smallint, 0, 10) / avg', 'SELECT cxm.ratings_agg(small, 0, 10) FROM answer', 'SELECT avg(small) FROM answer', NULL, :runs);
SELECT pg_temp.compare('50 stores: nps_agg(smallint) / avg', 'SELECT store, cxm.nps_agg(small) FROM answer GROUP BY store', 'SELECT store, avg(small) FROM answer GROUP BY store', 1.10, :runs);
SELECT pg_temp.compare('50 stores: nps_agg(integer) / avg', 'SELECT store, cxm.nps_agg(int) FROM answer GROUP BY store', 'SELECT store, avg(int) FROM answer GROUP BY store', 1.10, :runs);
SELECT pg_temp.compare('50 stores: nps(smallint) / avg', 'SELECT store, cxm.nps(small) FROM answer GROUP BY store', 'SELECT store, avg(small) FROM answer GROUP BY store', 1.10, :runs);
SELECT pg_temp.compare('50 stores: nps_agg(smallint) / FILTER formula', 'SELECT store, cxm.nps_agg(small) FROM answer GROUP BY store', 'SELECT store, ' || :'formula' || ' FROM answer GROUP BY store', 0.90, :runs);

SET max_parallel_workers_per_gather = 2;
SELECT pg_temp.compare('parallel: nps_agg(smallint) / avg', 'SELECT cxm.nps_agg(small) FROM answer', 'SELECT avg(small) FROM answer', 1.10, :runs);
SELECT pg_temp.compare('parallel: nps_agg(smallint) / FILTER formula', 'SELECT cxm.nps_agg(small) FROM answer', 'SELECT ' || :'formula' || ' FROM answer', 0.90, :runs);
SELECT pg_temp.compare('parallel, 50 stores: nps_agg(smallint) / avg', 'SELECT store, cxm.nps_agg(small) FROM answer GROUP BY store', 'SELECT store, avg(small) FROM answer GROUP BY store', 1.10, :runs);
SELECT pg_temp.compare('parallel, 50 stores: nps_agg / FILTER formula', 'SELECT store, cxm.nps_agg(small) FROM answer GROUP BY store', 'SELECT store, ' || :'formula' || ' FROM answer GROUP BY store', 0.90, :runs);
SET max_parallel_workers_per_gather = 0;

-- a moving window: the inverse keeps it linear in the rows, whatever the width of the frame
CREATE TEMP TABLE daily AS SELECT i AS day, (i * 7919 % 11)::smallint AS score FROM generate_series(1, least(:rows, 200000)) AS i;
SELECT pg_temp.compare('window of 5000 rows / window of 50 rows',
    'SELECT cxm.nps(score) OVER (ORDER BY day ROWS 4999 PRECEDING) FROM daily',
    'SELECT cxm.nps(score) OVER (ORDER BY day ROWS 49 PRECEDING) FROM daily', 1.50, :runs);

-- growth: ten times the rows, at most ten times the time (and half again, for what no longer fits a CPU cache)
CREATE FUNCTION pg_temp.growth(rows bigint, runs int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    size bigint;
    times double precision[];
    median numeric;
    before numeric;
    lines text := '';
BEGIN
    FOREACH size IN ARRAY ARRAY[rows / 100, rows / 10, rows] LOOP
        times := '{}';
        PERFORM pg_temp.ms(format('SELECT cxm.nps_agg(small) FROM (SELECT small FROM answer LIMIT %s) AS a', size));
        FOR i IN 1 .. runs LOOP
            times := times || pg_temp.ms(format('SELECT cxm.nps_agg(small) FROM (SELECT small FROM answer LIMIT %s) AS a', size));
        END LOOP;
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO median FROM unnest(times) AS x;
        IF before IS NOT NULL THEN
            lines := lines || format(E'%s %s %s %s %s %s\n', rpad(format('growth: nps_agg over %s rows / 10 x %s', size, size / 10), 52),
                lpad(round(median, 1)::text, 9), lpad(round(10 * before, 1)::text, 9), lpad(round(median / (10 * before), 3)::text, 7),
                '1.50', CASE WHEN median <= 15 * before THEN 'ok' ELSE 'MISS' END);
        END IF;
        before := median;
    END LOOP;
    RETURN rtrim(lines, E'\n');
END $$;
SELECT pg_temp.growth(:rows, :runs);
SQL

# psql's own status is lost in the pipe: the last comparison must be there, and none may be missed
grep -q '^growth: .* over '"$ROWS"' rows' "$OUT"
! grep -q 'MISS$' "$OUT"
