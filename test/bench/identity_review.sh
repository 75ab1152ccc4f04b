#!/bin/sh
# test/bench/identity_review.sh: what does undoing a merge cost in a large profile, and how long does a review of the
# whole store take?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops it.
# LINKS (1000000) live links in the store, RUNS (9) runs of each; medians, on a warm cache. The bridges are also found
# the way that people would in SQL, by leaving each link out, in one profile of 2,000 identifiers.
#
# A line a measurement: name, figure, goal, ok or MISS. Exit status 1 where a goal was missed.
set -eu
LINKS=${LINKS:-1000000}
RUNS=${RUNS:-9}
DB=cxm_bench_identity_review_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=error -c jit=off' psql -XqAt -v ON_ERROR_STOP=1 -v links="$LINKS" -v runs="$RUNS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
DO $$ BEGIN PERFORM cxm.create_store('UTC'); END $$;

-- people of four identifiers on three links; every twelfth is joined to the one before by a fourth
INSERT INTO cx.source (source) VALUES ('load');
CREATE TEMPORARY TABLE person AS SELECT p FROM generate_series(1, :links / 37 * 12) AS p;
INSERT INTO cx.profile (profile_id, canonical_id) SELECT 4 * p + k, 4 * p + k FROM person, generate_series(0, 3) AS k;
INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id)
SELECT 4 * p + k, ('{email,phone,loyalty_id,device_id}'::text[])[1 + k], p || '-' || k, 4 * p + k FROM person, generate_series(0, 3) AS k;
INSERT INTO cx.link (identifier_a, identifier_b, source_id, observed_at, verified)
SELECT 4 * p, 4 * p + k, 1, '2026-01-01', k = 1 AND p % 5 = 0 FROM person, generate_series(1, 3) AS k;
INSERT INTO cx.link (identifier_a, identifier_b, source_id, observed_at) SELECT 4 * p - 4 + 1, 4 * p + 3, 1, '2026-01-01' FROM person WHERE p % 12 = 0;
SELECT setval(pg_get_serial_sequence('cx.profile', 'profile_id'), 4 * max(p) + 4), setval(pg_get_serial_sequence('cx.identifier', 'identifier_id'), 4 * max(p) + 4) FROM person \g /dev/null
ANALYZE cx.profile, cx.identifier, cx.link;
SELECT cxm.resolve_all() \g /dev/null
VACUUM (ANALYZE) cx.profile;
VACUUM (ANALYZE) cx.identifier;
VACUUM (ANALYZE) cx.link;

