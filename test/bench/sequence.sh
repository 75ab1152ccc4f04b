#!/bin/sh
# test/bench/sequence.sh: how long do patterns, sessions and transitions over all customers take, beside ClickHouse's
# sequenceMatch and sequenceCount, and beside SQL in DuckDB?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. SIZES ("2000000 20000000") events, a customer for every 40, made by test/bench/journey_data.sql; RUNS (5) runs of
# each, in turn. ClickHouse is the server of the distribution, started in a temporary folder on a free port; DuckDB
# comes from npm (@duckdb/node-api), or from the folder DUCKDB_MODULES. What is not there is left out, and the output
# says so.
#
# Ours is one process over journeys that are stored, unless the name says otherwise; theirs are two threads over tables
# that are sorted by customer and time. Answers must be equal. Events of one second have no order in ClickHouse, so its
# answers are those over a time that has the code in it; what is timed is its own type of time.
#
# First come the kernels alone, without a server: events a second of a core, over arrays in memory.
#
# A line a comparison: name, seconds of ours and of theirs (medians), ratio, goal, ok or MISS. Exit status 1 where a
# goal was missed.
set -eu
SIZES=${SIZES:-2000000 20000000}
RUNS=${RUNS:-5}
DB=cxm_bench_sequence_$$
here=$(cd "$(dirname "$0")" && pwd -P)

# shellcheck source=test/bench/peers
. "$here/peers"
WIDTH=76

# Kernels alone. The goal is that of a library in memory that publishes its rates: MILLIONS of events a second.
if "${CC:-cc}" -O2 -I "$here/../../src" -o "$TEMP/kernels" "$here/sequence_kernels.c" "$here/../../src/sequence_core.c" "$here/../../src/path_core.c" "$here/../../src/journey_core.c" 2>"$TEMP/cc"; then
	"$TEMP/kernels" | tee -a "$TEMP/out"
else
	echo "without the kernels alone: $(tail -n 1 "$TEMP/cc")"
fi

# timed QUERY [WORKERS]: "seconds answer"
timed()
{
	run -v workers="${2:-0}" -v query="$1" <<-'SQL'
		SET max_parallel_workers_per_gather = :workers;
		SET parallel_setup_cost = 0;
		SET parallel_tuple_cost = 0;
		-- the library is loaded before the clock starts
		SELECT cxm.matches('{}', '(?1)', ARRAY[1]) AS ready \gset
		SELECT clock_timestamp() AS started \gset
		:query \gset
		SELECT round(extract(epoch FROM clock_timestamp() - :'started')::numeric, 4) AS seconds \gset
		\echo :seconds :answer
	SQL
}

# The questions: a pattern, the number of its steps, which are codes 1, 2 ..., and the pattern over a time that has the
# code in it, of which 32 are a second
question()
{
	wide=
	case $1 in
		match) pattern='(?1).*(?2).*(?3)' steps='9 10 12' ;;
		adjacent) pattern='(?1)(?2)(?3)(?1)' steps='1 2 3' ;;
		count) pattern='(?1).*(?2)' steps='1 2' ;;
		times) pattern='(?1)(?t<=86400)(?2)(?t<=86400)(?3)' steps='1 2 3' wide='(?1)(?t<=2764815)(?2)(?t<=2764815)(?3)' ;;
		later) pattern='(?1)(?t>604800)(?2).*(?3)' steps='2 3 4' wide='(?1)(?t>19353615)(?2).*(?3)' ;;
	esac
	wide=${wide:-$pattern}
}

