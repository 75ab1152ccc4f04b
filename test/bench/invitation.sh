#!/bin/sh
# test/bench/invitation.sh: what does it cost to keep to quotas and fatigue rules, and to watch for triggers?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (5) runs of SECONDS_EACH (2) seconds for each way, all in turn, so that a slow moment of the
# machine hits them all; what is compared are the medians. On a server that waits for the disk (fsync is off on the
# throwaway one of make bench) a counter and a lock cost a commit each, and stripes gain more.
# ROWS (100000) people in the largest batch.
#
# A line a comparison: name, median of ours, median of theirs (microseconds a response or record, or milliseconds a
# batch), ratio, goal, ok or MISS. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
ROWS=${ROWS:-100000}
DB=cxm_bench_invitation_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.create_survey('{"key": "visit", "questions": [{"key": "nps", "type": "nps", "text": "How likely?"}]}');
SELECT cxm.publish_survey('visit');
SELECT cxm.set_consent_policy('*', '*', true);
SELECT cxm.add_quota(1, 'all', 2000000000);
CREATE SEQUENCE public.response;

-- what people write by hand. The first is fast and wrong: sessions that count at once all find a place.
CREATE TABLE public.place (response_id bigint PRIMARY KEY, counted boolean NOT NULL);
CREATE INDEX ON public.place (counted);
CREATE FUNCTION public.count_check(target bigint) RETURNS boolean LANGUAGE sql AS $$
    INSERT INTO public.place SELECT nextval('public.response'), (SELECT count(*) FROM public.place WHERE counted) < target RETURNING counted $$;
-- right, one session at a time
CREATE FUNCTION public.lock_check(target bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4711);
    RETURN public.count_check(target);
END $$;
-- right, by a counter: each waits for the other's commit
CREATE TABLE public.counter (taken bigint NOT NULL, target bigint NOT NULL);
INSERT INTO public.counter VALUES (0, 2000000000);
CREATE FUNCTION public.counter_check() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.counter SET taken = taken + 1 WHERE taken < target;
    INSERT INTO public.place VALUES (nextval('public.response'), FOUND);
    RETURN true;
END $$;

CREATE TABLE public.bare (LIKE cx.event INCLUDING ALL);
INSERT INTO cx.event_type (key) VALUES ('Seen'), ('Delivered');
SELECT cxm.identify('{"email": "a@example.org"}');
SQL

# the naive count has something to count, as it would after some weeks
psql -XqAt -d "$DB" -c "INSERT INTO public.place SELECT nextval('public.response'), true FROM generate_series(1, 10000)" -c 'VACUUM ANALYZE' >/dev/null
echo "SELECT public.count_check(2000000000);" > "$TEMP/count.sql"
echo "SELECT public.lock_check(2000000000);" > "$TEMP/lock.sql"
echo "SELECT public.counter_check();" > "$TEMP/counter.sql"
echo "SELECT cxm.take_quota(1, '{}', nextval('public.response'));" > "$TEMP/quota.sql"
for table in public.bare cx.event; do
	echo "INSERT INTO $table (occurred_at, identifier_id, event_type_id) VALUES (now(), 1, 1);" > "$TEMP/$table.sql"
done

