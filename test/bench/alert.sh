#!/bin/sh
# test/bench/alert.sh: what do alerts cost the writer?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (7) runs of SECONDS_EACH (2) seconds for each way to write, all in turn, so that a slow moment of
# the machine hits them all; what is compared are the medians. Single answers are committed to the disk, as people do it,
# by 1, 4, 16 and 64 clients; and by one client that does not wait for it (synchronous_commit = off), which shows the work
# alone. Notifications stay in the outbox: what sending them costs is test/bench/notifier.sh. ROWS (100000) answers in
# the largest bulk load.
#
# A line a comparison: name, median of ours, median of theirs (microseconds an answer, or milliseconds a load), ratio,
# goal, ok or MISS. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-7}
SECONDS_EACH=${SECONDS_EACH:-2}
ROWS=${ROWS:-100000}
DB=cxm_bench_alert_$$
here=$(cd "$(dirname "$0")" && pwd -P)

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.add_alert_rule('unhappy', metric => 'csat', score_max => 1);
SELECT cxm.add_alert_rule('other ' || i, metric => 'ces', score_max => i) FROM generate_series(1, 5) AS i;
SELECT cxm.add_alert_rule('throttled', metric => 'csat', score_max => 1, throttle => '1 hour', throttle_by => 'rule');
SELECT cxm.add_alert_rule('capped', metric => 'csat', score_max => 1, storm_cap => 10);
SQL
PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" -f "$here/bare_feedback.sql"

for table in public.bare cx.feedback; do
	echo "\\set score random(1, 5)" > "$TEMP/$table.sql"
	echo "INSERT INTO $table (metric, score, scale_min, scale_max) VALUES ('csat', :score, 1, 5);" >> "$TEMP/$table.sql"
done

