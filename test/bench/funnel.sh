#!/bin/sh
# test/bench/funnel.sh: how long does a funnel over all customers take, beside ClickHouse's windowFunnel and SQL in DuckDB?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. SIZES ("2000000 20000000") events, a customer for every 40, made by test/bench/journey_data.sql; RUNS (5) runs of
# each, in turn. ClickHouse is the server of the distribution, started in a temporary folder on a free port; DuckDB
# comes from npm (@duckdb/node-api). What is not there is left out, and the output says so.
#
# The funnel: 4 of 12 codes in order within 7 days; how many customers reach each level. Ours is one process unless the
# name says otherwise, over journeys that are stored; theirs are two threads over tables that are sorted by customer
# and time. Answers must be equal.
#
# A line a comparison: name, seconds of ours and of theirs (medians), ratio, goal, ok or MISS. Exit status 1 where a
# goal was missed.
set -eu
SIZES=${SIZES:-2000000 20000000}
RUNS=${RUNS:-5}
DB=cxm_bench_funnel_$$
here=$(cd "$(dirname "$0")" && pwd -P)

# shellcheck source=test/bench/peers
. "$here/peers"

# timed SETTINGS QUERY: "seconds answer"
timed()
{
	run -v settings="$1" -v query="$2" <<-'SQL'
		:settings;
		-- the library is loaded and the plan made before the clock starts
		SELECT cxm.funnel('{}', ARRAY[1], '1 day') AS ready \gset
		SELECT clock_timestamp() AS started \gset
		SELECT string_agg(level || ':' || customers, ',' ORDER BY level) AS answer FROM (:query) AS q \gset
		SELECT round(extract(epoch FROM clock_timestamp() - :'started')::numeric, 4) AS seconds \gset
		\echo :seconds :answer
	SQL
}

serial='SET max_parallel_workers_per_gather = 0'
parallel='SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0'

# funnel STEPS [, MODE]
funnel()
{
	echo "SELECT cxm.funnel(journey, ARRAY[$1], '7 days', '${2:-default}') AS level, count(*) AS customers FROM bench_journey GROUP BY 1"
}

four="1, 2, 3, 4"
twelve="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"

ours()
{
	case $1 in
		four) timed "$serial" "$(funnel "$four")" ;;
		twelve) timed "$serial" "$(funnel "$twelve")" ;;
		# the planner takes levels for as many as there are journeys: what counts them in each process is an aggregate
		parallel) timed "$parallel" "SELECT first AS level, count AS customers FROM cxm.pair_counts((SELECT cxm.count_pairs(ARRAY[cxm.funnel(journey, ARRAY[$four], '7 days')]) FROM bench_journey))" ;;
		count) timed "$serial" "SELECT n AS level, count(*) AS customers FROM (SELECT count(*) AS n FROM bench_event GROUP BY customer) AS l GROUP BY 1" ;;
		rows) timed "$serial" "SELECT level, count(*) AS customers FROM (SELECT cxm.funnel_agg(at, ARRAY[code = 1, code = 2, code = 3, code = 4], '7 days') AS level FROM bench_event GROUP BY customer) AS l GROUP BY 1" ;;
		times) timed "$serial" "SELECT cardinality(cxm.funnel_times(journey, ARRAY[$four], '7 days')) AS level, count(*) AS customers FROM bench_journey GROUP BY 1" ;;
		*) timed "$serial" "$(funnel "$four" "$1")" ;;
	esac
}

theirs()
{
	case $1 in
		clickhouse)
			clickhouse --time --max_threads 2 -q "
				SELECT arrayStringConcat(groupArray(concat(toString(level), ':', toString(customers))), ',') FROM
				(SELECT level, count() AS customers FROM
				 (SELECT windowFunnel(604800)(at, code = 1, code = 2, code = 3, code = 4) AS level FROM event GROUP BY customer)
				 GROUP BY level ORDER BY level)" 2>"$TEMP/elapsed" >"$TEMP/levels"
			echo "$(cat "$TEMP/elapsed") $(cat "$TEMP/levels")"
			;;
		duckdb)
			echo four >&3
			read -r answer <&4
			echo "$answer"
			;;
		*) ours "$1" ;;
	esac
}

run -c 'CREATE EXTENSION cxm'
printf '%-54s      ours    theirs   ratio goal\n' "seconds"
for events in $SIZES; do
	run -v events="$events" -f "$here/journey_data.sql"
	events=$(run -c "SELECT count(*) FROM bench_event")
	if [ "$clickhouse" = yes ]; then
		load_clickhouse UInt32
		compare "$events events, 4 steps / ClickHouse" four clickhouse 0.5 same
	fi
	if [ "$duckdb" != no ]; then
		start_duckdb funnel.mjs
		compare "$events events, 4 steps / DuckDB" four duckdb 0.1 same
		stop_duckdb
	fi
	compare "$events events, 12 steps / 4 steps" twelve four 2 other
	# workers take longer to start than a small table takes to read
	if [ "$events" -ge 10000000 ]; then
		compare "$events events, two workers / one process" parallel four 0.7 same
	fi
	compare "$events events, strict_once / default" strict_once four - same
	compare "$events events, strict_deduplication / default" strict_deduplication four - other
	compare "$events events, strict_order / default" strict_order four - other
	compare "$events events, strict / default" strict four - other
	compare "$events events, any_order / default" any_order four - other
	compare "$events events, funnel_times / funnel" times four - same
	compare "$events events, funnel_agg over rows / funnel" rows four - same
	compare "$events events, funnel_agg over rows / count(*)" rows count 3 other
done

grep -q ' ok$' "$TEMP/out"
! grep -q 'MISS$' "$TEMP/out"
