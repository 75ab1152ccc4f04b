#!/bin/sh
# test/bench/drivers.sh: what do co-moments and the drivers read from them cost?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and
# drops it. ROWS (1000000) rows of ten drivers, RUNS (5) runs of each query. The two queries of a comparison run in
# turn, so that a slow moment of the machine hits both; what is compared are the medians, on a warm cache.
#
# A line a comparison: name, median ms of ours, median ms of theirs or the goal in ms, ratio, goal, ok or MISS. Exit
# status 1 where a goal was missed.
#
# Rivals: for co-moments, the built-in corr() of the same pairs; for LMG, the same subsets in PL/pgSQL, and with
# python3-numpy, where that is installed, which solves all subsets of one size at once.
set -eu
ROWS=${ROWS:-1000000}
RUNS=${RUNS:-5}
DB=cxm_bench_drivers_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT" "$OUT.moments"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
echo "drivers: loading $ROWS rows" >&2

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -v runs="$RUNS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
SET max_parallel_workers_per_gather = 0;

-- ratings from 1 to 5 that go together, in columns and in an array; in one of twenty rows one is missing
CREATE UNLOGGED TABLE answer AS
SELECT i, y, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, ARRAY[x1, x2, x3, x4, x5, x6, x7, x8, x9, x10] AS x,
       ARRAY[x1, x2, x3, x4, x5, CASE WHEN i % 20 > 0 THEN x6 END, x7, x8, x9, x10] AS gap
FROM (SELECT i, floor(1 + 10 * (c + random()) / 2)::double precision AS y, floor(1 + 5 * (c + random()) / 2)::double precision AS x1, floor(1 + 5 * (c + random()) / 2)::double precision AS x2,
             floor(1 + 5 * (c + random()) / 2)::double precision AS x3, floor(1 + 5 * (c + random()) / 2)::double precision AS x4, floor(1 + 5 * (c + random()) / 2)::double precision AS x5,
             floor(1 + 5 * (c + random()) / 2)::double precision AS x6, floor(1 + 5 * (c + random()) / 2)::double precision AS x7, floor(1 + 5 * (c + random()) / 2)::double precision AS x8,
             floor(1 + 5 * (c + random()) / 2)::double precision AS x9, floor(1 + 5 * (c + random()) / 2)::double precision AS x10
      FROM (SELECT i, random() AS c FROM generate_series(1, :rows) AS i) AS common) AS made;
ALTER TABLE answer SET (autovacuum_enabled = off);
VACUUM (ANALYZE, FREEZE) answer;

CREATE FUNCTION pg_temp.ms(query text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;

CREATE FUNCTION pg_temp.line(name text, ours numeric, theirs numeric, goal numeric) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s %s %s %s', rpad(name, 58), lpad(round(ours, 3)::text, 10), lpad(round(theirs, 3)::text, 10), lpad(round(ours / theirs, 4)::text, 8),
                  coalesce(round(goal, 2)::text, '   -'), CASE WHEN goal IS NULL THEN '' WHEN ours / theirs <= goal THEN 'ok' ELSE 'MISS' END) $$;

CREATE FUNCTION pg_temp.compare(name text, ours text, theirs text, goal numeric, runs int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a double precision[] := '{}';
    b double precision[] := '{}';
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
    RETURN pg_temp.line(name, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x)::numeric FROM unnest(a) AS x),
                        (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x)::numeric FROM unnest(b) AS x), goal);
END $$;

-- all pairs of the outcome and ten drivers, and only those with the outcome
SELECT 'SELECT ' || string_agg(format('corr(%s, %s)', a, b), ', ') || ' FROM answer' AS pairs
FROM (SELECT CASE n WHEN 0 THEN 'y' ELSE 'x' || n END AS a, n AS i FROM generate_series(0, 10) AS n) AS one, (SELECT 'x' || n AS b, n AS j FROM generate_series(1, 10) AS n) AS two WHERE i < j \gset
SELECT 'SELECT ' || string_agg(format('corr(y, x%s)', n), ', ') || ' FROM answer' AS some FROM generate_series(1, 10) AS n \gset

