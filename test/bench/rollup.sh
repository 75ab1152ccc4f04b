#!/bin/sh
# test/bench/rollup.sh: what does a rollup save those who read, and cost those who write?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. DuckDB comes from npm (@duckdb/node-api) into a temporary folder; where there is no Node.js or no network the
# comparisons with it are left out. SIZES ("1000000 10000000"; also 100000000) answers over a year and 100 stores;
# RUNS (5) runs of each, in turn; SECONDS_EACH (4) of writing.
#
# Read: NPS by store over all time, out of a rollup by month, folded, and with changes of the last month that wait to be,
# against DuckDB's scan of the raw rows. Both give the same figures. Written: single rows, in a transaction each, by prepared statements, into a table
# with two rollups and into one without; by one client, and by 16 that all hit one group of each rollup.
#
# A line a comparison: name, ours and theirs (medians), ratio, goal, ok or MISS. Exit status 1 where a goal was missed.
set -eu
SIZES=${SIZES:-1000000 10000000}
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
DB=cxm_bench_rollup_$$
here=$(cd "$(dirname "$0")" && pwd -P)

PEERS=duckdb
# shellcheck source=test/bench/peers
. "$here/peers"

# report NAME OURS THEIRS at-most|at-least GOAL
report()
{
	awk -v name="$1" -v ours="$2" -v theirs="$3" -v sense="$4" -v goal="$5" 'BEGIN {
		if (theirs == "") {
			printf "%-58s %10.3f          -       -    -\n", name, ours
			exit
		}
		ratio = ours / theirs
		printf "%-58s %10.3f %10.3f %7.3f %s%s %s\n", name, ours, theirs, ratio, sense == "at-most" ? "<=" : ">=", goal,
			(sense == "at-most" ? ratio <= goal : ratio >= goal) ? "ok" : "MISS"
	}' | tee -a "$TEMP/out"
}

# the median of eleven in one session, as the server sees them: "milliseconds checksum"
ours()
{
	run <<-'SQL'
		DO $$
		DECLARE
		    started timestamptz;
		    taken numeric[];
		    checksum numeric;
		BEGIN
		    FOR i IN 1 .. 11 LOOP
		        started := clock_timestamp();
		        SELECT sum((s.store_id + 1) * s.nps) INTO checksum FROM (SELECT store_id, cxm.nps(cxm.rollup(nps)) AS nps FROM cx.store_nps_state GROUP BY store_id) AS s;
		        taken := taken || extract(epoch FROM clock_timestamp() - started)::numeric * 1000;
		    END LOOP;
		    PERFORM set_config('bench.answer', concat_ws(' ', (SELECT round(percentile_disc(0.5) WITHIN GROUP (ORDER BY t), 3) FROM unnest(taken) AS t), round(checksum, 3)), false);
		END $$;
		SELECT current_setting('bench.answer');
	SQL
}

theirs()
{
	echo run >&3
	read -r answer <&4
	echo "$answer"
}

# compare NAME GOAL
compare()
{
	: >"$TEMP/ours"
	: >"$TEMP/theirs"
	for _ in $(seq "$RUNS"); do
		ours >>"$TEMP/ours"
		[ "$duckdb" = no ] || theirs >>"$TEMP/theirs"
	done
	report "$1" "$(median 1 "$TEMP/ours")" "$(median 1 "$TEMP/theirs")" at-most "$2"
	if [ "$duckdb" != no ] && [ "$3" = same ] && [ "$(awk '{ print $2 }' "$TEMP/ours" "$TEMP/theirs" | sort -u | wc -l)" -ne 1 ]; then
		echo "the two disagree: $(awk '{ print $2 }' "$TEMP/ours" "$TEMP/theirs" | sort -u | tr '\n' ' ') MISS" | tee -a "$TEMP/out"
	fi
}

run <<-'SQL'
	CREATE EXTENSION cxm;
	SELECT cxm.create_store('UTC') \g /dev/null
	CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, store_id integer NOT NULL, score smallint, comment text);
	CREATE TABLE rolled (LIKE plain INCLUDING ALL);
	SELECT cxm.create_rollup('by_day', 'rolled', 'at', 'day', dimensions => '["store_id"]', measures => '{"nps": {"nps": "score"}}') \g /dev/null
	SELECT cxm.create_rollup('by_month', 'rolled', 'at', 'month', measures => '{"nps": {"nps": "score"}, "answers": {"count": "*"}}') \g /dev/null
