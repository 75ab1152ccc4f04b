#!/bin/sh
# test/bench/survey.sh: what does it cost to have a response checked, branched and turned into feedback, and to count
# where people leave?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes a database of its
# own and drops it. RUNS (7) runs of SECONDS_EACH (2) seconds for each way to write, all in turn, so that a slow moment of
# the machine hits them all; what is compared are the medians. Commits do not wait for the disk
# (synchronous_commit = off): waiting would hide what is measured. ROWS (40000) responses in the largest drop-off.
#
# "bare" are the same rows (a response, seven answers, one row of feedback) by three INSERTs without any check, into tables
# with the same columns and indexes and no trigger, in one transaction.
#
# A line a comparison: name, median of ours, median of theirs (microseconds a response, or milliseconds a query), ratio,
# goal, ok or MISS. Exit status 1 where a goal was missed. Comparisons without a goal are for information.
set -eu
RUNS=${RUNS:-7}
SECONDS_EACH=${SECONDS_EACH:-2}
ROWS=${ROWS:-40000}
DB=cxm_bench_survey_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >/dev/null <<'SQL'
CREATE EXTENSION cxm;
SELECT cxm.create_store('UTC');
SELECT cxm.create_survey('{"key": "visit", "questions": [
    {"key": "nps", "type": "nps", "required": true, "text": "N", "skip_to": [{"if": {"question": "nps", "op": ">=", "value": 9}, "to": "channels"}]},
    {"key": "why", "type": "text", "text": "W"},
    {"key": "reason", "type": "choice", "text": "R", "options": [{"key": "price", "label": "P"}, {"key": "wait", "label": "W"}, {"key": "staff", "label": "S"}]},
    {"key": "channels", "type": "multi", "text": "C", "options": [{"key": "web", "label": "W"}, {"key": "shop", "label": "S"}]},
    {"key": "age", "type": "number", "text": "A", "min": 0, "max": 130},
    {"key": "on", "type": "date", "text": "D"},
    {"key": "again", "type": "boolean", "text": "B", "show_if": {"question": "age", "op": ">=", "value": 18}}]}');
SELECT cxm.publish_survey('visit');
CREATE SCHEMA bare;
CREATE TABLE bare.response (LIKE cx.response INCLUDING ALL);
CREATE TABLE bare.answer (LIKE cx.answer INCLUDING ALL);
CREATE TABLE bare.feedback (LIKE cx.feedback INCLUDING ALL);
SQL

cat > "$TEMP/ours.sql" <<'SQL'
\set score random(0, 8)
SELECT cxm.submit_open_response('visit', gen_random_uuid()::text, ('{"nps": ' || :score || ', "why": "the parcel came late and nobody answered the telephone", "reason": "wait", "channels": ["web"], "age": 33, "on": "2026-02-03", "again": true}')::jsonb);
SQL
cat > "$TEMP/bare.sql" <<'SQL'
\set score random(0, 8)
BEGIN;
INSERT INTO bare.response (survey_id, version, submission_id, source_id, state, language, updated_at, completed_at, path, feedback_at, answers_hash)
VALUES (1, 1, gen_random_uuid()::text, 1, 'complete', 'en', now(), now(), '{1,2,3,4,5,6,7}', now(), '\x00') RETURNING response_id AS id \gset
INSERT INTO bare.answer (response_id, question_id, value_number, value_text, value_boolean, value_date, option_ids, answered_at) VALUES
    (:id, 1, :score, NULL, NULL, NULL, NULL, now()), (:id, 2, NULL, 'the parcel came late and nobody answered the telephone', NULL, NULL, NULL, now()),
    (:id, 3, NULL, NULL, NULL, NULL, '{2}', now()), (:id, 4, NULL, NULL, NULL, NULL, '{4}', now()), (:id, 5, 33, NULL, NULL, NULL, NULL, now()),
    (:id, 6, NULL, NULL, NULL, '2026-02-03', NULL, now()), (:id, 7, NULL, NULL, true, NULL, NULL, now());
INSERT INTO bare.feedback (metric, score, scale_min, scale_max, source_id, submission_id, question, comment, properties)
VALUES ('nps', :score, 0, 10, 1, 'x', 'nps', 'the parcel came late and nobody answered the telephone', '{"survey": "visit", "response_id": 1}');
COMMIT;
SQL
cat > "$TEMP/again.sql" <<'SQL'
SELECT cxm.submit_open_response('visit', 'again', '{"nps": 3, "why": "the parcel came late and nobody answered the telephone", "reason": "wait", "channels": ["web"], "age": 33, "on": "2026-02-03", "again": true}');
SQL
cat > "$TEMP/one.sql" <<'SQL'
\set score random(0, 8)
SELECT cxm.record_feedback('nps', :score, comment => 'the parcel came late and nobody answered the telephone', submission_id => 'x', question => 'nps');
SQL
cat > "$TEMP/save.sql" <<'SQL'
\set form random(1, 1000)
\set score random(0, 8)
SELECT cxm.save_open_response('visit', 'save ' || :form, ('{"nps": ' || :score || '}')::jsonb);
SQL

