#!/bin/sh
# test/bench/notifier.sh: what does telling listeners cost the writer, and how long does it take?
#
# Starts a server of its own, in a temporary folder, for cxm must be in shared_preload_libraries; commits wait for the
# disk, as they do for users. Needs initdb, pg_ctl, pgbench of the server that cxm is installed in (first in PATH, or
# that of PG_CONFIG), a C compiler and libpq, and a user who is not root.
#
# Single answers, by 1, 4, 16 and 64 clients. One in five meets a rule.
#   bare     a plain table of the same columns, indexes and constraints, which are in SQL, as people write them
#   nocheck  the same without CHECK constraints
#   post     the same, and a row trigger that posts a notification for one row in five: the notifier alone
#   no rule  cx.feedback, without a rule
#   off      cx.feedback with the rule, cxm.notify_mode = off: all but the sending
#   worker   the same, sent by the worker
#   direct   the same, sent by the writer
#   naive    the plain table with the row trigger that people write: pg_notify, and nothing kept
# RUNS (5) rounds of SECONDS_EACH (2) seconds for each, all in turn, so that a slow moment of the machine hits them all;
# ratios are medians of the ratios of each round. All sessions are new, and what a session learns with its first answer
# and its first alert weighs more on a short run than on sessions that stay: lines of their own say what that costs, in
# milliseconds that a prepared statement takes under synchronous_commit off, the first of a session and the tenth, in
# 8 x RUNS sessions in turn. Then the time from commit (by track_commit_timestamp, taken before the writer's commit is
# flushed) to a listener's hands, at RATE (1000) alerts a second for LISTEN_SECONDS (10).
#
# A line a comparison: name, answers a second of ours and of theirs (medians), ratio, goal, ok or MISS. Exit status 1
# where a goal was missed. Lines without a goal are for information.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
RATE=${RATE:-1000}
LISTEN_SECONDS=${LISTEN_SECONDS:-10}
CLIENTS=${CLIENTS:-1 4 16 64}
here=$(cd "$(dirname "$0")" && pwd -P)
config=${PG_CONFIG:-pg_config}
PATH=$("$config" --bindir):$PATH
TEMP=$(mktemp -d "${TMPDIR:-/tmp}/cxm-notifier.XXXXXX")
listener=
cleanup()
{
	[ -z "$listener" ] || kill "$listener" 2>/dev/null || :
	[ ! -f "$TEMP/data/postmaster.pid" ] || pg_ctl stop -D "$TEMP/data" -m immediate -s -w >/dev/null 2>&1 || :
	rm -rf "$TEMP"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

unset PGHOSTADDR PGSERVICE PGOPTIONS PGPASSWORD PGCLIENTENCODING
PGHOST=$TEMP
PGPORT=5432
PGUSER=postgres
PGDATABASE=bench
export PATH PGHOST PGPORT PGUSER PGDATABASE
initdb -D "$TEMP/data" -U postgres -A trust -E UTF8 --locale=C >"$TEMP/log" 2>&1 || { cat "$TEMP/log" >&2; exit 1; }
cat >>"$TEMP/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$TEMP'
shared_preload_libraries = 'cxm'
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
max_connections = 120
track_commit_timestamp = on
timezone = 'UTC'
CONF
pg_ctl start -D "$TEMP/data" -l "$TEMP/log" -s -w || { cat "$TEMP/log" >&2; exit 1; }
psql -XqAt -d postgres -c 'CREATE DATABASE bench'
cc -O2 -o "$TEMP/listen" -I"$("$config" --includedir)" "$here/notifier_listen.c" -L"$("$config" --libdir)" -lpq

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

PGOPTIONS='-c client_min_messages=warning' sql >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.add_alert_rule('unhappy', metric => 'csat', score_max => 1);
SQL
PGOPTIONS='-c client_min_messages=warning' sql -f "$here/bare_feedback.sql"
PGOPTIONS='-c client_min_messages=warning' sql >/dev/null <<'SQL'
CREATE TABLE public.nocheck (LIKE public.bare INCLUDING ALL EXCLUDING CONSTRAINTS);
CREATE TABLE public.naive (LIKE public.bare INCLUDING ALL);
CREATE FUNCTION public.naive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.metric = 'csat' AND NEW.score <= 1 THEN
        PERFORM pg_notify('naive', json_build_object('id', NEW.feedback_id, 'metric', NEW.metric, 'score', NEW.score)::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER naive AFTER INSERT ON public.naive FOR EACH ROW EXECUTE FUNCTION public.naive();

CREATE TABLE public.post (LIKE public.bare INCLUDING ALL);
CREATE FUNCTION public.post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.metric = 'csat' AND NEW.score <= 1 THEN
        PERFORM cxm.post_notifications('post', ARRAY[jsonb_build_object('id', NEW.feedback_id, 'metric', NEW.metric, 'score', NEW.score)]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER post AFTER INSERT ON public.post FOR EACH ROW EXECUTE FUNCTION public.post();

CREATE TABLE public.heard (outbox_id bigint, at bigint);
SQL

for table in public.bare public.nocheck public.post public.naive cx.feedback; do
	printf '\\set score random(1, 5)\nINSERT INTO %s (metric, score, scale_min, scale_max) VALUES ('"'csat'"', :score, 1, 5);\n' "$table" >"$TEMP/$table.sql"
done
printf 'INSERT INTO cx.feedback (metric, score, scale_min, scale_max) VALUES ('"'csat'"', 1, 1, 5);\n' >"$TEMP/alert.sql"

# write NAME TABLE CLIENTS OPTIONS: answers a second, appended to $TEMP/NAME.CLIENTS
write()
{
	PGOPTIONS="$4" pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" 2>"$TEMP/err" |
		awk '/^tps/ { print $3 }' >>"$TEMP/$1.$3"
	if [ "$(wc -l <"$TEMP/$1.$3")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
	# the next one does not pay for what this one left behind
	while [ "$(sql -c 'SELECT unsent FROM cx.notifier_status')" -gt 0 ]; do
		sleep 0.05
	done
}

rules() { sql -c "UPDATE cx.alert_rule SET enabled = $1"; }

# the listener that there would be
"$TEMP/listen" cxm_alert >"$TEMP/heard" &
listener=$!

round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	for clients in $CLIENTS; do
		echo "notifier: round $round of $RUNS, $clients clients" >&2
		sql -c 'TRUNCATE public.bare, public.nocheck, public.naive, public.post, cx.feedback, cx.alert, cx.outbox' -c CHECKPOINT
		write bare public.bare "$clients" ''
		write nocheck public.nocheck "$clients" ''
		write post public.post "$clients" ''
		rules false
		write none cx.feedback "$clients" ''
		rules true
		write worker cx.feedback "$clients" ''
		write off cx.feedback "$clients" '-c cxm.notify_mode=off'
		sql -c 'DELETE FROM cx.outbox WHERE held'
		write direct cx.feedback "$clients" '-c cxm.notify_mode=direct'
		write naive public.naive "$clients" ''
		if [ "$clients" = 16 ]; then
			write bare_async public.bare 16 '-c synchronous_commit=off'
			write post_async public.post 16 '-c synchronous_commit=off'
			write worker_async cx.feedback 16 '-c synchronous_commit=off'
			write naive_async public.naive 16 '-c synchronous_commit=off'
		fi
	done
done
# session NAME TABLE: milliseconds of an answer and of an alert, the first and the tenth, appended to files of $TEMP
session()
{
	{
		echo "PREPARE p(smallint) AS INSERT INTO $2 (metric, score, scale_min, scale_max) VALUES ('csat', \$1, 1, 5);"
		printf '%s\n' '\timing on'
		for score in 5 1; do
			for place in 1 2 3 4 5 6 7 8 9 10; do
				echo "EXECUTE p($score);"
			done
		done
	} | PGOPTIONS='-c synchronous_commit=off' sql | awk -v file="$TEMP/$1" '/^Time/ { n++ }
		n == 1 { print $2 >>(file ".first_answer") } n == 10 { print $2 >>(file ".answer") }
		n == 11 { print $2 >>(file ".first_alert") } n == 20 { print $2 >>(file ".alert") }'
}

session=0
while [ $session -lt $((8 * RUNS)) ]; do
	session=$((session + 1))
	session bare public.bare
	session ours cx.feedback
done
kill "$listener"
wait "$listener" || :
listener=

median() { sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# compare TEXT OURS THEIRS CLIENTS GOAL
compare()
{
	ratio=$(paste "$TEMP/$2.$4" "$TEMP/$3.$4" | awk '{ print $1 / $2 }' | median)
	echo "$1|$(median <"$TEMP/$2.$4")|$(median <"$TEMP/$3.$4")|$ratio|$5" | awk -F'|' '{
		printf "%-58s %8.0f %8.0f %7.2f %5s %s\n", $1, $2, $3, $4, $5, $5 == "-" ? "" : ($4 >= $5) ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

printf '%-58s %8s %8s %7s %5s\n' 'single answers, a fifth is told; answers a second' ours theirs ratio goal
for clients in $CLIENTS; do
	compare "$clients clients: notifier alone / bare table" post bare "$clients" 0.85
	compare "$clients clients: no rule / bare table" none bare "$clients" -
	compare "$clients clients: rule, not sent / bare table" off bare "$clients" -
	compare "$clients clients: rule, worker / rule, not sent" worker off "$clients" -
	compare "$clients clients: rule, worker / bare table" worker bare "$clients" 0.85
	compare "$clients clients: rule, worker / bare table without CHECK" worker nocheck "$clients" -
	compare "$clients clients: rule, direct / bare table" direct bare "$clients" -
	compare "$clients clients: row trigger with pg_notify / bare table" naive bare "$clients" -
done
if [ -f "$TEMP/bare_async.16" ]; then
	compare '16 clients, synchronous_commit off: notifier alone / bare' post_async bare_async 16 -
	compare '16 clients, synchronous_commit off: rule, worker / bare' worker_async bare_async 16 -
	compare '16 clients, synchronous_commit off: pg_notify / bare' naive_async bare_async 16 -
fi

printf '%-58s %8s %8s %7s\n' 'what a session learns, milliseconds of a statement' ours theirs more
for what in first_answer answer first_alert alert; do
	ours=$(median <"$TEMP/ours.$what")
	theirs=$(median <"$TEMP/bare.$what")
	awk -v text="$(echo "$what" | tr _ ' ') of a session / bare table" -v ours="$ours" -v theirs="$theirs" 'BEGIN {
		printf "%-58s %8.3f %8.3f %7.3f\n", text, ours, theirs, ours - theirs }'
done

# latency MODE GOAL: milliseconds from commit to the listener
latency()
{
	sql -c 'TRUNCATE cx.feedback, cx.alert, cx.outbox' -c 'TRUNCATE public.heard' -c CHECKPOINT
	"$TEMP/listen" cxm_alert >"$TEMP/heard" &
	listener=$!
	until grep -q listening "$TEMP/heard"; do
		sleep 0.05
	done
	PGOPTIONS="-c cxm.notify_mode=$1" pgbench -n -M prepared -c 8 -j 1 -R "$RATE" -T "$LISTEN_SECONDS" -f "$TEMP/alert.sql" >"$TEMP/out" 2>&1 || { cat "$TEMP/out" >&2; exit 1; }
	while [ "$(sql -c 'SELECT count(*) FROM cx.outbox WHERE sent_at IS NULL')" -gt 0 ]; do
		sleep 0.05
	done
	sleep 0.5
	kill "$listener"
	wait "$listener" || :
	listener=
	sed 1d "$TEMP/heard" | sql -c 'COPY public.heard FROM stdin'
	sql -F' ' <<-'SQL' >"$TEMP/latency"
		SELECT round(count(*) / extract(epoch FROM max(o.created_at) - min(o.created_at))), count(*), count(h.outbox_id),
		       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY d.ms))::numeric, 2), round((percentile_cont(0.99) WITHIN GROUP (ORDER BY d.ms))::numeric, 2), round(max(d.ms)::numeric, 2)
		FROM cx.outbox AS o
		LEFT JOIN public.heard AS h USING (outbox_id)
		CROSS JOIN LATERAL (SELECT h.at / 1000.0 - extract(epoch FROM pg_xact_commit_timestamp(o.posted_xid::xid)) * 1000) AS d(ms)
	SQL
	read -r rate sent heard p50 p99 most <"$TEMP/latency"
	if [ "$sent" -ne "$heard" ]; then
		echo "notifier: $sent notifications were sent and $heard heard" >&2
		exit 1
	fi
	awk -v text="$1: p50, p99 at $rate alerts a second (most $most)" -v p50="$p50" -v p99="$p99" -v goal="$2" 'BEGIN {
		printf "%-58s %8.2f %8.2f %7s %5s %s\n", text, p50, p99, "", goal, goal == "-" ? "" : p99 <= goal ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

printf '%-58s %8s %8s %7s %5s\n' 'from commit to the listener, milliseconds' p50 p99 '' goal
latency worker 10
latency direct -

! grep -q 'MISS$' "$TEMP/lines"
