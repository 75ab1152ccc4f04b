#!/bin/sh
# test/bench/solve.sh: how long does it take to find out who is one, beside SQL for the same in DuckDB and PostgreSQL?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. DuckDB comes from npm (@duckdb/node-api) into a temporary folder; where there is no Node.js or no network the
# comparisons with it are left out. SIZES ("30000 300000 3000000") nodes, each with 3.4 links a node; RUNS (3) runs of
# each, in turn.
#
# People have 2 to 2000 identifiers, by a power law with exponent 2.3; 5 % of them are chains. "hubs" adds that 30
# devices are shared by 200 to 20000 people and have to be found (more than 100 links). "limits" adds that one in a
# hundred people has two user ids, of which there may be one, and that large ones have more than five e-mail addresses,
# which is the limit; links come with their times and the oldest are taken first. SQL has no way to apply limits, so
# theirs is the time with hubs. All times are of CREATE TABLE AS, and with as many components as theirs.
#
# A line a comparison: name, seconds of ours and of theirs (medians), ratio, goal, ok or MISS. Memory is what the
# backend's peak grew by. Exit status 1 where a goal was missed.
set -eu
SIZES=${SIZES:-30000 300000 3000000}
RUNS=${RUNS:-3}
DB=cxm_bench_solve_$$
here=$(cd "$(dirname "$0")" && pwd -P)

PEERS=duckdb
# shellcheck source=test/bench/peers
. "$here/peers"

run()
{
	PGOPTIONS='-c client_min_messages=error -c jit=off -c max_parallel_workers_per_gather=0' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"
}

make_graph()
{
	run -v nodes="$1" <<-'SQL'
		DROP SCHEMA public CASCADE;
		CREATE SCHEMA public;
		CREATE EXTENSION IF NOT EXISTS cxm;
		-- a number from 0 to 1 that is the same each time
		CREATE FUNCTION draw(i bigint, salt integer) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
		'SELECT (hashint8extended(i, salt) & 4294967295) / 4294967296.0::double precision';
		CREATE UNLOGGED TABLE person AS
		SELECT p, size, is_chain, sum(size) OVER (ORDER BY p) - size AS first
		FROM (SELECT p, draw(p, 2) < 0.05 AS is_chain,
		             least(floor(1.5 * (1 - draw(p, 1)) ^ (-1 / 1.3) + 0.5), CASE WHEN draw(p, 2) < 0.05 THEN 200 ELSE 2000 END)::integer AS size
		      FROM generate_series(1, :nodes / 2) AS p) AS s;
		DELETE FROM person WHERE first + size > :nodes;
		CREATE UNLOGGED TABLE node AS
		SELECT first + k AS n, hashint8extended(first + k, 7) & 9223372036854775807 AS id, first, size, is_chain, k,
		       CASE WHEN k = 0 OR k = 1 AND draw(p, 3) < 0.01 THEN 'user_id' WHEN k < 3 OR draw(first + k, 4) < 0.02 THEN 'email' ELSE 'anonymous_id' END AS namespace
		FROM person, generate_series(0, size - 1) AS k;
		-- what holds a person together, and more links within
		CREATE UNLOGGED TABLE edge AS
		SELECT n, CASE WHEN is_chain THEN n - 1 ELSE first + floor(draw(n, 5) * k)::bigint END AS m FROM node WHERE k > 0;
		INSERT INTO edge
		SELECT n, first + floor(draw(n * 8 + j, 6) * size)::bigint FROM node, generate_series(1, 3) AS j WHERE NOT is_chain AND draw(n * 8 + j, 8) < 0.88;
		-- shared devices
		INSERT INTO edge
		SELECT :nodes + h, floor(draw(h * 100000 + j, 9) * nodes)::bigint
		FROM generate_series(1, 30) AS h, generate_series(1, least(200 * 100 ^ ((h - 1) / 29.0), :nodes / 150)::integer) AS j, (SELECT max(n) AS nodes FROM node) AS x;
		CREATE UNLOGGED TABLE link AS
		SELECT CASE WHEN n & 1 = 0 THEN a ELSE b END AS a, CASE WHEN n & 1 = 0 THEN b ELSE a END AS b,
		       timestamptz '2025-01-01Z' + draw(n * 31 + m, 10) * interval '365 days' AS observed_at
		FROM (SELECT n, m, hashint8extended(n, 7) & 9223372036854775807 AS a, hashint8extended(m, 7) & 9223372036854775807 AS b FROM edge) AS e
		ORDER BY hashint8extended(n, 11), m;
		CREATE UNLOGGED TABLE text_link AS SELECT a || '@mail.example' AS a, b || '@mail.example' AS b FROM link;
		CREATE UNLOGGED TABLE identifier AS
		SELECT id, namespace FROM node UNION ALL SELECT hashint8extended(:nodes + h, 7) & 9223372036854775807, 'device_id' FROM generate_series(1, 30) AS h;
		ALTER TABLE link SET (autovacuum_enabled = off);
		VACUUM (ANALYZE, FREEZE) link, text_link, identifier;
	SQL
}

