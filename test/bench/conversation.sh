#!/bin/sh
# test/bench/conversation.sh: what does a message cost, and how do unread counts and search grow?
#
# Beside it stands what people write by hand. Appending: a bare table with the same columns and indexes (the floor), and
# a table of messages with a row trigger that counts unread messages up in a row for each participant, locks included, and
# notifies. Unread: a table of who has read which message, counted with NOT EXISTS. Search: ILIKE. Ways take turns; what is
# compared are the medians. Commits do not wait for the disk. Notifications wait in cx.outbox (cxm.notify_mode off), as they
# do for a writer where the worker is loaded.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its own
# and drops it. RUNS (5) runs of SECONDS_EACH (1) second for each way; ROWS (400000) messages in the largest store.
set -eu
RUNS=${RUNS:-5}
SECONDS_EACH=${SECONDS_EACH:-1}
ROWS=${ROWS:-400000}
DB=cxm_bench_conversation_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM
export PGOPTIONS='-c synchronous_commit=off -c client_min_messages=warning -c cxm.notify_mode=off'

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"; }

sql >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
CREATE TABLE public.bare (LIKE cx.conversation_message INCLUDING ALL);

-- what people write by hand
CREATE TABLE public.talk (talk_id integer PRIMARY KEY, last_at timestamptz);
CREATE TABLE public.reader (talk_id integer, name text, unread integer NOT NULL DEFAULT 0, PRIMARY KEY (talk_id, name));
CREATE TABLE public.post (post_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, talk_id integer NOT NULL REFERENCES public.talk, author text NOT NULL, body text NOT NULL,
                          at timestamptz NOT NULL DEFAULT now(), search tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED);
