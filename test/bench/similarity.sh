#!/bin/sh
# test/bench/similarity.sh: what do comparisons of short names cost, beside those of contrib?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual), and fuzzystrmatch and pg_trgm. Makes
# a database of its own and drops it. ROWS (1000000) pairs of names, RUNS (7) runs of each query, in turn.
#
# A line a comparison: name, ns a pair of ours and of theirs, net of the scan, ratio, goal, ok or MISS. Exit status 1
# where a goal was missed.
set -eu
ROWS=${ROWS:-1000000}
RUNS=${RUNS:-7}
DB=cxm_bench_similarity_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -v runs="$RUNS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
CREATE EXTENSION fuzzystrmatch;
CREATE EXTENSION pg_trgm;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- names of 3 to 10 letters; half of the pairs are near each other
CREATE UNLOGGED TABLE pair AS
SELECT a, CASE WHEN i % 2 = 0 THEN overlay(a PLACING 'x' FROM 1 + i % length(a)) ELSE b END AS b
FROM (SELECT i, left(translate(md5(i::text), '0123456789', 'aeiourstln'), 3 + i % 8) AS a, left(translate(md5((i + 1)::text), '0123456789', 'aeiourstln'), 3 + i % 7) AS b
      FROM generate_series(1, :rows) AS i) AS made;
ALTER TABLE pair SET (autovacuum_enabled = off);
VACUUM (ANALYZE, FREEZE) pair;

CREATE FUNCTION pg_temp.ms(query text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;

CREATE FUNCTION pg_temp.compare(name text, ours text, theirs text, rows numeric, runs int, goal numeric DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a double precision[] := '{}';
    b double precision[] := '{}';
    s double precision[] := '{}';
    ma numeric;
    mb numeric;
    ms numeric;
BEGIN
    FOR i IN 1 .. runs LOOP
        a := a || pg_temp.ms('SELECT sum(' || ours || ') FROM pair');
        b := b || pg_temp.ms('SELECT sum(' || theirs || ') FROM pair');
        s := s || pg_temp.ms('SELECT sum(length(a) + length(b)) FROM pair');
    END LOOP;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO ma FROM unnest(a) AS x;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO mb FROM unnest(b) AS x;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) / 2 INTO ms FROM unnest(s) AS x;
    ma := greatest(1000000 * (ma - ms) / rows, 1);
    mb := greatest(1000000 * (mb - ms) / rows, 1);
    RETURN format('%s %s %s %s %s %s', rpad(name, 52), lpad(round(ma)::text, 9), lpad(round(mb)::text, 9), lpad(round(ma / mb, 3)::text, 7),
                  coalesce(round(goal, 2)::text, '   -'), CASE WHEN goal IS NULL THEN '' WHEN ma <= goal * mb THEN 'ok' ELSE 'MISS' END);
END $$;

SELECT rpad('ns a pair', 52) || '      ours    theirs   ratio goal';
SELECT pg_temp.compare('levenshtein / fuzzystrmatch', 'cxm.levenshtein(a, b)', 'levenshtein(a, b)', :rows, :runs, 0.6);
SELECT pg_temp.compare('levenshtein <= 2 / fuzzystrmatch', 'cxm.levenshtein(a, b, 2)', 'levenshtein_less_equal(a, b, 2)', :rows, :runs, 1);
SELECT pg_temp.compare('damerau / levenshtein of fuzzystrmatch', 'cxm.damerau(a, b)', 'levenshtein(a, b)', :rows, :runs);
SELECT pg_temp.compare('damerau <= 2 / levenshtein of fuzzystrmatch', 'cxm.damerau(a, b, 2)', 'levenshtein(a, b)', :rows, :runs, 1);
SELECT pg_temp.compare('jaro_winkler / levenshtein of fuzzystrmatch', 'cxm.jaro_winkler(a, b)', 'levenshtein(a, b)', :rows, :runs, 0.8);
SELECT pg_temp.compare('jaccard of 3-grams / similarity of pg_trgm', 'cxm.jaccard(a, b, 3)', 'similarity(a, b)', :rows, :runs, 0.8);
SQL

grep -q '^jaccard of 3-grams' "$OUT"
! grep -q 'MISS$' "$OUT"