# run NAME SCRIPT CLIENTS: microseconds a transaction, appended to $TEMP/NAME
run()
{
	pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" | awk '/^tps/ { print 1000000 / $3 }' >> "$TEMP/$1"
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
		printf "%-58s %8.1f %8.1f %7.2f %5s %s\n", $1, $2, theirs, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

echo "invitation: $RUNS rounds of quotas" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	for clients in 8 64; do
		for way in quota count lock counter; do
			run "$way$clients" "$way" "$clients"
		done
	done
done
printf '%-58s %8s %8s %7s %5s\n' 'places of a quota, microseconds each' ours theirs ratio goal
for clients in 8 64; do
	compare "$clients clients: take_quota / count(*), which is not exact" "quota$clients" "count$clients" - 1
	compare "$clients clients: take_quota / advisory lock and count(*)" "quota$clients" "lock$clients" 0.50 1
	compare "$clients clients: take_quota / one counter" "quota$clients" "counter$clients" - 1
done

echo "invitation: $RUNS rounds of events" >&2
psql -XqAt -d "$DB" -c "SELECT cxm.add_survey_trigger('seen', 1, 'purchase')" >/dev/null
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	run bare public.bare 1
	psql -XqAt -d "$DB" -c "DROP TRIGGER IF EXISTS survey_candidate ON cx.event" 2>/dev/null
	run unwatched cx.event 1
	psql -XqAt -d "$DB" -c "SELECT cxm.watch_for_surveys('event')" \
		-c "DELETE FROM cx.survey_trigger WHERE kind = 'event'" \
		-c "SELECT cxm.add_survey_trigger('other', 1, 'event', '{\"event\": \"Delivered\"}')" >/dev/null
	run other cx.event 1
	psql -XqAt -d "$DB" -c "DELETE FROM cx.survey_trigger WHERE kind = 'event'" \
		-c "SELECT cxm.add_survey_trigger('every', 1, 'event', '{\"event\": \"Seen\"}')" >/dev/null
	run every cx.event 1
	psql -XqAt -d "$DB" -c "DELETE FROM cx.survey_trigger WHERE kind = 'event'" -c "TRUNCATE cx.survey_candidate" >/dev/null
done
printf '%-58s %8s %8s %7s %5s\n' 'single events, microseconds each' ours theirs ratio goal
compare 'no trigger watches / bare table' unwatched bare - 1
compare 'watched, the event is another / not watched' other unwatched 1.50 1
compare 'watched, each event sets it off / not watched' every unwatched - 1

# batch NAME ROWS: milliseconds to invite so many people who have been asked before, under two rules
batch()
{
	psql -XqAt -v ON_ERROR_STOP=1 -v rows="$2" -d "$DB" >"$TEMP/batch" <<-'SQL'
		TRUNCATE cx.invitation, cx.invitation_token, cx.contact_clock, cx.fatigue_rule;
		SELECT FROM cxm.invite_batch(1, ARRAY(SELECT identifier_id FROM cx.identifier WHERE namespace = 'loyalty_id' LIMIT :rows), NULL, send_at => now() - interval '20 days');
		SELECT cxm.add_fatigue_rule('month', 2, '30 days'), cxm.add_fatigue_rule('gap', min_gap => '7 days');
		VACUUM ANALYZE cx.invitation;
		CHECKPOINT;
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		SELECT FROM cxm.invite_batch(1, ARRAY(SELECT identifier_id FROM cx.identifier WHERE namespace = 'loyalty_id' LIMIT :rows), NULL);
		SELECT 'time ' || 1000 * (extract(epoch FROM clock_timestamp()) - :began);
		SELECT 'check ' || count(*) FROM cx.invitation WHERE state = 'sent';
	SQL
	awk '/^time/ { print $2 }' "$TEMP/batch" >> "$TEMP/$1"
	if ! grep -qx "check $(($2 * 2))" "$TEMP/batch"; then
		cat "$TEMP/batch" >&2
		exit 1
	fi
}

echo "invitation: $RUNS rounds of batches" >&2
psql -XqAt -d "$DB" -c "SELECT count(*) FROM cxm.identify_batch((SELECT jsonb_agg(jsonb_build_object('identifiers', jsonb_build_object('loyalty_id', i))) FROM generate_series(1, $ROWS) AS i))" -c 'VACUUM ANALYZE' >/dev/null
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	batch quarter $((ROWS / 4))
	batch half $((ROWS / 2))
	batch full "$ROWS"
done
printf '%-58s %8s %8s %7s %5s\n' 'batches under two fatigue rules, milliseconds each' ours theirs ratio goal
compare "growth: $((ROWS / 2)) people / 2 x $((ROWS / 4))" half quarter - 2
compare "growth: $ROWS people / 4 x $((ROWS / 4))" full quarter 2.00 4

! grep -q 'MISS$' "$TEMP/lines"