CREATE INDEX ON public.post (talk_id, at);
CREATE INDEX ON public.post USING gin (search);
CREATE TABLE public.post_read (post_id bigint, name text, PRIMARY KEY (post_id, name));
CREATE FUNCTION public.posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.talk SET last_at = NEW.at WHERE talk_id = NEW.talk_id;
    UPDATE public.reader SET unread = unread + 1 WHERE talk_id = NEW.talk_id AND name <> NEW.author;
    PERFORM pg_notify('talk', json_build_object('talk_id', NEW.talk_id, 'post_id', NEW.post_id)::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER posted AFTER INSERT ON public.post FOR EACH ROW EXECUTE FUNCTION public.posted();
SQL

# fill ROWS: messages in conversations of 40, of which anna and ben take part and have read all but the last 4
fill()
{
	sql -v rows="$1" >/dev/null <<-'SQL'
		TRUNCATE cx.conversation, cx.conversation_message, cx.conversation_participant, cx.conversation_event, cx.outbox, public.bare, public.talk, public.reader, public.post, public.post_read RESTART IDENTITY;
		CREATE TEMPORARY TABLE line AS
		SELECT i AS no, 'the ' || (ARRAY['parcel', 'invoice', 'shirt', 'voucher'])[1 + i % 4] || ' number ' || i || ' came ' || (ARRAY['late', 'broken', 'today'])[1 + i % 3] || ' and nobody answered the telephone'
		       || CASE WHEN i % 1000 = 0 THEN ' refund' ELSE '' END AS body
		FROM generate_series(1, :rows) AS i;
		INSERT INTO cx.conversation (channel, source_id, thread, last_message_no, last_message_at, unanswered_since)
		SELECT 'web_chat', cxm.source_id('app'), 't' || i, 40, now(), now() FROM generate_series(1, :rows / 40) AS i;
		INSERT INTO cx.conversation_participant (conversation_id, participant, role, last_read_no)
		SELECT i, p, CASE p WHEN 'customer' THEN p ELSE 'agent' END, 36 FROM generate_series(1, :rows / 40) AS i, unnest('{customer,anna,ben}'::text[]) AS p;
		INSERT INTO cx.conversation_message (conversation_id, message_no, kind, participant, channel, body, occurred_at, search)
		SELECT 1 + (no - 1) / 40, 1 + (no - 1) % 40, 'inbound', 'customer', 'web_chat', body, now(), to_tsvector('simple', body) FROM line ORDER BY no;
		ALTER TABLE public.post DISABLE TRIGGER posted;
		INSERT INTO public.talk SELECT i, now() FROM generate_series(1, :rows / 40) AS i;
		INSERT INTO public.reader SELECT i, p, 4 FROM generate_series(1, :rows / 40) AS i, unnest('{customer,anna,ben}'::text[]) AS p;
		INSERT INTO public.post (talk_id, author, body) SELECT 1 + (no - 1) / 40, 'customer', body FROM line ORDER BY no;
		INSERT INTO public.post_read SELECT no, p FROM line, unnest('{anna,ben}'::text[]) AS p WHERE (no - 1) % 40 < 36;
		ALTER TABLE public.post ENABLE TRIGGER posted;
		VACUUM ANALYZE;
	SQL
	talks=$(($1 / 40))
}

BODY='the parcel came late and nobody answered the telephone'
scripts()
{
	cat > "$TEMP/bare.sql" <<-SQL
		\\set talk random(1, $talks)
		INSERT INTO public.bare (conversation_id, message_no, kind, participant, channel, body, occurred_at, search)
		VALUES (:talk, 1 + 2000000000 * random(), 'inbound', 'customer', 'web_chat', '$BODY', now(), to_tsvector('simple', '$BODY'));
	SQL
	cat > "$TEMP/hand.sql" <<-SQL
		\\set talk random(1, $talks)
		INSERT INTO public.post (talk_id, author, body) VALUES (:talk, 'customer', '$BODY');
	SQL
	cat > "$TEMP/receive.sql" <<-SQL
		\\set talk random(1, $talks)
		SELECT message_no FROM cxm.receive_message('web_chat', '$BODY', thread => 't' || :talk);
	SQL
	cat > "$TEMP/send.sql" <<-SQL
		\\set talk random(1, $talks)
		SELECT cxm.send_message(:talk, '$BODY', 'anna');
	SQL
	cat > "$TEMP/unread.sql" <<-SQL
		\\set talk random(1, $talks)
		SELECT cxm.unread_count(:talk, 'anna');
	SQL
	cat > "$TEMP/unread_hand.sql" <<-SQL
		\\set talk random(1, $talks)
		SELECT count(*) FROM public.post AS p WHERE p.talk_id = :talk AND p.author <> 'anna' AND NOT EXISTS (SELECT FROM public.post_read AS r WHERE r.post_id = p.post_id AND r.name = 'anna');
	SQL
	echo "SELECT count(*) FROM cxm.search_messages('refund parcel');" > "$TEMP/search.sql"
	echo "SELECT count(*) FROM (SELECT * FROM public.post AS p WHERE body ILIKE '%refund%' AND body ILIKE '%parcel%' ORDER BY p.at DESC LIMIT 50) AS f;" > "$TEMP/search_hand.sql"
	echo "SELECT count(*) FROM cxm.unread_conversations('anna');" > "$TEMP/list.sql"
	echo "SELECT count(*) FROM (SELECT p.talk_id FROM public.post AS p WHERE p.author <> 'anna' AND NOT EXISTS (SELECT FROM public.post_read AS r WHERE r.post_id = p.post_id AND r.name = 'anna') GROUP BY 1) AS u;" > "$TEMP/list_hand.sql"
}

# measure NAME SCRIPT CLIENTS: microseconds a call, appended to $TEMP/NAME
measure()
{
	pgbench -n -M prepared -c "$3" -j 1 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" | awk '/^tps/ { print 1000000 / $3 }' >> "$TEMP/$1"
	if grep -q -i error "$TEMP/err"; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

median() { sort -n "$TEMP/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# compare TEXT OURS THEIRS GOAL FACTOR: OURS / (FACTOR * THEIRS)
compare()
{
	echo "$1|$(median "$2")|$(median "$3")|$4|$5" | awk -F'|' '{ theirs = $3 * $5; ratio = $2 / theirs
		printf "%-58s %10.1f %10.1f %8.3f %5s %s\n", $1, $2, theirs, ratio, $4, $4 == "-" ? "" : ratio <= $4 ? "ok" : "MISS" }' | tee -a "$TEMP/lines"
}

small=$((ROWS / 16))
middle=$((ROWS / 4))
for size in "$small" "$middle" "$ROWS"; do
	echo "conversation: $size messages" >&2
	fill "$size"
	scripts
	for round in $(seq "$RUNS"); do
		: "$round"
		for what in unread unread_hand search search_hand list; do
			measure "${what}_$size" $what 1
		done
	done
	measure "list_hand_$size" list_hand 1
done
echo "conversation: appending" >&2
for round in $(seq "$RUNS"); do
	for clients in 1 8; do
		for what in bare hand receive send; do
			measure "$what$clients" $what $clients
		done
	done
done
printf '%-58s %10s %10s %8s %5s\n' 'microseconds a call' ours theirs ratio goal
compare 'receive a message / bare table, 1 client' receive1 bare1 - 1
compare 'receive a message / counters by hand, 1 client' receive1 hand1 4 1
compare 'receive a message / bare table, 8 clients' receive8 bare8 - 1
compare 'receive a message / counters by hand, 8 clients' receive8 hand8 3 1
compare 'send a message with its delivery / bare table, 1 client' send1 bare1 - 1
compare 'send a message with its delivery / bare table, 8 clients' send8 bare8 - 1
compare "unread of one conversation, $ROWS / read marks by hand" "unread_$ROWS" "unread_hand_$ROWS" 1 1
compare "unread conversations of one person, $ROWS / by hand" "list_$ROWS" "list_hand_$ROWS" 0.8 1
compare "search, $small messages / ILIKE" "search_$small" "search_hand_$small" - 1
compare "search, $ROWS messages / ILIKE" "search_$ROWS" "search_hand_$ROWS" 0.2 1
compare "growth: unread of one, $ROWS / $small" "unread_$ROWS" "unread_$small" 1.5 1
compare "growth: unread conversations, $ROWS / 16 x $small" "list_$ROWS" "list_$small" 2 16
compare "growth: search, $ROWS / 16 x $small (16 times the hits)" "search_$ROWS" "search_$small" 1.5 16

! grep -q 'MISS$' "$TEMP/lines"