SQL
for table in plain rolled; do
	printf '\\set score random(0, 10)\nINSERT INTO %s (at, store_id, score, comment) VALUES (now(), 1, :score, %s);\n' \
		"$table" "'what a customer may have written about a visit'" >"$TEMP/$table.pgbench"
done

write()
{
	pgbench -n -M prepared -c "$1" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.pgbench" "$DB" 2>/dev/null | awk '/^tps/ { print $3 }'
}

printf '%-58s       ours     theirs   ratio goal\n' "inserts/s with two rollups / without"
for clients in 1 16; do
	: >"$TEMP/ours"
	: >"$TEMP/theirs"
	for _ in $(seq "$RUNS"); do
		write $clients rolled >>"$TEMP/ours"
		write $clients plain >>"$TEMP/theirs"
	done
	report "$clients clients, single rows, one group" "$(median 1 "$TEMP/ours")" "$(median 1 "$TEMP/theirs")" at-least 0.75
done
differences=$(run -c "SELECT (SELECT count(*) FROM cxm.rollup_check('by_day')) + (SELECT count(*) FROM cxm.rollup_check('by_month'))")
[ "$differences" -eq 0 ] || echo "$differences groups differ MISS" | tee -a "$TEMP/out"
run -c "CALL cxm.fold_rollups()"

printf '%-58s       ours     theirs   ratio goal\n' "ms for NPS by store: rollup / DuckDB on raw rows"
for rows in $SIZES; do
	run -v rows="$rows" <<-'SQL'
		DROP TABLE IF EXISTS answer CASCADE;
		SELECT cxm.drop_rollup(r.name) FROM cx.rollup AS r WHERE r.name = 'store_nps' \g /dev/null
		CREATE TABLE answer AS
		SELECT timestamptz '2024-01-01Z' + i * 7919 % 31622400 * interval '1 second' AS at, (i * 104729 % 1000003 % 100)::integer AS store_id, (i * 15485863 % 1000033 % 11)::smallint AS score
		FROM generate_series(1, :rows::bigint) AS i;
		SELECT cxm.create_rollup('store_nps', 'answer', 'at', 'month', dimensions => '["store_id"]', measures => '{"nps": {"nps": "score"}}', backfill => false) \g /dev/null
		SELECT clock_timestamp() AS started \gset
		CALL cxm.backfill_rollup('store_nps');
		SELECT format('# %s rows counted in %s s', :rows, round(extract(epoch FROM clock_timestamp() - :'started'::timestamptz)::numeric, 1));
		SELECT format('VACUUM (ANALYZE) cx.rollup_%s_base', r.rollup_id) FROM cx.rollup AS r WHERE r.name = 'store_nps' \gexec
	SQL
	if [ "$duckdb" != no ]; then
		rm -f "$TEMP/ask" "$TEMP/answer"
		mkfifo "$TEMP/ask" "$TEMP/answer"
		node "$here/rollup.mjs" "$duckdb" "$rows" <"$TEMP/ask" >"$TEMP/answer" &
		peer=$!
		exec 3>"$TEMP/ask" 4<"$TEMP/answer"
		read -r ready <&4
		[ "$ready" = ready ]
	fi
	compare "$rows answers, folded" 0.05 same
	run <<-'SQL'
		DO $$
		BEGIN
		    FOR i IN 1 .. 2000 LOOP
		        INSERT INTO answer VALUES (timestamptz '2024-12-15Z' + i * interval '1 minute', i % 100, i % 11);
		    END LOOP;
		END $$;
	SQL
	compare "$rows answers, 2,000 changes not folded" 0.15 other
	if [ -n "$peer" ]; then
		exec 3>&-
		wait "$peer"
		exec 4<&-
		peer=
	fi
done

grep -q ' ok$' "$TEMP/out"
! grep -q 'MISS$' "$TEMP/out"
