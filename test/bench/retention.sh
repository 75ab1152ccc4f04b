#!/bin/sh
# test/bench/retention.sh: how long does a cohort matrix of all customers take, beside ClickHouse and SQL in DuckDB?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. SIZES ("2000000 20000000") events, a customer for every 40, made by test/bench/journey_data.sql; RUNS (5) runs of
# each, in turn. ClickHouse is the server of the distribution, started in a temporary folder on a free port; DuckDB
# comes from npm (@duckdb/node-api). What is not there is left out, and the output says so.
#
# The matrix: customers by the week of their first event of one code, in the time zone of Berlin, and how many of them
# had one of another code so many weeks later, 0 to 12. Ours is one process unless the name says otherwise, over
# journeys that are stored; theirs are two threads over tables that are sorted by customer and time. Answers must be
# equal: the number of cells, the sum of their customers, and a sum weighted by place.
#
# A line a comparison: name, seconds of ours and of theirs (medians), ratio, goal, ok or MISS. Exit status 1 where a
# goal was missed.
set -eu
SIZES=${SIZES:-2000000 20000000}
RUNS=${RUNS:-5}
DB=cxm_bench_retention_$$
here=$(cd "$(dirname "$0")" && pwd -P)

# shellcheck source=test/bench/peers
. "$here/peers"

# timed SETTINGS QUERY: "seconds answer"; the query gives rows of first, second, count
timed()
{
	run -v settings="$1" -v query="$2" <<-'SQL'
		:settings;
		-- the library is loaded before the clock starts
		SELECT cxm.version() AS ready, cxm.funnel('{}', ARRAY[1], '1 day') AS loaded \gset
		SELECT clock_timestamp() AS started \gset
		SELECT count(*) || ':' || sum(q.count) || ':' || sum(q.count * q.first * (q.second + 2)) AS answer FROM (:query) AS q \gset
		SELECT round(extract(epoch FROM clock_timestamp() - :'started')::numeric, 4) AS seconds \gset
		\echo :seconds :answer
	SQL
}

serial='SET max_parallel_workers_per_gather = 0'
parallel='SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0'

# counted FUNCTION: what cxm.count_pairs() makes of a function of each journey
counted()
{
	echo "SELECT c.* FROM (SELECT cxm.count_pairs($1) AS counts FROM bench_journey) AS m CROSS JOIN LATERAL cxm.pair_counts(m.counts) AS c"
}

matrix="cxm.retention_periods(journey, '{3}', '{5}', 'week', 'Europe/Berlin', periods => 12)"

ours()
{
	case $1 in
		matrix) timed "$serial" "$(counted "$matrix")" ;;
		parallel) timed "$parallel" "$(counted "$matrix")" ;;
		days) timed "$serial" "$(counted "cxm.retention_periods(journey, '{3}', '{5}', 'day', 'Europe/Berlin', periods => 30)")" ;;
		recurring) timed "$serial" "$(counted "cxm.retention_periods(journey, '{3}', '{5}', 'day', 'Europe/Berlin', periods => 30, cohorts => 'recurring')")" ;;
		rolling) timed "$serial" "$(counted "cxm.retention_periods(journey, '{3}', '{5}', 'day', 'Europe/Berlin', periods => 30, rolling => '24 hours')")" ;;
		anything) timed "$serial" "$(counted "cxm.retention_periods(journey, NULL, NULL, 'day', 'Europe/Berlin', periods => 30)")" ;;
		lifecycle) timed "$serial" "$(counted "cxm.lifecycle_periods(journey, NULL, 'week', 'Europe/Berlin')")" ;;
		stickiness) timed "$serial" "SELECT cardinality(cxm.active_periods(journey, NULL, 'day', 'Europe/Berlin')) AS first, 0 AS second, count(*) FROM bench_journey GROUP BY 1" ;;
		funnel) timed "$serial" "SELECT cxm.funnel(journey, ARRAY[1, 2, 3, 4], '7 days') AS first, 0 AS second, count(*) FROM bench_journey GROUP BY 1" ;;
		rows)
			timed "$serial; SET work_mem = '1GB'" "SELECT (r[1])::integer AS first, (r[2])::integer AS second, count(*)
				FROM (SELECT cxm.retention(ARRAY[code = 3, code = 5]) AS r FROM bench_event GROUP BY customer) AS v GROUP BY 1, 2"
			;;
		count) timed "$serial; SET work_mem = '1GB'" "SELECT n::integer AS first, 0 AS second, count(*) FROM (SELECT count(*) AS n FROM bench_event GROUP BY customer) AS v GROUP BY 1" ;;
	esac
}

