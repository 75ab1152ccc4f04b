#!/bin/sh
# test/bench/alert.sh: what do alerts cost the writer?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (7) runs of SECONDS_EACH (2) seconds for each way to write, all in turn, so that a slow moment of
# the machine hits them all; what is compared are the medians. Commits do not wait for the disk
# (synchronous_commit = off): waiting would hide what is measured. ROWS (100000) answers in the largest bulk load.
#
# A line a comparison: name, median of ours, median of theirs (microseconds an answer, or milliseconds a load), ratio,
# goal, ok or MISS. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-7}
SECONDS_EACH=${SECONDS_EACH:-2}
ROWS=${ROWS:-100000}
DB=cxm_bench_alert_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.add_alert_rule('unhappy', metric => 'csat', score_max => 1);
SELECT cxm.add_alert_rule('other ' || i, metric => 'ces', score_max => i) FROM generate_series(1, 5) AS i;

-- what people write by hand: a table, and a trigger on every row that notifies
CREATE TABLE public.bare (LIKE cx.feedback INCLUDING ALL);
CREATE TABLE public.naive (LIKE cx.feedback INCLUDING ALL);
CREATE FUNCTION public.naive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.metric = 'csat' AND NEW.score <= 1 THEN
        PERFORM pg_notify('naive', json_build_object('id', NEW.feedback_id, 'metric', NEW.metric, 'score', NEW.score)::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER naive AFTER INSERT ON public.naive FOR EACH ROW EXECUTE FUNCTION public.naive();
SQL

for table in public.bare public.naive cx.feedback; do
	echo "\\set score random(1, 5)" > "$TEMP/$table.sql"
	echo "INSERT INTO $table (metric, score, scale_min, scale_max) VALUES ('csat', :score, 1, 5);" >> "$TEMP/$table.sql"
done

# write NAME TABLE CLIENTS OPTIONS: microseconds an answer, appended to $TEMP/NAME
write()
{
	PGOPTIONS="-c synchronous_commit=off $4" pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" |
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
	write bare public.bare 1 ''
	write naive public.naive 1 ''
	write naive8 public.naive 8 ''
	rules '^$'
	write none cx.feedback 1 ''
	rules other
	write others cx.feedback 1 ''
	rules unhappy
	write disabled cx.feedback 1 '-c cxm.alerts=off'
	write direct cx.feedback 1 ''
	write off cx.feedback 1 '-c cxm.notify_mode=off'
	write direct8 cx.feedback 8 ''
done
printf '%-58s %8s %8s %7s %5s\n' 'single answers, microseconds each' ours theirs ratio goal
compare 'cxm.alerts off / bare table' disabled bare 1.60 1
compare 'no rule / bare table' none bare 1.80 1
compare 'five rules, none holds / bare table' others bare 2.50 1
compare 'a fifth raises an alert / bare table' direct bare - 1
compare 'a fifth raises an alert / row trigger that only notifies' direct naive 4.00 1
compare 'a fifth, notify_mode off / row trigger that only notifies' off naive - 1
compare '8 clients: a fifth raises / row trigger that only notifies' direct8 naive8 4.00 1

# load NAME ROWS: milliseconds to insert that many answers at once, and to turn as many good ones into bad ones
load()
{
	PGOPTIONS="-c synchronous_commit=off ${3:-}" psql -XqAt -v ON_ERROR_STOP=1 -v rows="$2" -d "$DB" >"$TEMP/load" <<-'SQL'
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
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	load quarter $((ROWS / 4))
	load half $((ROWS / 2))
	load full "$ROWS"
	load quiet "$ROWS" '-c cxm.alerts=off'
done
printf '%-58s %8s %8s %7s %5s\n' 'bulk loads, milliseconds each' ours theirs ratio goal
compare "$ROWS answers, a fifth raises / cxm.alerts off" full.insert quiet.insert 3.00 1
compare "growth: INSERT of $((ROWS / 2)) / 2 x $((ROWS / 4))" half.insert quarter.insert - 2
compare "growth: INSERT of $ROWS / 4 x $((ROWS / 4))" full.insert quarter.insert 2.00 4
compare "growth: UPDATE of $((ROWS / 2)) / 2 x $((ROWS / 4))" half.update quarter.update - 2
compare "growth: UPDATE of $ROWS / 4 x $((ROWS / 4))" full.update quarter.update 2.00 4

! grep -q 'MISS$' "$TEMP/lines"