# ours NAME: "seconds components memory"; a session each, so that its memory is seen
ours()
{
	case $1 in
		ids) query="SELECT member, component FROM cxm.solve('SELECT a, b FROM link')" ;;
		hubs) query="SELECT member, component, is_generic FROM cxm.solve('SELECT a, b FROM link', max_links => 100)" ;;
		limits) query="SELECT member, component, is_generic FROM cxm.solve('SELECT a, b, observed_at FROM link', 'SELECT id, namespace FROM identifier', '{\"user_id\": 1, \"email\": 5}', 100)" ;;
		texts) query="SELECT member, component FROM cxm.solve_text('SELECT a, b FROM text_link')" ;;
	esac
	run -v query="CREATE UNLOGGED TABLE label AS $query" <<-'SQL'
		CREATE FUNCTION pg_temp.peak() RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN
		    RETURN substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s*(\d+)')::bigint;
		EXCEPTION WHEN OTHERS THEN
		    RETURN NULL;
		END $$;
		DROP TABLE IF EXISTS label;
		-- what is shared counts before the run, not in it
		SELECT count(*) AS links FROM link \gset
		SELECT count(*) AS links FROM text_link \gset
		SELECT pg_temp.peak() AS before, clock_timestamp() AS started \gset
		:query;
		SELECT round(extract(epoch FROM clock_timestamp() - :'started')::numeric, 3) AS seconds, (pg_temp.peak() - :'before'::bigint) / 1024 AS megabytes \gset
		SELECT concat_ws(' ', :'seconds', (SELECT count(DISTINCT component) FROM label), coalesce(:'megabytes', '-'));
	SQL
}

theirs()
{
	echo "$1" >&3
	read -r answer <&4
	echo "$answer"
}

# The least label of a neighbour, and the label of one's label, until nothing changes: what one writes in plain SQL
propagate()
{
	run <<-'SQL'
		DROP TABLE IF EXISTS label;
		SELECT clock_timestamp() AS started \gset
		CREATE UNLOGGED TABLE edge_both AS SELECT a, b FROM link UNION SELECT b, a FROM link;
		CREATE UNLOGGED TABLE label AS SELECT a AS member, least(a, min(b)) AS component FROM edge_both GROUP BY a;
		DO $$
		DECLARE
		    changed bigint;
		BEGIN
		    LOOP
		        ANALYZE label;
		        CREATE UNLOGGED TABLE next AS
		        SELECT l.member, least(j.component, n.component) AS component, l.component AS before
		        FROM label AS l JOIN label AS j ON j.member = l.component
		        JOIN (SELECT e.a, min(x.component) AS component FROM edge_both AS e JOIN label AS x ON x.member = e.b GROUP BY e.a) AS n ON n.a = l.member;
		        SELECT count(*) INTO changed FROM next WHERE component < before;
		        DROP TABLE label;
		        ALTER TABLE next RENAME TO label;
		        EXIT WHEN changed = 0;
		    END LOOP;
		END $$;
		DROP TABLE edge_both;
		SELECT concat_ws(' ', round(extract(epoch FROM clock_timestamp() - :'started')::numeric, 3), (SELECT count(DISTINCT component) FROM label));
	SQL
}

# compare NAME OURS THEIRS GOAL SAME: both in turn, in files
compare()
{
	: >"$TEMP/ours"
	: >"$TEMP/theirs"
	for _ in $(seq "$RUNS"); do
		ours "$2" >>"$TEMP/ours"
		if [ "$3" = propagate ]; then
			propagate >>"$TEMP/theirs"
		elif [ "$duckdb" != no ]; then
			theirs "$3" >>"$TEMP/theirs"
		fi
	done
	awk -v name="$1" -v ours="$(median 1 "$TEMP/ours")" -v theirs="$(median 1 "$TEMP/theirs")" \
		-v parts="$(median 2 "$TEMP/ours")" -v their_parts="$(median 2 "$TEMP/theirs")" -v megabytes="$(median 3 "$TEMP/ours")" \
		-v goal="$4" -v same="$5" 'BEGIN {
			if (theirs == "") {
				printf "%-46s %9.3f         -       -    - %s MB\n", name, ours, megabytes
				exit
			}
			verdict = same == "same" && parts != their_parts ? sprintf("%s components, not %s MISS", parts, their_parts) : ours <= goal * theirs ? "ok" : "MISS"
			printf "%-46s %9.3f %9.3f %7.3f %4.2f %s MB %s\n", name, ours, theirs, ours / theirs, goal, megabytes, verdict
		}' | tee -a "$TEMP/out"
}

printf '%-46s      ours    theirs   ratio goal memory\n' "seconds"
first=yes
for nodes in $SIZES; do
	make_graph "$nodes"
	links=$(run -c "SELECT count(*) FROM link")
	if [ "$duckdb" != no ]; then
		run -c "\copy (SELECT a, b FROM link) TO '$TEMP/link.csv' CSV"
		rm -f "$TEMP/ask" "$TEMP/answer"
		mkfifo "$TEMP/ask" "$TEMP/answer"
		node "$here/solve.mjs" "$duckdb" "$TEMP/link.csv" <"$TEMP/ask" >"$TEMP/answer" &
		peer=$!
		exec 3>"$TEMP/ask" 4<"$TEMP/answer"
		read -r ready <&4
		[ "$ready" = ready ]
	fi
	if [ $first = yes ]; then
		compare "$links links / labels in PostgreSQL" ids propagate 0.5 same
		first=no
	fi
	compare "$links links / DuckDB" ids ids 0.5 same
	compare "$links links, hubs found / DuckDB" hubs hubs 0.5 other
	compare "$links links, hubs and limits / DuckDB, hubs" limits hubs 0.5 other
	compare "$links links of texts / DuckDB" texts texts 0.5 same
	if [ -n "$peer" ]; then
		exec 3>&-
		wait "$peer"
		exec 4<&-
		peer=
	fi
done

grep -q ' ok$' "$TEMP/out"
! grep -q 'MISS$' "$TEMP/out"