SELECT pg_temp.compare('comoments_agg, 10 drivers / corr() of the 55 pairs', 'SELECT cxm.comoments_agg(y, x) FROM answer', :'pairs', 0.25, :runs);
SELECT pg_temp.compare('comoments_agg, 10 drivers / corr() of 10 pairs', 'SELECT cxm.comoments_agg(y, x) FROM answer', :'some', 1.00, :runs);
SELECT pg_temp.compare('comoments_agg of columns / corr() of the 55 pairs', 'SELECT cxm.comoments_agg(y, ARRAY[x1, x2, x3, x4, x5, x6, x7, x8, x9, x10]) FROM answer', :'pairs', 0.40, :runs);
SELECT pg_temp.compare('comoments_agg pairwise, with gaps / corr() of the 55 pairs', 'SELECT cxm.comoments_agg(y, gap, ''pairwise'') FROM answer', :'pairs', 0.75, :runs);
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SELECT pg_temp.compare('parallel: comoments_agg / corr() of the 55 pairs', 'SELECT cxm.comoments_agg(y, x) FROM answer', :'pairs', 0.50, :runs);
SET max_parallel_workers_per_gather = 0;

-- growth: ten times the rows, at most ten times the time (and half again, for what no longer fits a CPU cache)
SELECT pg_temp.compare(format('growth: %s rows / 10 x %s rows', n * 10, n), format('SELECT cxm.comoments_agg(y, x) FROM (SELECT y, x FROM answer LIMIT %s) AS a', n * 10),
                       format('SELECT cxm.comoments_agg(y, x) FROM (%s) AS a', rtrim(repeat(format('(SELECT y, x FROM answer LIMIT %s) UNION ALL ', n), 10), 'UNION ALL ')), 1.50, :runs)
FROM unnest(ARRAY[:rows / 100, :rows / 10]) AS n;

-- LMG: goals in ms
CREATE TABLE moments AS
SELECT p, cxm.comoments_agg(y + u, x) AS c
FROM unnest(ARRAY[5, 8, 10, 15, 20, 25]) AS p, LATERAL (SELECT u, u + random() AS y, (SELECT array_agg(u * random() + random() + 0 * k) FROM generate_series(1, p) AS k) AS x FROM (SELECT random() + 0 * p AS u FROM generate_series(1, 500)) AS r) AS s
GROUP BY p;
CREATE FUNCTION pg_temp.within(drivers int, calls int, goal numeric, runs int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    times double precision[] := '{}';
    c cxm.comoments := (SELECT m.c FROM moments AS m WHERE m.p = drivers);
    started timestamptz;
    lmg double precision[] := cxm.drivers_lmg(c);
    median numeric;
BEGIN
    FOR i IN 1 .. runs LOOP
        started := clock_timestamp();
        FOR j IN 1 .. calls LOOP
            lmg := cxm.drivers_lmg(c);
        END LOOP;
        times := times || 1000 * extract(epoch FROM clock_timestamp() - started)::double precision / calls;
    END LOOP;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) INTO median FROM unnest(times) AS x;
    RETURN pg_temp.line(format('drivers_lmg, %s drivers / goal', drivers), median, goal, 1);
END $$;
SELECT pg_temp.within(10, 200, 0.1, :runs);
SELECT pg_temp.within(15, 20, 2, :runs);
SELECT pg_temp.within(20, 2, 60, :runs);
SELECT pg_temp.within(25, 1, 3000, 3);

-- the same in PL/pgSQL: R squared of every subset by elimination, then the weights
CREATE FUNCTION pg_temp.lmg_by_hand(c cxm.comoments) RETURNS double precision[] LANGUAGE plpgsql AS $$
DECLARE
    m double precision[] := cxm.correlations(c);
    p int := array_upper(m, 1);
    r2 double precision[] := array_fill(0::double precision, ARRAY[1 << p]);
    a double precision[];
    lmg double precision[] := array_fill(0::double precision, ARRAY[p]);
    size int;
    pivot double precision;
    factor double precision;
BEGIN
    FOR s IN 1 .. (1 << p) - 1 LOOP
        a := m;
        FOR k IN 1 .. p LOOP
            CONTINUE WHEN s >> (k - 1) & 1 = 0;
            pivot := a[k][k];
            FOR i IN 0 .. p LOOP
                CONTINUE WHEN i = k;
                factor := a[i][k] / pivot;
                FOR j IN 0 .. p LOOP
                    a[i][j] := a[i][j] - factor * a[k][j];
                END LOOP;
            END LOOP;
        END LOOP;
        r2[s + 1] := 1 - a[0][0];
    END LOOP;
    FOR k IN 1 .. p LOOP
        FOR s IN 0 .. (1 << p) - 1 LOOP
            CONTINUE WHEN s >> (k - 1) & 1 = 1;
            size := length(replace(s::bit(31)::text, '0', ''));
            lmg[k] := lmg[k] + (r2[(s | 1 << (k - 1)) + 1] - r2[s + 1]) * (factorial(size) * factorial(p - size - 1) / factorial(p))::double precision;
        END LOOP;
    END LOOP;
    RETURN lmg;
