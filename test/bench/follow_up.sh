#!/bin/sh
# test/bench/follow_up.sh: what does it cost to open follow-ups, to take the next one and to move one?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (5) rounds, all ways in turn, so that a slow moment of the machine hits them all; what is
# compared are the medians. ROWS (100000) alerts in the largest batch, QUEUE (1000000) follow-ups that wait in the
# largest queue. Commits do not wait for the disk (synchronous_commit = off).
#
# Beside it what people write by hand: a table, a look whether the customer has an open case, and an INSERT. That opens
# two cases for two writers at once, keeps no history and tells nobody.
#
# A line a comparison: name, median of ours, median of theirs (milliseconds a batch, or microseconds a call), ratio,
# goal, ok or MISS. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-5}
ROWS=${ROWS:-100000}
QUEUE=${QUEUE:-1000000}
SECONDS_EACH=${SECONDS_EACH:-2}
DB=cxm_bench_follow_up_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6);
SET cxm.notify_mode = off;
INSERT INTO cx.profile (profile_id, canonical_id) SELECT i, i FROM generate_series(1, :rows) AS i;
INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) SELECT i, 'user_id', 'u' || i, i FROM generate_series(1, :rows) AS i;
INSERT INTO cx.feedback (metric, score, identifier_id) SELECT 'nps', i % 7, i FROM generate_series(1, :rows) AS i;

-- by hand
CREATE TABLE public.bare (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, alert_id bigint UNIQUE, customer bigint, score smallint, priority smallint NOT NULL DEFAULT 2,
    owner text, state text NOT NULL DEFAULT 'open', opened_at timestamptz NOT NULL DEFAULT now(), due_at timestamptz);
CREATE INDEX ON public.bare (customer) WHERE state = 'open';
CREATE INDEX ON public.bare (priority, due_at, id) WHERE state = 'open';
CREATE FUNCTION public.by_hand(alert bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.bare (alert_id, customer, score, due_at)
    SELECT a.alert_id, p.canonical_id, a.score, now() + interval '3 days'
    FROM cx.alert AS a JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id)
    WHERE a.alert_id = alert AND NOT EXISTS (SELECT FROM public.bare AS b WHERE b.customer = p.canonical_id AND b.state = 'open');
END
$$;
VACUUM ANALYZE;
SQL

clear="TRUNCATE cx.follow_up, cx.follow_up_alert, cx.follow_up_event, cx.follow_up_lock, cx.outbox, public.bare"

# batch NAME STATEMENT: milliseconds of one statement on empty tables, appended to $TEMP/NAME
batch()
{
	PGOPTIONS='-c synchronous_commit=off -c cxm.notify_mode=off' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >"$TEMP/out" <<-SQL
		$clear;
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		$2;
		SELECT 'took ' || 1000 * (extract(epoch FROM clock_timestamp()) - :began);
	SQL
	awk '/^took/ { print $2 }' "$TEMP/out" >> "$TEMP/$1"
}

# calls NAME: microseconds a transaction of script $TEMP/NAME.sql
calls()
{
	PGOPTIONS='-c synchronous_commit=off -c cxm.notify_mode=off' pgbench -n -M prepared -c "${2:-1}" -j 1 -T "$SECONDS_EACH" -f "$TEMP/$1.sql" "$DB" 2>"$TEMP/err" |
		awk '/^tps/ { print 1000000 / $3 }' >> "$TEMP/$1"
	if [ "$(wc -l < "$TEMP/$1")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
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
		printf "%-66s %9.1f %9.1f %7.2f %5s %s\n", $1, $2, theirs, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

open()
{
	echo "SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert WHERE alert_id <= $1))"
}

echo "follow_up: $RUNS rounds of batches" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	batch quarter "$(open $((ROWS / 4)))"
	batch half "$(open $((ROWS / 2)))"
	batch full "$(open "$ROWS")"
	batch attach "SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert)); DELETE FROM cx.follow_up_alert;
		SELECT extract(epoch FROM clock_timestamp()) AS began \\gset
		SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert))"
	batch set "INSERT INTO public.bare (alert_id, customer, score, due_at)
		SELECT a.alert_id, p.canonical_id, a.score, now() + interval '3 days'
		FROM cx.alert AS a JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id)
		WHERE NOT EXISTS (SELECT FROM public.bare AS b WHERE b.customer = p.canonical_id AND b.state = 'open')"
	batch loop "SELECT count(public.by_hand(alert_id)) FROM cx.alert"
done
printf '%-66s %9s %9s %7s %5s\n' 'batches, milliseconds each' ours theirs ratio goal
compare "growth: open $((ROWS / 2)) / 2 x $((ROWS / 4))" half quarter 1.50 2
compare "growth: open $ROWS / 4 x $((ROWS / 4))" full quarter 1.50 4
compare "open $ROWS / INSERT ... SELECT by hand, no history" full set - 1
compare "open $ROWS / a function by hand for each row" full loop 3.00 1
compare "attach $ROWS further alerts / open as many" attach full - 1

cat > "$TEMP/ours.sql" <<SQL
\\set id random(1, $ROWS)
SELECT cxm.open_follow_ups(ARRAY[:id]::bigint[]);
SQL
cat > "$TEMP/hand.sql" <<SQL
\\set id random(1, $ROWS)
SELECT public.by_hand(:id) WHERE NOT EXISTS (SELECT FROM public.bare WHERE alert_id = :id);
SQL
echo "SELECT follow_up_id FROM cxm.claim_follow_ups(1, 'anna')" > "$TEMP/claim_small.sql"
cp "$TEMP/claim_small.sql" "$TEMP/claim_large.sql"
cat > "$TEMP/claim_hand.sql" <<'SQL'
UPDATE public.bare SET state = 'in_progress', owner = 'anna' WHERE id = (SELECT id FROM public.bare WHERE state = 'open' ORDER BY priority, due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
SQL

# fill ROWS: so many follow-ups that wait
fill()
{
	PGOPTIONS='-c cxm.notify_mode=off' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" <<-SQL
		$clear;
		ALTER TABLE cx.follow_up DISABLE TRIGGER USER;
		INSERT INTO cx.follow_up (priority, due_at) SELECT (ARRAY['critical', 'high', 'medium', 'low'])[1 + i % 4], now() + i * interval '1 s' FROM generate_series(1, $1) AS i;
		ALTER TABLE cx.follow_up ENABLE TRIGGER USER;
		INSERT INTO public.bare (priority, due_at) SELECT 1 + i % 4, now() + i * interval '1 s' FROM generate_series(1, $1) AS i;
		VACUUM ANALYZE cx.follow_up, public.bare;
	SQL
}

echo "follow_up: $RUNS rounds of single calls" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	psql -XqAt -d "$DB" -c "$clear"
	calls ours
	calls hand
	fill $((QUEUE / 10))
	calls claim_small
done
fill "$QUEUE"
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	calls claim_large
	calls claim_hand
done
printf '%-66s %9s %9s %7s %5s\n' 'single calls, microseconds each' ours theirs ratio goal
compare 'open one / a function by hand' ours hand - 1
compare "growth: claim from $QUEUE / from $((QUEUE / 10))" claim_large claim_small 2.00 1
compare "claim from $QUEUE, with history / UPDATE by hand" claim_large claim_hand - 1

! grep -q 'MISS$' "$TEMP/lines"
