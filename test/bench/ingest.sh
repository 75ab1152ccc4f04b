#!/bin/sh
# test/bench/ingest.sh: what does it cost to send records through the ingest functions?
#
# Beside it stands what people write by hand: the same rows into one bare table with UNIQUE (source, message_id) and
# ON CONFLICT DO NOTHING. That knows nothing of people, catalogues, partitions, refusals and alerts, so a ratio says
# what these cost; there is no goal for it. The goal is growth: a record costs in a full store what it costs in an
# empty one.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (5) runs of SECONDS_EACH (2) seconds for each way to send single records; ROWS (200000)
# records in batches of 1000. Ways take turns, so that a slow moment of the machine hits them all; what is compared
# are the medians. Commits do not wait for the disk (synchronous_commit = off): waiting would hide what is measured.
#
# A line a comparison: name, median of ours, median of theirs (records a second), ratio of the time, goal, ok or MISS.
# Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-2}
ROWS=${ROWS:-200000}
DB=cxm_bench_ingest_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
export PGOPTIONS='-c synchronous_commit=off -c client_min_messages=warning'

psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 2);

CREATE TABLE public.bare (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    message_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    name text,
    score integer,
    email text,
    touchpoint text,
    product text,
    properties jsonb,
    UNIQUE (source, message_id)
);
CREATE INDEX ON public.bare (email, at);

CREATE FUNCTION public.batch(kind text, number integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('message_id', number || '-' || i, 'at', now() - make_interval(mins => i), 'touchpoint', 'touchpoint ' || i % 20,
               'product', 'product ' || i % 200, 'identifiers', jsonb_build_object('email', 'c' || floor(20000 * random()) || '@example.com'))
           || CASE kind WHEN 'event' THEN jsonb_build_object('event', 'view', 'properties', jsonb_build_object('page', i))
                        ELSE jsonb_build_object('metric', 'nps', 'score', i % 11) END)
    FROM generate_series(1, 1000) AS i;
$$;
SQL

# ---- single records

head='\set n random(1, 1000000000)
\set c random(1, 20000)'
cat > "$TEMP/track.sql" <<SQL
$head
SELECT cxm.track('view', jsonb_build_object('email', 'c' || :c || '@example.com'), touchpoint => 'shop', source => 'bench', message_id => 'm' || :n);
SQL
cat > "$TEMP/record_feedback.sql" <<SQL
$head
SELECT cxm.record_feedback('nps', :n % 11, jsonb_build_object('email', 'c' || :c || '@example.com'), touchpoint => 'shop', source => 'bench', message_id => 'm' || :n);
SQL
cat > "$TEMP/bare.sql" <<SQL
$head
INSERT INTO public.bare (source, message_id, name, email, touchpoint) VALUES ('bench', 'm' || :n, 'view', 'c' || :c || '@example.com', 'shop') ON CONFLICT DO NOTHING;
SQL

