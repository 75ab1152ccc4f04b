#!/bin/sh
# test/bench/golden_record.sh: what does it cost to fold golden records when they are read?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. PEOPLE (20000) with OBSERVATIONS (10) of five traits each, from three sources, a fifth of them merged; RUNS (5)
# runs of each query, in turn. The peer is what people write by hand: DISTINCT ON over jsonb_each, which knows the most
# recent value and nothing else.
#
# A line a comparison: name, ms of ours and of theirs, ratio, goal, ok or MISS. Exit status 1 where a goal was missed.
set -eu
PEOPLE=${PEOPLE:-20000}
OBSERVATIONS=${OBSERVATIONS:-10}
RUNS=${RUNS:-5}
DB=cxm_bench_golden_record_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v people="$PEOPLE" -v observations="$OBSERVATIONS" -v runs="$RUNS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
DO $$ BEGIN PERFORM cxm.create_store('UTC'); END $$;

INSERT INTO cx.source (source_id, source) VALUES (1, 'crm'), (2, 'shop'), (3, 'web');
INSERT INTO cx.profile (profile_id, canonical_id) SELECT i, CASE WHEN i > :people THEN i - :people ELSE i END FROM generate_series(1, :people + :people / 5) AS i;
INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) SELECT i, 'email', i || '@example.com', i FROM generate_series(1, :people + :people / 5) AS i;
INSERT INTO cx.trait (identifier_id, observed_at, traits, source_id)
SELECT CASE WHEN k % 2 = 0 AND p <= :people / 5 THEN :people + p ELSE p END, timestamptz '2025-01-01Z' + (hashint4(p * 10 + k) % 1000000) * interval '1 second',
       jsonb_build_object('name', 'Name ' || p * 7 + k % 3, 'city', (ARRAY['Kiel', 'Ulm', 'Bonn', 'Berlin'])[1 + (p + k) % 4], 'age', 20 + (p + k) % 50, 'email', p || '@example.com', 'tags', jsonb_build_array('t' || k, 't' || p % 5)),
       1 + (p + k) % 3
FROM generate_series(1, :people) AS p, generate_series(1, :observations) AS k;
VACUUM ANALYZE cx.profile, cx.identifier, cx.trait, cx.source;

-- the same fold by hand, from the same people
CREATE VIEW by_hand AS
SELECT p.profile_id, latest.traits
FROM cx.profile AS p
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(d.key, d.value) FILTER (WHERE d.value <> 'null') AS traits
    FROM (SELECT DISTINCT ON (pair.key) pair.key, pair.value
          FROM (SELECT p.profile_id UNION ALL SELECT o.profile_id FROM cx.profile AS o WHERE o.canonical_id = p.profile_id AND o.canonical_id <> o.profile_id) AS member
          JOIN cx.identifier AS i ON i.profile_id = member.profile_id
          JOIN cx.trait AS t ON t.identifier_id = i.identifier_id
          CROSS JOIN LATERAL jsonb_each(t.traits) AS pair
          ORDER BY pair.key, t.observed_at DESC, t.trait_id DESC) AS d
) AS latest
WHERE p.canonical_id = p.profile_id;

CREATE FUNCTION pg_temp.ms(query text, times int) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1 .. times LOOP
        EXECUTE query;
    END LOOP;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started) / times;
END $$;

CREATE FUNCTION pg_temp.compare(name text, ours text, theirs text, times int, runs int, goal numeric DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a double precision[] := '{}';
    b double precision[] := '{}';
    ma numeric;
    mb numeric;
BEGIN
    FOR i IN 1 .. runs LOOP
        a := a || pg_temp.ms(ours, times);
        b := b || pg_temp.ms(theirs, times);
    END LOOP;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO ma FROM unnest(a) AS x;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO mb FROM unnest(b) AS x;
    RETURN format('%s %s %s %s %s %s', rpad(name, 52), lpad(round(ma, 2)::text, 9), lpad(round(mb, 2)::text, 9), lpad(round(ma / mb, 3)::text, 7),
                  coalesce(round(goal, 2)::text, '   -'), CASE WHEN goal IS NULL THEN '' WHEN ma <= goal * mb THEN 'ok' ELSE 'MISS' END);
END $$;

SELECT rpad('ms', 52) || '      ours    theirs   ratio goal';
SELECT pg_temp.compare('traits of one person / by hand', 'SELECT traits FROM cx.customer_360 WHERE profile_id = 77', 'SELECT traits FROM by_hand WHERE profile_id = 77', 200, :runs);
SELECT pg_temp.compare('provenance of one person / by hand, traits only', 'SELECT * FROM cx.profile_trait WHERE profile_id = 77', 'SELECT traits FROM by_hand WHERE profile_id = 77', 200, :runs);
SELECT pg_temp.compare('traits of all people / by hand', 'SELECT count(traits) FROM cx.customer_360', 'SELECT count(traits) FROM by_hand', 1, :runs, 0.8);
SELECT pg_temp.compare('provenance of all people / by hand, traits only', 'SELECT count(beaten) FROM cx.profile_trait', 'SELECT count(traits) FROM by_hand', 1, :runs);
SELECT pg_temp.compare('100,000 observations of a person / 10,000, ten times', 'SELECT cxm.profile_merge(jsonb_build_object(''v'', i), timestamptz ''2025-01-01Z'' + i * interval ''1 second'', ''web'') FROM generate_series(1, 100000) AS i',
    'SELECT cxm.profile_merge(jsonb_build_object(''v'', i), timestamptz ''2025-01-01Z'' + i * interval ''1 second'', ''web'') FROM generate_series(1, 100000) AS i GROUP BY i % 10', 1, :runs, 1.5);
SQL

grep -q '^100,000 observations' "$OUT"
! grep -q 'MISS$' "$OUT"