# write NAME SCRIPT CLIENTS: microseconds a response, appended to $TEMP/NAME
write()
{
	PGOPTIONS='-c synchronous_commit=off' pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" -f "$TEMP/$2.sql" "$DB" 2>"$TEMP/err" |
		awk '/^tps/ { print 1000000 / $3 }' >> "$TEMP/$1"
	if [ "$(wc -l < "$TEMP/$1")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

# bulk NAME: microseconds a response in batches of 1000
bulk()
{
	PGOPTIONS='-c synchronous_commit=off' psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >> "$TEMP/$1" <<-'SQL'
		SELECT jsonb_agg(jsonb_build_object('survey', 'visit', 'submission_id', gen_random_uuid(), 'answers',
		       jsonb_build_object('nps', n % 9, 'why', 'the parcel came late and nobody answered the telephone', 'reason', 'wait', 'channels', jsonb_build_array('web'), 'age', 33, 'on', '2026-02-03', 'again', true))) AS records
		FROM generate_series(1, 1000) AS n \gset
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		SELECT accepted FROM cxm.submit_responses(:'records') \gset
		SELECT 1000000 * (extract(epoch FROM clock_timestamp()) - :began) / :accepted;
	SQL
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

echo "survey: $RUNS rounds of responses" >&2
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	write bare bare 1
	write ours ours 1
	write bare8 bare 8
	write ours8 ours 8
	write one one 1
	write again again 1
	write save save 1
	bulk bulk
done
printf '%-58s %8s %8s %7s %5s\n' 'responses of seven answers, microseconds each' ours theirs ratio goal
compare '1 client: submit / the same rows by bare INSERTs' ours bare 8.00 1
compare '8 clients: submit / the same rows by bare INSERTs' ours8 bare8 8.00 1
compare 'batches of 1000 / the same rows by bare INSERTs' bulk bare 5.00 1
compare 'submit of seven answers / cxm.record_feedback() of one' ours one 4.00 1
compare 'batches of 1000 / one by one' bulk ours 1.00 1
compare 'the same submission again / the first time' again ours 1.00 1
compare 'a partial save of one answer / a whole submission' save ours - 1

# fill ROWS: as many responses, a fifth of them partial
fill()
{
	PGOPTIONS='-c synchronous_commit=off' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$1" -d "$DB" <<-'SQL'
		TRUNCATE cx.response, cx.answer, cx.feedback RESTART IDENTITY;
		INSERT INTO cx.response (survey_id, version, submission_id, state, language, started_at, updated_at, completed_at, path, answers_hash)
		SELECT 1, 1, n, CASE WHEN n % 5 = 0 THEN 'partial' ELSE 'complete' END, 'en', now(), now(), CASE WHEN n % 5 > 0 THEN now() END,
		       CASE n % 5 WHEN 0 THEN ARRAY[1, 2, 3] ELSE ARRAY[1, 2, 3, 4, 5, 6, 7] END, CASE WHEN n % 5 > 0 THEN '\x00'::bytea END
		FROM generate_series(1, :rows) AS n;
		INSERT INTO cx.answer (response_id, question_id, value_number, answered_at)
		SELECT r.response_id, q, 1, now() FROM cx.response AS r, unnest(r.path) AS q WHERE (r.response_id + q) % 4 > 0;
		ANALYZE cx.response, cx.answer;
	SQL
}

# ask NAME QUERY: milliseconds, appended
ask()
{
	psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" >> "$TEMP/$1" <<-SQL
		SELECT extract(epoch FROM clock_timestamp()) AS began \gset
		SELECT max(x::text) AS all_of_it FROM ($2) AS x \gset
		SELECT 1000 * (extract(epoch FROM clock_timestamp()) - :began);
	SQL
}

naive='SELECT q.position, count(*) FILTER (WHERE q.question_id = ANY (r.path)) AS shown, count(a.response_id) AS answered FROM cx.survey_question AS q JOIN cx.response AS r USING (survey_id, version) LEFT JOIN cx.answer AS a ON a.response_id = r.response_id AND a.question_id = q.question_id GROUP BY 1'
echo "survey: $RUNS rounds of each size of drop-off" >&2
for size in quarter half full; do
	case $size in quarter) rows=$((ROWS / 4)) ;; half) rows=$((ROWS / 2)) ;; *) rows=$ROWS ;; esac
	fill "$rows"
	round=0
	while [ $round -lt "$RUNS" ]; do
		round=$((round + 1))
		ask "dropoff_$size" 'SELECT shown, answered, skipped, left_here FROM cx.survey_dropoff'
		ask "naive_$size" "$naive"
		ask "summary_$size" 'SELECT completion_rate, median_seconds, p90_seconds FROM cx.survey_summary'
		ask "distribution_$size" 'SELECT label, n, share FROM cx.survey_distribution'
	done
done
printf '%-58s %8s %8s %7s %5s\n' 'views, milliseconds each' ours theirs ratio goal
compare "drop-off of $ROWS responses / question by response" dropoff_full naive_full 1.00 1
compare "growth: drop-off of $((ROWS / 2)) / 2 x $((ROWS / 4))" dropoff_half dropoff_quarter - 2
compare "growth: drop-off of $ROWS / 4 x $((ROWS / 4))" dropoff_full dropoff_quarter 1.50 4
compare "growth: summary of $ROWS / 4 x $((ROWS / 4))" summary_full summary_quarter 1.50 4
compare "growth: distribution of $ROWS / 4 x $((ROWS / 4))" distribution_full distribution_quarter 1.50 4

! grep -q 'MISS$' "$TEMP/lines"