ours()
{
	case $1 in
		sessions) timed "SELECT sum(cxm.count_sessions(journey, '1 day')) AS answer FROM bench_journey" ;;
		transitions) timed "SELECT count(*) || ':' || sum(t.n) || ':' || sum(t.customers) AS answer FROM unnest((SELECT cxm.transitions_agg(journey) FROM bench_journey)) AS t" ;;
		next) timed "SELECT string_agg(code || ':' || n, ',' ORDER BY code) AS answer FROM (SELECT cxm.next_step(journey, ARRAY[3]) AS code, count(*) AS n FROM bench_journey GROUP BY 1) AS c WHERE code IS NOT NULL" ;;
		rows-*)
			question "${1#rows-}"
			timed "SELECT sum(n) AS answer FROM (SELECT cxm.count_matches_agg(at, ARRAY[code = $(echo "$steps" | sed 's/ /, code = /g')], '$pattern') AS n FROM bench_event GROUP BY customer) AS c"
			;;
		match-*)
			question "${1#match-}"
			timed "SELECT count(*) AS answer FROM bench_journey WHERE cxm.matches(journey, '$pattern', ARRAY[$(echo "$steps" | tr ' ' ',')])"
			;;
		parallel-*)
			question "${1#parallel-}"
			timed "SELECT sum(cxm.count_matches(journey, '$pattern', ARRAY[$(echo "$steps" | tr ' ' ',')])) AS answer FROM bench_journey" 2
			;;
		count-*)
			question "${1#count-}"
			timed "SELECT sum(cxm.count_matches(journey, '$pattern', ARRAY[$(echo "$steps" | tr ' ' ',')])) AS answer FROM bench_journey"
			;;
	esac
}

# count_clickhouse KIND PATTERN TIME
count_clickhouse()
{
	function=sequenceCount
	if [ "$1" = match ]; then
		function=sequenceMatch
	fi
	clickhouse --time --max_threads 2 -q "SELECT sum(n) FROM (SELECT $function('$2')($3, code = $(echo "$steps" | sed 's/ /, code = /g')) AS n FROM event GROUP BY customer)" 2>"$TEMP/elapsed"
}

theirs()
{
	case $1 in
		clickhouse-*)
			question "${1##*-}"
			kind=${1#clickhouse-}
			kind=${kind%-*}
			if [ ! -f "$TEMP/answer-$1" ]; then
				count_clickhouse "$kind" "$wide" "toDateTime((toUInt32(at) - 1767225600) * 32 + code)" >"$TEMP/answer-$1"
			fi
			count_clickhouse "$kind" "$pattern" at >/dev/null
			echo "$(cat "$TEMP/elapsed") $(cat "$TEMP/answer-$1")"
			;;
		duckdb-*)
			echo "${1#duckdb-}" >&3
			read -r answer <&4
			echo "$answer"
			;;
		*) ours "$1" ;;
	esac
}

run -c 'CREATE EXTENSION cxm'
printf '%-76s      ours    theirs   ratio goal\n' "seconds"
for events in $SIZES; do
	run -v events="$events" -f "$here/journey_data.sql"
	events=$(run -c "SELECT count(*) FROM bench_event")
	if [ "$clickhouse" = yes ]; then
		load_clickhouse DateTime
		rm -f "$TEMP"/answer-*
		for q in match adjacent times later; do
			question $q
			compare "$events events, matches $pattern / ClickHouse" match-$q clickhouse-match-$q 0.5 same
		done
		for q in count adjacent times later; do
			question $q
			compare "$events events, count $pattern / ClickHouse" count-$q clickhouse-count-$q 0.5 same
		done
		clickhouse -q "DROP TABLE event"
	fi
	if [ "$duckdb" != no ]; then
		start_duckdb sequence.mjs
		compare "$events events, sessions / DuckDB" sessions duckdb-sessions 0.1 same
		compare "$events events, next step / DuckDB" next duckdb-next 0.1 same
		compare "$events events, transitions and medians / DuckDB" transitions duckdb-transitions 1 same
		stop_duckdb
	fi
	# workers take longer to start than a small table takes to read
	if [ "$events" -ge 10000000 ]; then
		compare "$events events, two workers / one process" parallel-times count-times 0.7 same
	fi
	compare "$events events, over rows / over journeys" rows-count count-count - same
done

grep -q ' ok$' "$TEMP/out"
! grep -q 'MISS$' "$TEMP/out"
