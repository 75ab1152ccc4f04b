#!/bin/sh
# test/bench/delivery.sh: what does a delivery cost, and does the queue stay fast as it and its past grow?
#
# Beside it stands the queue that people write by hand: a table, SELECT ... FOR UPDATE SKIP LOCKED, and a second update
# when the message is out. It has no lease, no retry, no address, no events. Both claim ten and acknowledge ten, a
# statement each time, with one and with eight senders. Ways take turns; what is compared are the medians. Commits do not
# wait for the disk.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its own
# and drops it. RUNS (5) runs of SECONDS_EACH (1) second for each way; ROWS (1000000) deliveries in the largest store, half
# of them waiting.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-1}
ROWS=${ROWS:-1000000}
DB=cxm_bench_delivery_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
export PGOPTIONS='-c synchronous_commit=off -c client_min_messages=warning -c cxm.notify_mode=off'

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"; }

sql >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.resolve_identifiers(cxm.source_id('bench'), ARRAY(SELECT jsonb_build_object('email', 'c' || i || '@shop.example') FROM generate_series(1, 1000) AS i), array_fill(now(), '{1000}'));

-- what people write by hand
CREATE TABLE public.queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, address text NOT NULL, payload jsonb NOT NULL, state text NOT NULL DEFAULT 'waiting', sent_at timestamptz, provider_id text);
CREATE INDEX ON public.queue (id) WHERE state = 'waiting';
CREATE FUNCTION public.send() RETURNS bigint LANGUAGE sql AS $$
    WITH claimed AS (
        UPDATE public.queue AS q SET state = 'claimed'
        WHERE q.id IN (SELECT w.id FROM public.queue AS w WHERE w.state = 'waiting' ORDER BY w.id LIMIT 10 FOR UPDATE SKIP LOCKED)
        RETURNING q.id
    )
    SELECT count(*) FROM claimed;
    WITH sent AS (
        UPDATE public.queue AS q SET state = 'sent', sent_at = now(), provider_id = 'p' || q.id
        WHERE q.id IN (SELECT w.id FROM public.queue AS w WHERE w.state = 'claimed' LIMIT 10 FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*) FROM sent;
$$;
CREATE INDEX ON public.queue (id) WHERE state = 'claimed';
SQL

# fill ROWS: half waits, half was sent
fill()
{
	sql -v rows="$1" >/dev/null <<-'SQL'
		TRUNCATE cx.delivery, cx.delivery_event, cx.outbox, public.queue;
		INSERT INTO cx.delivery (kind, record_id, channel, identifier_id, payload, not_before, due_at, state, attempts, claimed_at, claimed_by, address, status, sent_at, finished_at)
		SELECT 'message', i, 'email', 1 + i % 1000, '{"text": "the parcel is on its way"}', now(), CASE WHEN i % 2 = 0 THEN now() END, CASE WHEN i % 2 = 0 THEN 'pending' ELSE 'sent' END, i % 2,
		       CASE WHEN i % 2 = 1 THEN now() END, CASE WHEN i % 2 = 1 THEN 'a' END, CASE WHEN i % 2 = 1 THEN 'a@b' END, CASE WHEN i % 2 = 1 THEN 'sent' END,
		       CASE WHEN i % 2 = 1 THEN now() END, CASE WHEN i % 2 = 1 THEN now() END
		FROM generate_series(1, :rows) AS i;
		INSERT INTO public.queue (address, payload, state) SELECT 'a@b', '{"text": "the parcel is on its way"}', CASE WHEN i % 2 = 0 THEN 'waiting' ELSE 'sent' END FROM generate_series(1, :rows) AS i;
		VACUUM ANALYZE cx.delivery;
		VACUUM ANALYZE public.queue;
	SQL
}

echo "SELECT count(cxm.acknowledge_delivery(d.delivery_id, 'p' || d.delivery_id, d.attempt)) FROM cxm.claim_deliveries(10, 'sender', 'email') AS d;" > "$TEMP/ours.sql"
echo 'SELECT public.send();' > "$TEMP/theirs.sql"
echo "SELECT cxm.enqueue_deliveries('message', ARRAY[1], ARRAY['email'], ARRAY[1::bigint], ARRAY['{\"text\": \"the parcel is on its way\"}'::jsonb]);" > "$TEMP/enqueue.sql"
echo "INSERT INTO public.queue (address, payload) VALUES ('a@b', '{\"text\": \"the parcel is on its way\"}');" > "$TEMP/insert.sql"

echo "SELECT cardinality(cxm.enqueue_deliveries('message', array_fill(1::bigint, '{1000}'), array_fill('email'::text, '{1000}'), array_fill(1::bigint, '{1000}'), array_fill('{\"text\": \"the parcel is on its way\"}'::jsonb, '{1000}')));" > "$TEMP/enqueue1000.sql"
echo "INSERT INTO public.queue (address, payload) SELECT 'a@b', '{\"text\": \"the parcel is on its way\"}' FROM generate_series(1, 1000);" > "$TEMP/insert1000.sql"

# measure NAME SCRIPT CLIENTS DELIVERIES: microseconds a delivery, appended to $TEMP/NAME
measure()
{
	pgbench -n -M prepared -c "$3" -j 1 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" | awk -v n="$4" '/^tps/ { print 1000000 / $3 / n }' >> "$TEMP/$1"
	if grep -q -i error "$TEMP/err"; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

median() { sort -n "$TEMP/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# compare TEXT OURS THEIRS GOAL
compare()
{
	echo "$1|$(median "$2")|$(median "$3")|$4" | awk -F'|' '{ ratio = $2 / $3
		printf "%-58s %8.1f %8.1f %7.2f %5s %s\n", $1, $2, $3, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

for size in $((ROWS / 100)) $((ROWS / 10)) "$ROWS"; do
	echo "delivery: $size rows" >&2
	for round in $(seq "$RUNS"); do
		# a small queue must not run empty
		if [ "$round" -eq 1 ] || [ "$size" -lt 100000 ]; then
			fill "$size"
		fi
		measure "ours_$size" ours 1 10
		measure "theirs_$size" theirs 1 10
	done
done
for round in $(seq "$RUNS"); do
	measure ours8 ours 8 10
	measure theirs8 theirs 8 10
	measure enqueue enqueue 1 1
	measure insert insert 1 1
	measure enqueue1000 enqueue1000 1 1000
	measure insert1000 insert1000 1 1000
done
printf '%-58s %8s %8s %7s %5s\n' 'microseconds a delivery' ours theirs ratio goal
compare "claim and acknowledge, $((ROWS / 100)) rows / queue by hand" "ours_$((ROWS / 100))" "theirs_$((ROWS / 100))" -
compare "claim and acknowledge, $((ROWS / 10)) rows / queue by hand" "ours_$((ROWS / 10))" "theirs_$((ROWS / 10))" -
compare "claim and acknowledge, $ROWS rows / queue by hand" "ours_$ROWS" "theirs_$ROWS" 10
compare '8 senders / queue by hand' ours8 theirs8 10
compare 'enqueue one / bare INSERT' enqueue insert 12
compare 'enqueue 1000 at once / INSERT ... SELECT' enqueue1000 insert1000 8
compare "growth: $ROWS rows / $((ROWS / 10)) rows" "ours_$ROWS" "ours_$((ROWS / 10))" 1.5

! grep -q 'MISS$' "$TEMP/lines"
