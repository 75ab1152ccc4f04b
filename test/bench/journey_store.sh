#!/bin/sh
# test/bench/journey_store.sh: what do journeys cost the writers of a store, how fast are they folded, and how fast read?
#
# Writing: inserts into cx.event one by one and in bulk, with the triggers of journeys, without them, and with what people
# write by hand: a row trigger that keeps an array a customer (INSERT ... ON CONFLICT DO UPDATE). Folding: the last day of
# ninety into the journeys of the days before. Reading: cxm.journeys() beside the same journeys put together from the records,
# as arrays in order of time (array_agg) and by cxm.journey_agg; at three sizes. Ways take turns; what is compared are
# medians. Commits do not wait for the disk. One process reads, unless it says otherwise.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its own and
# drops it. RUNS (5) runs of SECONDS_EACH (2) seconds for each way of writing; SIZES (500000 2000000 8000000) events in the
# store, 40 a customer.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
SIZES=${SIZES:-500000 2000000 8000000}
HERE=$(cd "$(dirname "$0")" && pwd)
DB=cxm_bench_journey_store_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
export PGOPTIONS='-c synchronous_commit=off -c client_min_messages=warning -c jit=off -c max_parallel_workers_per_gather=0'

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"; }
median() { sort -g "$1" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
# milliseconds STATEMENT: of the last of the statements
milliseconds() { printf '\\timing on\n%s\n' "$1" | sql -o /dev/null -f - > "$TEMP/out"; sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$TEMP/out" | tail -1; }

# fill EVENTS: the store with the bench data, all but the last day folded
fill()
{
	sql -c 'DROP SCHEMA IF EXISTS cx CASCADE' -c 'DROP EXTENSION IF EXISTS cxm CASCADE' -c 'CREATE EXTENSION cxm' -c "SELECT cxm.create_store('UTC')" > "$TEMP/log"
	sql -v events="$1" -f "$HERE/journey_data.sql" > "$TEMP/log"
	sql > "$TEMP/log" <<-'SQL'
		DROP TABLE bench_journey;
		INSERT INTO cx.event_type (event_type_id, key) SELECT i, 'e' || i FROM generate_series(1, 12) AS i;
		INSERT INTO cx.profile (profile_id, canonical_id) SELECT i, i FROM generate_series(1, (SELECT max(customer) FROM bench_event)) AS i;
		INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) SELECT i, 'user_id', 'u' || i, i FROM generate_series(1, (SELECT max(customer) FROM bench_event)) AS i;
		SELECT cxm.make_partition('event', m) FROM unnest('{2026-01-01,2026-02-01,2026-03-01}'::timestamp[]) AS m;
		ALTER TABLE cx.event DISABLE TRIGGER journey_insert;
		INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) SELECT at, customer, code FROM bench_event WHERE at < '2026-03-31';
		ALTER TABLE cx.event ENABLE TRIGGER journey_insert;
		VACUUM ANALYZE;
	SQL
	built=$(milliseconds 'SET synchronous_commit = on; SELECT cxm.rebuild_journey_range(0, 9223372036854775807);')
	sql > "$TEMP/log" <<-'SQL'
		SET synchronous_commit = on;
		VACUUM ANALYZE cx.journey;
		INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) SELECT at, customer, code FROM bench_event WHERE at >= '2026-03-31';
		VACUUM ANALYZE cx.journey_delta;
		CHECKPOINT;
	SQL
}