# write NAME TABLE CLIENTS OPTIONS: microseconds an answer, appended to $TEMP/NAME
write()
{
	PGOPTIONS="-c cxm.notify_mode=off $4" pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" |
		awk '/^tps/ { print 1000000 / $3 }' >> "$TEMP/$1"
	if [ "$(wc -l < "$TEMP/$1")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

rules()
{
	psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" -c "UPDATE cx.alert_rule SET enabled = name ~ '$1'"
}

median()
{
	sort -n "$TEMP/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# compare TEXT OURS THEIRS GOAL FACTOR: OURS / (FACTOR * THEIRS)
compare()
{
	echo "$1|$(median "$2")|$(median "$3")|$4|$5" | awk -F'|' '{
		theirs = $3 * $5; ratio = $2 / theirs
		printf "%-58s %8.1f %8.1f %7.2f %5s %s\n", $1, $2, theirs, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

echo "alert: $RUNS rounds of single answers" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	for clients in 1 4 16 64; do
		write "bare$clients" public.bare "$clients" ''
		rules other
		write "others$clients" cx.feedback "$clients" ''
		rules unhappy
		write "fifth$clients" cx.feedback "$clients" ''
	done
	write work.bare public.bare 1 '-c synchronous_commit=off'
	write work.disabled cx.feedback 1 '-c synchronous_commit=off -c cxm.alerts=off'
	rules '^$'
	write work.none cx.feedback 1 '-c synchronous_commit=off'
	rules other
	write work.others cx.feedback 1 '-c synchronous_commit=off'
	rules unhappy
	write work.fifth cx.feedback 1 '-c synchronous_commit=off'
	rules throttled
	write work.throttled cx.feedback 1 '-c synchronous_commit=off'
	rules capped
	write work.capped cx.feedback 1 '-c synchronous_commit=off'
	psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" -c 'TRUNCATE public.bare, cx.feedback, cx.alert, cx.outbox, cx.alert_limit'
done
printf '%-58s %8s %8s %7s %5s\n' 'single answers on disk, microseconds each' ours theirs ratio goal
for clients in 1 4 16 64; do
	compare "five rules, none holds / bare table, $clients clients" "others$clients" "bare$clients" 1.10 1
	compare "a fifth raises an alert / bare table, $clients clients" "fifth$clients" "bare$clients" 1.18 1
done
printf '%-58s %8s %8s %7s %5s\n' 'the work alone, microseconds each' ours theirs ratio goal
compare 'cxm.alerts off / bare table' work.disabled work.bare 1.50 1
compare 'no rule / cxm.alerts off' work.none work.disabled 1.10 1
compare 'five rules, none holds / cxm.alerts off' work.others work.disabled 1.10 1
compare 'a fifth raises an alert / cxm.alerts off' work.fifth work.disabled 1.50 1
compare 'a fifth is throttled / cxm.alerts off' work.throttled work.disabled - 1
compare 'a fifth is over a storm cap / cxm.alerts off' work.capped work.disabled - 1

# load NAME ROWS: milliseconds to insert that many answers at once, and to turn as many good ones into bad ones
load()
{
	PGOPTIONS="-c synchronous_commit=off -c cxm.notify_mode=off ${3:-}" psql -XqAt -v ON_ERROR_STOP=1 -v rows="$2" -d "$DB" >"$TEMP/load" <<-'SQL'
		TRUNCATE cx.feedback, cx.alert, cx.outbox;
		-- the plans of the trigger are made for one row, and kept
		INSERT INTO cx.feedback (metric, score) VALUES ('csat', 1);
		UPDATE cx.feedback SET score = 2;
		CHECKPOINT;
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		INSERT INTO cx.feedback (metric, score, scale_min, scale_max, comment)
		SELECT 'csat', 1 + i % 5, 1, 5, 'the parcel came late and nobody answered the telephone' FROM generate_series(1, :rows) AS i;
		SELECT 'insert ' || 1000 * (extract(epoch FROM clock_timestamp()) - :began);
		TRUNCATE cx.alert, cx.outbox;
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		UPDATE cx.feedback SET score = 6 - score;
		SELECT 'update ' || 1000 * (extract(epoch FROM clock_timestamp()) - :began);
	SQL
	awk -v file="$TEMP/$1" '{ print $2 > (file "_" $1); close(file "_" $1) }' "$TEMP/load"
	cat "$TEMP/$1_insert" >> "$TEMP/$1.insert"
	cat "$TEMP/$1_update" >> "$TEMP/$1.update"
}

echo "alert: $RUNS rounds of bulk loads" >&2
rules unhappy
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	load quarter $((ROWS / 4))
	load half $((ROWS / 2))
	load full "$ROWS"
	load quiet "$ROWS" '-c cxm.alerts=off'
done
printf '%-58s %8s %8s %7s %5s\n' 'bulk loads, milliseconds each' ours theirs ratio goal
compare "$ROWS answers, a fifth raises / cxm.alerts off" full.insert quiet.insert 1.50 1
compare "growth: INSERT of $((ROWS / 2)) / 2 x $((ROWS / 4))" half.insert quarter.insert - 2
compare "growth: INSERT of $ROWS / 4 x $((ROWS / 4))" full.insert quarter.insert 2.00 4
compare "growth: UPDATE of $((ROWS / 2)) / 2 x $((ROWS / 4))" half.update quarter.update - 2
compare "growth: UPDATE of $ROWS / 4 x $((ROWS / 4))" full.update quarter.update 2.00 4

# history: the same evaluation over what is stored
backtest()
{
	psql -XqAt -v ON_ERROR_STOP=1 -v rows="$1" -d "$DB" <<-'SQL' | tail -1 >> "$TEMP/backtest.$1"
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		SELECT count(*) FROM cxm.alert_backtest('{"metric": "csat", "score_max": 1, "throttle": "1 hour", "throttle_by": "rule", "storm_cap": 5}'::jsonb,
			'2020-01-01 00:00+00', timestamptz '2020-01-01 00:00+00' + :rows * interval '1 minute');
		SELECT 1000 * (extract(epoch FROM clock_timestamp()) - :began);
	SQL
}

psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -d "$DB" <<-'SQL'
	TRUNCATE cx.feedback, cx.alert, cx.outbox;
	SET cxm.alerts = off;
	INSERT INTO cx.feedback (metric, score, scale_min, scale_max, occurred_at)
	SELECT 'csat', 1 + i % 5, 1, 5, timestamptz '2020-01-01 00:00+00' + i * interval '1 minute' FROM generate_series(0, :rows - 1) AS i;
	ANALYZE cx.feedback;
SQL
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	for rows in $((ROWS / 4)) $((ROWS / 2)) "$ROWS"; do
		backtest "$rows"
	done
done
printf '%-58s %8s %8s %7s %5s\n' 'backtest, milliseconds each' ours theirs ratio goal
compare "growth: backtest over $((ROWS / 2)) / 2 x $((ROWS / 4))" "backtest.$((ROWS / 2))" "backtest.$((ROWS / 4))" - 2
compare "growth: backtest over $ROWS / 4 x $((ROWS / 4))" "backtest.$ROWS" "backtest.$((ROWS / 4))" 2.00 4

! grep -q 'MISS$' "$TEMP/lines"