END $$;
DO $$
BEGIN
    ASSERT (SELECT max(abs(a - b)) < 1e-9 FROM moments AS m, unnest(cxm.drivers_lmg(m.c), pg_temp.lmg_by_hand(m.c)) AS v(a, b) WHERE p = 5), 'the rival reckons otherwise';
END $$;
SELECT pg_temp.compare('drivers_lmg, 5 drivers / all subsets in PL/pgSQL', 'SELECT cxm.drivers_lmg(c) FROM moments WHERE p = 5', 'SELECT pg_temp.lmg_by_hand(c) FROM moments WHERE p = 5', 0.10, :runs);
SELECT pg_temp.compare('drivers_lmg, 8 drivers / all subsets in PL/pgSQL', 'SELECT cxm.drivers_lmg(c) FROM moments WHERE p = 8', 'SELECT pg_temp.lmg_by_hand(c) FROM moments WHERE p = 8', 0.10, :runs);

-- a thousand replicates of ten drivers: groups of rows make it independent of their number
CREATE TABLE grouped AS SELECT array_agg(c) AS samples FROM (SELECT hashint4(i) & 1023 AS g, cxm.comoments_agg(y, x) AS c FROM answer GROUP BY 1) AS s;
SELECT pg_temp.compare('bootstrap, 1000 replicates of 1024 groups / aggregating rows', 'SELECT cxm.drivers_bootstrap(samples) FROM grouped', 'SELECT cxm.comoments_agg(y, x) FROM answer', NULL, :runs);
SELECT pg_temp.compare('bootstrap: 1000 replicates / 10 x 100 replicates', 'SELECT cxm.drivers_bootstrap(samples) FROM grouped', 'SELECT cxm.drivers_bootstrap(samples, replicates => 100, seed => n) FROM grouped, generate_series(1, 10) AS n', 1.50, :runs);
SQL

# the same subsets with numpy
psql -Xqc "\\copy (SELECT p, cxm.correlations(c) FROM moments WHERE p IN (10, 15)) TO STDOUT" -d "$DB" >"$OUT.moments"
numpy=
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import numpy' 2>/dev/null; then numpy=$python; break; fi
done
if [ -n "$numpy" ]; then
	for p in 10 15; do
		theirs=$(OPENBLAS_NUM_THREADS=1 "$numpy" - "$OUT.moments" $p <<'PY'
import itertools, math, statistics, sys, time
import numpy as np

for line in open(sys.argv[1]):
    p, text = line.rstrip("\n").split("\t")
    if p == sys.argv[2]:
        matrix = np.array([[float(r) for r in row.split(",")] for row in text.split("=", 1)[-1].strip("{}").split("},{")])
p = int(sys.argv[2])


def lmg():
    r, ry = matrix[1:, 1:], matrix[1:, 0]
    r2 = np.zeros(1 << p)
    for k in range(1, p + 1):
        sets = np.array(list(itertools.combinations(range(p), k)))
        b = np.linalg.solve(r[sets[:, :, None], sets[:, None, :]], ry[sets][:, :, None])[:, :, 0]
        r2[(1 << sets).sum(axis=1)] = (b * ry[sets]).sum(axis=1)
    size = np.array([bin(s).count("1") for s in range(1 << p)])
    weight = np.array([math.factorial(s) * math.factorial(p - s - 1) / math.factorial(p) if s < p else 0 for s in range(p + 1)])
    answer = []
    for j in range(p):
        without = np.flatnonzero((np.arange(1 << p) >> j) & 1 == 0)
        answer.append(((r2[without | 1 << j] - r2[without]) * weight[size[without]]).sum())
    return answer


times = []
for i in range(5):
    began = time.perf_counter()
    lmg()
    times.append((time.perf_counter() - began) * 1000)
print(statistics.median(times))
PY
)
		ours=$(awk -v name="$p drivers / goal" 'index($0, name) { print $(NF - 4) }' "$OUT")
		awk -v p="$p" -v a="$ours" -v b="$theirs" 'BEGIN { printf "%-58s %10.3f %10.3f %8.4f 0.05 %s\n", "drivers_lmg, " p " drivers / all subsets with numpy", a, b, a / b, a / b <= 0.05 ? "ok" : "MISS" }' | tee -a "$OUT"
	done
else
	echo "drivers: python3-numpy is not installed, so it is not compared" >&2
fi

# psql's own status is lost in the pipe: the last comparison must be there, and none may be missed
grep -q '^bootstrap: ' "$OUT"
! grep -q 'MISS$' "$OUT"