CREATE FUNCTION pg_temp.ms(query text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;
CREATE FUNCTION pg_temp.median(query text, runs integer) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE taken double precision[] := '{}';
BEGIN
    PERFORM pg_temp.ms(query);
    FOR i IN 1 .. runs LOOP
        taken := taken || pg_temp.ms(query);
    END LOOP;
    RETURN (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(taken) AS t);
END $$;
CREATE FUNCTION pg_temp.judge(name text, ms numeric, goal numeric DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$SELECT rpad(name, 58) || round(ms, 1) || ' ms' || CASE WHEN goal IS NULL THEN '' ELSE ', goal ' || goal || CASE WHEN ms <= goal THEN ' ok' ELSE ' MISS' END END$$;

-- two halves of n / 2 identifiers each, joined by one link and separated again
CREATE TEMPORARY TABLE said (n serial, line text);
CREATE PROCEDURE pg_temp.unmerge(n integer, runs integer, goal numeric DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    v_half bigint[];
    v_link bigint;
    v_started timestamptz;
    v_split bigint;
    v_ms double precision[];
BEGIN
    FOR h IN 1 .. 2 LOOP
        v_half[h] := cxm.identify(jsonb_build_object(CASE h WHEN 1 THEN 'user_id' ELSE 'customer_id' END, 'half' || n || h,
                                                     'anonymous_id', (SELECT jsonb_agg(format('a%s-%s-%s', n, h, i)) FROM generate_series(1, n / 2 - 1) AS i)));
    END LOOP;
    COMMIT;
    FOR by_profile IN 0 .. 1 LOOP
        v_ms := '{}';
        FOR i IN 0 .. runs LOOP
            v_link := cxm.merge(v_half[1], v_half[2], 'bench');
            COMMIT;
            v_started := clock_timestamp();
            IF by_profile = 1 THEN
                v_split := (SELECT u.split_off FROM cxm.unmerge(v_half[2], 'bench') AS u);
            ELSE
                v_split := (SELECT u.split_off FROM cxm.unmerge(ARRAY[v_link], 'bench') AS u);
            END IF;
            COMMIT;
            -- the first run warms the cache
            IF i > 0 THEN
                v_ms := v_ms || 1000 * extract(epoch FROM clock_timestamp() - v_started)::double precision;
            END IF;
            IF v_split <> 1 THEN
                RAISE EXCEPTION 'nothing was split';
            END IF;
        END LOOP;
        INSERT INTO said (line)
        SELECT pg_temp.judge(format('unmerge by %s, profile of %s identifiers', CASE by_profile WHEN 1 THEN 'profile_id' ELSE 'link_id' END, n),
                             percentile_disc(0.5) WITHIN GROUP (ORDER BY t)::numeric, goal)
        FROM unnest(v_ms) AS t;
        COMMIT;
    END LOOP;
END $$;
CALL pg_temp.unmerge(200, :runs);
CALL pg_temp.unmerge(2000, :runs, 50);
CALL pg_temp.unmerge(20000, :runs);
SELECT line FROM said ORDER BY n;

SELECT pg_temp.judge(format('explain_profile(), profile of %s identifiers', n),
                     pg_temp.median(format('SELECT count(*) FROM cxm.explain_profile(cxm.customer(%L, %L))', 'user_id', 'half' || n || 1), :runs))
FROM unnest('{200,2000,20000}'::integer[]) AS n;
SELECT pg_temp.judge('customer_as_of()', pg_temp.median($$SELECT cxm.customer_as_of('user_id', 'half20001', now())$$, :runs), 5);

-- the whole store
SELECT format('%s live links', count(*)) FROM cx.link WHERE retired_at IS NULL;
SELECT pg_temp.judge('identity_bridges()', pg_temp.median('SELECT count(*) FROM cxm.identity_bridges()', 3), 10000);
SELECT pg_temp.judge('identity_health()', pg_temp.median('SELECT count(*) FROM cxm.identity_health()', 3), 10000);
SELECT pg_temp.judge('identity_check()', pg_temp.median('SELECT count(*) FROM cxm.identity_check()', 3), 15000);
SELECT pg_temp.judge('identity_as_of()', pg_temp.median('SELECT count(*) FROM cxm.identity_as_of(now())', 3));

-- the bridges of a graph, here and by leaving out each edge in turn
CREATE TEMPORARY TABLE chain AS
SELECT n, array_agg(g::bigint) AS a, array_agg(g::bigint + 1) AS b FROM unnest('{200,10000,100000,1000000}'::integer[]) AS n, generate_series(1, n) AS g GROUP BY n;
SELECT pg_temp.judge(format('bridges(), chain of %s edges', n), pg_temp.median(format('SELECT count(*) FROM chain AS c, cxm.bridges(c.a, c.b) WHERE n = %s', n), 5)) FROM chain ORDER BY n;
CREATE TEMPORARY TABLE edge AS SELECT u.a, u.b, u.n FROM chain AS c, unnest(c.a, c.b) WITH ORDINALITY AS u(a, b, n) WHERE c.n = 200;
CREATE INDEX ON edge (a);
CREATE INDEX ON edge (b);
ANALYZE edge;
SELECT pg_temp.judge('a recursive query for each of the 200 edges', pg_temp.median($q$
    SELECT count(*) FROM edge AS x WHERE NOT EXISTS (
        WITH RECURSIVE reached AS (
            SELECT x.a AS node
            UNION
            SELECT CASE WHEN e.a = r.node THEN e.b ELSE e.a END FROM reached AS r JOIN edge AS e ON r.node IN (e.a, e.b) AND e.n <> x.n
        )
        SELECT FROM reached AS r WHERE r.node = x.b)$q$, 3));
SQL

grep -q '^identity_check' "$OUT"
! grep -q 'MISS$' "$OUT"