# read_all: the ways of reading all journeys, in turn
QUERY_store='SELECT sum(cxm.count(journey)) FROM cxm.journeys();'
QUERY_agg='SELECT sum(cxm.count(journey)) FROM (SELECT p.canonical_id, cxm.journey_agg(e.occurred_at, e.event_type_id) AS journey FROM cx.event AS e JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id) GROUP BY 1) AS x;'
QUERY_array='SELECT sum(cardinality(times)) FROM (SELECT p.canonical_id, array_agg(e.occurred_at ORDER BY e.occurred_at) AS times, array_agg(e.event_type_id ORDER BY e.occurred_at) AS codes FROM cx.event AS e JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id) GROUP BY 1) AS x;'
read_all()
{
	rm -f "$TEMP"/read_*
	for _ in 1 2 3
	do
		milliseconds "SET work_mem = '256MB'; $QUERY_store" >> "$TEMP/read_store"
		milliseconds "SET work_mem = '256MB'; $QUERY_agg" >> "$TEMP/read_agg"
		milliseconds "SET work_mem = '256MB'; $QUERY_array" >> "$TEMP/read_array"
	done
	store=$(median "$TEMP/read_store")
	agg=$(median "$TEMP/read_agg")
	array=$(median "$TEMP/read_array")
}

first=
for size in $SIZES
do
	fill "$size"
	events=$(sql -c 'SELECT count(*) FROM cx.event')
	day=$(sql -c 'SELECT count(*) FROM cx.journey_delta')
	customers=$(sql -c 'SELECT count(*) FROM cx.identifier')
	echo "== $events events, $customers customers, $day events on the last day"
	awk -v n="$events" -v ms="$built" 'BEGIN {printf "built from the records: %.0f events/s\n", 1000 * n / ms}'

	read_all
	awk -v s="$store" -v g="$agg" -v a="$array" -v c="$customers" 'BEGIN {
		printf "read all, the last day not folded: cxm.journeys() %.0f ms; from the records by cxm.journey_agg %.0f ms (%.1f x), by array_agg %.0f ms (%.1f x)\n", s, g, g / s, a, a / s}'

	# what a fold leaves is put back as it was; VACUUM marks rows as seen only when their commit is on disk
	sql -c 'CREATE TABLE public.base AS TABLE cx.journey' -c 'CREATE TABLE public.day AS TABLE cx.journey_delta' > "$TEMP/log"
	rm -f "$TEMP/fold"
	for run in 1 2 3
	do
		if [ "$run" -gt 1 ]
		then
			sql -c 'SET synchronous_commit = on' -c 'TRUNCATE cx.journey, cx.journey_delta' -c 'INSERT INTO cx.journey TABLE public.base' -c 'INSERT INTO cx.journey_delta TABLE public.day' \
				-c 'VACUUM ANALYZE cx.journey, cx.journey_delta' -c CHECKPOINT > "$TEMP/log"
		fi
		milliseconds 'CALL cxm.fold_journeys();' >> "$TEMP/fold"
	done
	# of a small day it is the beginning and end of the job that is measured
	awk -v n="$day" -v ms="$(median "$TEMP/fold")" 'BEGIN {
		r = 1000 * n / ms
		printf "fold a day of events: %.0f events/s (%.0f ms)", r, ms
		if (n >= 50000)
			printf ", at least 300000 %s", (r >= 300000 ? "ok" : "MISS")
		printf "\n"}'
	sql -c 'DROP TABLE public.base, public.day' -c 'VACUUM ANALYZE cx.journey' > "$TEMP/log"

	read_all
	awk -v s="$store" -v g="$agg" -v a="$array" -v c="$customers" -v e="$events" 'BEGIN {
		printf "read all, folded: cxm.journeys() %.0f ms, %.0f customers/s, %.1f M events/s; by cxm.journey_agg %.1f x, by array_agg %.1f x, at least 5 %s\n",
			s, 1000 * c / s, e / s / 1000, g / s, a / s, (a / s >= 5 ? "ok" : "MISS")}'
	rm -f "$TEMP/of"
	for customer in 3 17 171 1717 4711
	do
		milliseconds "SELECT cxm.journey_of(1); SELECT cxm.journey_of($customer);" >> "$TEMP/of"
	done
	awk -v ms="$(median "$TEMP/of")" 'BEGIN {printf "one customer: %.2f ms, at most 5 %s\n", ms, (ms <= 5 ? "ok" : "MISS")}'
	sql -c "SELECT format('cx.journey %s, cx.event %s: %s x smaller, at least 5 %s', pg_size_pretty(j.n), pg_size_pretty(e.n), round(e.n / j.n::numeric, 1), CASE WHEN e.n >= 5 * j.n THEN 'ok' ELSE 'MISS' END)
		FROM (SELECT pg_total_relation_size('cx.journey') AS n) AS j, (SELECT sum(pg_total_relation_size(relid)) AS n FROM pg_partition_tree('cx.event') WHERE isleaf) AS e"
	if [ -n "$first" ]
	then
		awk -v a="$first_size" -v b="$events" -v s="$first" -v t="$store" 'BEGIN {g = (t / s) / (b / a); printf "growth of reading: %.1f x the events, %.1f x the time, at most 1.5 x as much %s\n", b / a, t / s, (g <= 1.5 ? "ok" : "MISS")}'
	fi
	first=$store
	first_size=$events