theirs()
{
	case $1 in
		clickhouse_*)
			clickhouse --time --max_threads 2 -q "$(clickhouse_query "${1#clickhouse_}")" 2>"$TEMP/elapsed" >"$TEMP/answers"
			echo "$(cat "$TEMP/elapsed") $(cat "$TEMP/answers")"
			;;
		duckdb_*)
			echo "${1#duckdb_}" >&3
			read -r answer <&4
			echo "$answer"
			;;
		*) ours "$1" ;;
	esac
}

# the same question to ClickHouse: one pass over its sorted table, an array of times a customer
clickhouse_query()
{
	week="x -> intDiv(toRelativeDayNum(toDateTime(x), 'Europe/Berlin') + 3, 7) - 1565"
	case $1 in
		matrix)
			echo "SELECT concat(toString(count()), ':', toString(sum(n)), ':', toString(sum(n * cohort * (number + 2)))) FROM (
				SELECT cohort, number, toInt64(count()) AS n FROM (
					SELECT arrayMap($week, [since])[1] AS cohort,
					       arrayJoin(arrayConcat([toInt64(-1)], arrayFilter(k -> k <= 12, arrayDistinct(arrayMap(w -> toInt64(w) - toInt64(cohort), arrayMap($week, arrayFilter(t -> t >= since, back))))))) AS number
					FROM (SELECT minIf(at, code = 3) AS since, groupArrayIf(at, code = 5) AS back FROM event GROUP BY customer HAVING countIf(code = 3) > 0)
				) GROUP BY cohort, number)"
			;;
		rows)
			echo "SELECT concat(toString(count()), ':', toString(sum(n)), ':', toString(sum(n * r1 * (r2 + 2)))) FROM (
				SELECT r[1] AS r1, r[2] AS r2, count() AS n FROM (SELECT retention(code = 3, code = 5) AS r FROM event GROUP BY customer) GROUP BY r1, r2)"
			;;
	esac
}

run -c 'CREATE EXTENSION cxm'
printf '%-54s      ours    theirs   ratio goal\n' "seconds"
for events in $SIZES; do
	run -v events="$events" -f "$here/journey_data.sql"
	events=$(run -c "SELECT count(*) FROM bench_event")
	if [ "$clickhouse" = yes ]; then
		load_clickhouse UInt32
		compare "$events events, matrix of weeks / ClickHouse" matrix clickhouse_matrix 0.5 same
		# customers mixed in time: what takes long is to find the group of each row
		if [ "$events" -lt 10000000 ]; then
			compare "$events events, retention() of rows / ClickHouse" rows clickhouse_rows - same
			compare "$events events, retention() of rows / count(*)" rows count 2 other
		fi
	fi
	if [ "$duckdb" != no ]; then
		start_duckdb retention.mjs
		compare "$events events, matrix of weeks / DuckDB" matrix duckdb_matrix 0.5 same
		compare "$events events, lifecycle by week / DuckDB" lifecycle duckdb_lifecycle 0.2 same
		stop_duckdb
	fi
	compare "$events events, matrix of weeks / funnel of 4 steps" matrix funnel 2 other
	# workers take longer to start than a small table takes to read
	if [ "$events" -ge 10000000 ]; then
		compare "$events events, two workers / one process" parallel matrix 0.7 same
	fi
	compare "$events events, 30 days / 12 weeks" days matrix - other
	compare "$events events, 30 days of 24 hours / 12 weeks" rolling matrix - other
	compare "$events events, 30 days recurring / 12 weeks" recurring matrix - other
	compare "$events events, any event, 30 days / 12 weeks" anything matrix 4 other
	compare "$events events, lifecycle / 12 weeks" lifecycle matrix - other
	compare "$events events, stickiness / 12 weeks" stickiness matrix - other
done

grep -q ' ok$' "$TEMP/out"
! grep -q 'MISS$' "$TEMP/out"