# send NAME CLIENTS: records a second, appended to $TEMP/NAME.CLIENTS
send()
{
	pgbench -n -M prepared -c "$2" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$1.sql" "$DB" 2>"$TEMP/err" |
		awk '/^tps/ { print $3 }' >> "$TEMP/$1.$2"
	if [ "$(wc -l < "$TEMP/$1.$2")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

median()
{
	sort -n "$TEMP/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# compare TEXT OURS THEIRS GOAL: both in records a second
compare()
{
	echo "$1|$(median "$2")|$(median "$3")|$4" | awk -F'|' '{
		ratio = $3 / $2
		printf "%-52s %9.0f %9.0f %7.2f %5s %s\n", $1, $2, $3, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

echo "ingest: $RUNS rounds of single records" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	for clients in 1 8; do
		send track $clients
		send record_feedback $clients
		send bare $clients
	done
done
printf '%-52s %9s %9s %7s %5s\n' 'single records, records a second' ours theirs ratio goal
compare 'track / bare table' track.1 bare.1 -
compare 'record_feedback / bare table' record_feedback.1 bare.1 -
compare '8 clients: track / bare table' track.8 bare.8 -
compare '8 clients: record_feedback / bare table' record_feedback.8 bare.8 -

# ---- batches of 1000, into a store that starts empty: a commit each, and the plans of one session

echo "ingest: $ROWS events and $ROWS answers in batches of 1000" >&2
psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" > "$TEMP/batches" <<SQL
TRUNCATE public.bare, cx.event, cx.feedback, cx.message, cx.alert, cx.outbox, cx.link, cx.trait, cx.identifier, cx.profile CASCADE;
CREATE PROCEDURE public.send(batches integer) LANGUAGE plpgsql AS \$\$
DECLARE
    v_batch jsonb;
    v_began timestamptz;
    v_done bigint;
    v_told timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1 .. batches LOOP
        v_batch := public.batch('event', i);
        v_began := clock_timestamp();
        SELECT b.accepted INTO v_done FROM cxm.track_batch(v_batch, 'bench') AS b;
        COMMIT;
        INSERT INTO public.took VALUES ('event', i, v_done, clock_timestamp() - v_began);

        v_began := clock_timestamp();
        INSERT INTO public.bare (source, message_id, at, name, email, touchpoint, product, properties)
        SELECT 'event', r.message_id, r.at, r.event, r.identifiers ->> 'email', r.touchpoint, r.product, r.properties
        FROM jsonb_to_recordset(v_batch) AS r(message_id text, at timestamptz, event text, identifiers jsonb, touchpoint text, product text, properties jsonb)
        ON CONFLICT DO NOTHING;
        COMMIT;
        INSERT INTO public.took VALUES ('bare', i, 1000, clock_timestamp() - v_began);

        v_batch := public.batch('feedback', i);
        v_began := clock_timestamp();
        SELECT b.accepted INTO v_done FROM cxm.record_feedback_batch(v_batch, 'bench') AS b;
        COMMIT;
        INSERT INTO public.took VALUES ('feedback', i, v_done, clock_timestamp() - v_began);
        COMMIT;
        IF clock_timestamp() > v_told + interval '10 seconds' THEN
            RAISE WARNING 'ingest: % of % batches', i, batches;
            v_told := clock_timestamp();
        END IF;
    END LOOP;
END \$\$;
CREATE TABLE public.took (kind text, number integer, records bigint, time interval);
CALL public.send($ROWS / 1000);
SELECT kind, number, records / extract(epoch FROM time) FROM public.took ORDER BY 1, 2;
SQL

# tenths of the batches around three sizes
size()
{
	awk -F'|' -v kind="$1" -v first="$2" -v last="$3" '$1 == kind && $2 > first && $2 <= last { print $3 }' "$TEMP/batches" > "$TEMP/$4"
	[ -s "$TEMP/$4" ]
}
batches=$((ROWS / 1000))
for kind in event feedback bare; do
	size $kind $((batches / 20)) $((batches * 3 / 20)) $kind.small
	size $kind $((batches * 9 / 20)) $((batches * 11 / 20)) $kind.half
	size $kind $((batches * 18 / 20)) "$batches" $kind.full
done
printf '%-52s %9s %9s %7s %5s\n' 'batches of 1000, records a second' ours theirs ratio goal
for part in small:$((ROWS / 10)) half:$((ROWS / 2)) full:$ROWS; do
	compare "track_batch at ${part#*:} events / bare table" "event.${part%:*}" "bare.${part%:*}" -
	compare "record_feedback_batch at ${part#*:} answers / bare" "feedback.${part%:*}" "bare.${part%:*}" -
done
compare "growth: track_batch at $ROWS / at $((ROWS / 10))" event.full event.small 1.50
compare "growth: record_feedback_batch at $ROWS / at $((ROWS / 10))" feedback.full feedback.small 1.50

! grep -q 'MISS$' "$TEMP/lines"
