#!/bin/sh
# test/bench/scorecard.sh: what does a scorecard cost beside the SQL that people write for the same figures?
#
# NPS and CSAT by location and month: cxm.scorecard() with its intervals, changes and tests beside a plain GROUP BY that
# has the two scores and their counts alone; rolling windows of twelve months beside single months; the plain way to
# windows of twelve months (sums of counts over a frame); and some of the counted measures, each by itself.
# At three sizes; ways take turns; what is compared are medians of times. One process reads, and in parallel as well.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops it.
# RUNS (5) of each way; SIZES (300000 1000000 3000000) answers over two years, fifty locations; COUNTED=no leaves the
# counted measures out.
set -eu
RUNS=${RUNS:-5}
SIZES=${SIZES:-300000 1000000 3000000}
COUNTED=${COUNTED:-yes}
DB=cxm_bench_scorecard_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
WORKERS=0

sql() { PGOPTIONS="-c synchronous_commit=off -c client_min_messages=warning -c jit=off -c max_parallel_workers_per_gather=$WORKERS" psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"; }
median() { sort -g "$1" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
milliseconds() { printf '\\timing on\n%s\n' "$1" | sql -o /dev/null -f - > "$TEMP/out"; sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$TEMP/out" | tail -1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

fill()
{
	sql -c 'DROP SCHEMA IF EXISTS cx CASCADE' -c 'DROP EXTENSION IF EXISTS cxm CASCADE' -c 'CREATE EXTENSION cxm' -c "SELECT cxm.create_store('Europe/Berlin')" > "$TEMP/log"
	sql -v n="$1" > "$TEMP/log" <<-'SQL'
		INSERT INTO cx.location (key) SELECT 'l' || i FROM generate_series(1, 50) AS i;
		INSERT INTO cx.profile (profile_id, canonical_id) SELECT i, i FROM generate_series(1, :n / 20) AS i;
		INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) SELECT i, 'user_id', 'u' || i, i FROM generate_series(1, :n / 20) AS i;
		SELECT cxm.make_partition(t, m) FROM unnest('{feedback,purchase}'::text[]) AS t, generate_series(timestamp '2024-01-01', '2025-12-01', '1 month') AS m;
		ALTER TABLE cx.feedback DISABLE TRIGGER USER;
		ALTER TABLE cx.purchase DISABLE TRIGGER USER;
		INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, location_id)
		SELECT timestamptz '2024-01-01 00:00+00' + (i * 7919::bigint % 1051200) * interval '1 minute', 1 + i * 31::bigint % (:n / 20), CASE i % 2 WHEN 0 THEN 'nps' ELSE 'csat' END,
		       CASE i % 2 WHEN 0 THEN hashint8(i) & 7 ELSE 1 + (hashint8(i) & 3) END + (hashint8(i) >> 4 & 1), CASE i % 2 WHEN 0 THEN 0 ELSE 1 END, CASE i % 2 WHEN 0 THEN 10 ELSE 5 END, 1 + (hashint8(i) >> 8 & 1023) % 50
		FROM generate_series(1, :n) AS i;
		INSERT INTO cx.purchase (occurred_at, identifier_id, order_id, amount, currency, location_id)
		SELECT timestamptz '2024-01-01 00:00+00' + (i * 7919::bigint % 1051200) * interval '1 minute', 1 + (hashint8(i) & 2147483647) % (:n / 20), 'o' || i, 1 + i % 90, 'EUR', 1 + i % 50 FROM generate_series(1, :n / 2) AS i;
		VACUUM ANALYZE;
		CHECKPOINT;
	SQL
}

OURS="SELECT count(value) FROM cxm.scorecard('month', 'location', measures => '{nps,csat}');"
ROLLING="SELECT count(value) FROM cxm.scorecard('month', 'location', rolling => 12, measures => '{nps,csat}');"
PLAIN="SELECT count(nps), count(csat) FROM (SELECT l.key, date_trunc('month', f.occurred_at AT TIME ZONE 'Europe/Berlin') AS month,
	count(*) FILTER (WHERE f.metric = 'nps') AS nps_n, 100.0 * (count(*) FILTER (WHERE f.metric = 'nps' AND f.score >= 9) - count(*) FILTER (WHERE f.metric = 'nps' AND f.score <= 6)) / nullif(count(*) FILTER (WHERE f.metric = 'nps'), 0) AS nps,
	count(*) FILTER (WHERE f.metric = 'csat') AS csat_n, 100.0 * count(*) FILTER (WHERE f.metric = 'csat' AND f.score >= 4) / nullif(count(*) FILTER (WHERE f.metric = 'csat'), 0) AS csat
	FROM cx.feedback AS f JOIN cx.location AS l USING (location_id) WHERE f.metric IN ('nps', 'csat') GROUP BY 1, 2) AS x;"
PLAIN_ROLLING="SELECT count(nps), count(csat) FROM (SELECT key, month, 100.0 * (sum(p) OVER w - sum(d) OVER w) / nullif(sum(n) OVER w, 0) AS nps, 100.0 * sum(s) OVER w / nullif(sum(c) OVER w, 0) AS csat
	FROM (SELECT l.key, date_trunc('month', f.occurred_at AT TIME ZONE 'Europe/Berlin') AS month,
	count(*) FILTER (WHERE f.metric = 'nps') AS n, count(*) FILTER (WHERE f.metric = 'nps' AND f.score >= 9) AS p, count(*) FILTER (WHERE f.metric = 'nps' AND f.score <= 6) AS d,
	count(*) FILTER (WHERE f.metric = 'csat') AS c, count(*) FILTER (WHERE f.metric = 'csat' AND f.score >= 4) AS s
	FROM cx.feedback AS f JOIN cx.location AS l USING (location_id) WHERE f.metric IN ('nps', 'csat') GROUP BY 1, 2) AS x
	WINDOW w AS (PARTITION BY key ORDER BY month RANGE BETWEEN interval '11 months' PRECEDING AND CURRENT ROW)) AS y;"

for size in $SIZES; do
	fill "$size"
	for WORKERS in 0 2; do
		rm -f "$TEMP"/t.*
		i=0
		while [ "$i" -lt "$RUNS" ]; do
			milliseconds "$OURS" >> "$TEMP/t.ours"
			milliseconds "$PLAIN" >> "$TEMP/t.plain"
			milliseconds "$ROLLING" >> "$TEMP/t.rolling"
			milliseconds "$PLAIN_ROLLING" >> "$TEMP/t.plain_rolling"
			i=$((i + 1))
		done
		ours=$(median "$TEMP/t.ours") plain=$(median "$TEMP/t.plain") rolling=$(median "$TEMP/t.rolling") plain_rolling=$(median "$TEMP/t.plain_rolling")
		echo "$size answers, $WORKERS workers: scorecard $ours ms, plain SQL $plain ms, ratio $(ratio "$ours" "$plain"); rolling 12 $rolling ms, to single months $(ratio "$rolling" "$ours"), to plain SQL over a frame ($plain_rolling ms) $(ratio "$rolling" "$plain_rolling")"
	done
	[ "$COUNTED" = yes ] || continue
	for rolling in 1 12; do
		for measure in retention_rate repeat_purchase_rate complaint_rate clv; do
			echo "$size answers, half as many purchases: $measure by month, $rolling together: $(milliseconds "SELECT count(value) FROM cxm.scorecard('month', rolling => $rolling, measures => '{$measure}');") ms"
		done
	done
done