done

# ---- writing

customers=$(sql -c 'SELECT count(*) FROM cx.identifier')
sql > "$TEMP/log" <<'SQL'
CREATE TABLE public.hand (identifier_id bigint PRIMARY KEY, times timestamptz[], codes integer[]);
CREATE FUNCTION public.by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.hand AS h VALUES (NEW.identifier_id, ARRAY[NEW.occurred_at], ARRAY[NEW.event_type_id])
    ON CONFLICT (identifier_id) DO UPDATE SET times = h.times || excluded.times, codes = h.codes || excluded.codes;
    RETURN NULL;
END
$$;
CREATE TRIGGER by_hand AFTER INSERT ON cx.event FOR EACH ROW EXECUTE FUNCTION public.by_hand();
INSERT INTO public.hand SELECT identifier_id, array_agg(occurred_at ORDER BY occurred_at), array_agg(event_type_id ORDER BY occurred_at) FROM cx.event GROUP BY 1;
VACUUM ANALYZE public.hand;
SQL
cat > "$TEMP/one.sql" <<SQL
\\set customer random(1, $customers)
\\set type random(1, 12)
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) VALUES ('2026-03-31 12:00Z', :customer, :type);
SQL
BULK="INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) SELECT '2026-03-31 12:00Z', 1 + (hashint4(i) & 2147483647) % $customers, 1 + i % 12 FROM generate_series(1, 100000) AS i;"

# with_way bare|journeys|hand
with_way()
{
	hand=DISABLE
	journeys=DISABLE
	case $1 in
		journeys) journeys=ENABLE ;;
		hand) hand=ENABLE ;;
	esac
	sql -c "ALTER TABLE cx.event $journeys TRIGGER journey_insert" -c "ALTER TABLE cx.event $hand TRIGGER by_hand" > "$TEMP/log"
}

for run in $(seq "$RUNS")
do
	for way in bare journeys hand
	do
		with_way $way
		pgbench -n -M prepared -T "$SECONDS_EACH" -f "$TEMP/one.sql" "$DB" 2> "$TEMP/log" | sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' >> "$TEMP/one_$way"
		milliseconds "$BULK" >> "$TEMP/bulk_$way"
	done
done
for kind in one bulk
do
	awk -v b="$(median "$TEMP/${kind}_bare")" -v j="$(median "$TEMP/${kind}_journeys")" -v h="$(median "$TEMP/${kind}_hand")" -v k="$kind" 'BEGIN {
		unit = k == "one" ? "us an insert" : "us a row of 100000"
		f = k == "one" ? 1000 : 0.01
		goal = k == "one" ? 1.5 : 2
		printf "%s: bare %.1f, with journeys %.1f (%.2f x, at most %.1f), kept by hand %.1f (%.2f x): %s\n", unit, f * b, f * j, j / b, goal, f * h, h / b, (j / b <= goal ? "ok" : "MISS")}'
done
