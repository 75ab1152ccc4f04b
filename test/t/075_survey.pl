# Many clients at once fill in the same forms: one response a form, one row of feedback an answer, one alert a low score,
# and nothing of what was refused. Then a dump is restored, and takes responses.
#
# SECONDS_, where it is set, is how long they send: more for a soak.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# a number of transactions, for what there must be afterwards does not depend on how fast they are
my @length = $ENV{SECONDS_} ? ('-T', $ENV{SECONDS_}) : ('-t', 250);

my $node = PostgreSQL::Test::Cluster->new('survey');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
max_connections = 80
deadlock_timeout = 100ms
timezone = 'UTC'
CONF
$node->start;
sub ask { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }

$node->safe_psql('postgres', 'CREATE EXTENSION cxm');
$node->safe_psql('postgres', 'SELECT cxm.create_store()');
$node->safe_psql('postgres', <<'SQL');
SELECT cxm.create_survey('{"key": "visit", "touchpoint": "till", "questions": [
    {"key": "nps", "type": "nps", "text": "N", "required": true, "skip_to": [{"if": {"question": "nps", "op": ">=", "value": 9}, "to": "where"}]},
    {"key": "why", "type": "text", "text": "W"},
    {"key": "where", "type": "multi", "text": "M", "options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}]},
    {"key": "sat", "type": "csat", "text": "S"}]}');
SELECT cxm.publish_survey('visit');
SELECT cxm.create_survey('{"key": "live", "feedback_on": "answer", "questions": [{"key": "nps", "type": "nps", "text": "N"}, {"key": "why", "type": "text", "text": "W"}]}');
SELECT cxm.publish_survey('live');
SELECT cxm.add_alert_rule('low', 'nps', 0, 6);
CREATE SCHEMA load;
CREATE TABLE load.log (form text, kind text, answers jsonb, state text, response_id bigint);
CREATE TABLE load.bulk (first integer, accepted bigint, duplicates bigint, rejected bigint);
-- what a client is told, kept whatever it is
CREATE FUNCTION load.send(survey text, form text, kind text, answers jsonb, identifiers jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    CASE kind
        WHEN 'submit' THEN v_id := cxm.submit_open_response(survey, form, answers, identifiers);
        WHEN 'save' THEN v_id := cxm.save_open_response(survey, form, answers, identifiers => identifiers);
    END CASE;
    INSERT INTO load.log VALUES (form, kind, answers, '00000', v_id);
EXCEPTION WHEN object_not_in_prerequisite_state OR null_value_not_allowed OR numeric_value_out_of_range OR invalid_parameter_value THEN
    INSERT INTO load.log VALUES (form, kind, answers, SQLSTATE, NULL);
END $$;
SQL

# run PGBENCH OPTIONS, SCRIPTS name => text: nobody fails
sub load
{
	my ($text, $options, %scripts) = @_;
	my @files;
	for my $name (sort keys %scripts)
	{
		(my $file = $name) =~ s/@.*//;
		my $path = $node->basedir . "/$file.sql";
		append_to_file($path, $scripts{$name});
		push @files, '-f', $path . (($name =~ /(@\d+)$/)[0] // '');
	}
	my ($out, $err) = ('', '');
	my $fine = IPC::Run::run([ 'pgbench', '-n', '-j', 2, @$options, @files, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>', \$err);
	ok($fine, $text) or diag $out, $err;
	my ($done) = $out =~ /transactions actually processed: (\d+)/;
	note $done // 0, ' transactions';
	return;
}

# one form, sixty clients, the same answers: one response, and everybody is told which
load('sixty clients submit one form', [ '-c', 60, '-t', 1 ],
	one => "SELECT load.send('visit', 'one', 'submit', '{\"nps\": 2, \"why\": \"late\"}', '{\"email\": \"ann\@example.com\"}');\n");
is(ask("SELECT count(*), count(DISTINCT response_id), min(state) || max(state) FROM load.log WHERE form = 'one'"), '60|1|0000000000', 'all are told the one response');
is(ask("SELECT count(*), (SELECT count(*) FROM cx.feedback WHERE submission_id = 'one'), (SELECT count(*) FROM cx.alert) FROM cx.response WHERE submission_id = 'one'"), '1|1|1', 'one response, one row of feedback, one alert');
# one form, sixty clients, answers of their own: one of them is taken
load('sixty clients submit one form with different answers', [ '-c', 60, '-t', 1 ],
	other => "SELECT load.send('visit', 'other', 'submit', jsonb_build_object('nps', 9, 'why', pg_backend_pid()::text), NULL);\n");
is(ask("SELECT state, count(*) FROM load.log WHERE form = 'other' GROUP BY 1 ORDER BY 1"), "00000|1\n55000|59", 'the others are refused');

# one token, sixty clients; and two hundred tokens, ten clients at any of them
ask(<<'SQL');
CREATE TABLE load.invited AS
SELECT n, i.invitation_id, i.token FROM generate_series(0, 200) AS n, cxm.invite((SELECT survey_id FROM cx.survey WHERE key = 'visit'), jsonb_build_object('email', 'invited' || n || '@example.com')) AS i;
CREATE FUNCTION load.redeem(n integer, answers jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_token text := (SELECT i.token FROM load.invited AS i WHERE i.n = redeem.n);
BEGIN
    INSERT INTO load.log VALUES ('token ' || n, 'redeem', answers, '00000', cxm.submit_response(v_token, answers));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    INSERT INTO load.log VALUES ('token ' || n, 'redeem', answers, SQLSTATE, NULL);
END $$;
SQL
load('sixty clients with one token', [ '-c', 60, '-t', 1 ], token => "SELECT load.redeem(0, jsonb_build_object('nps', pg_backend_pid() % 9));\n");
is(ask(<<'SQL'), '1|1|0|responded', 'one response; who sent the same was told so, who sent others was refused');
SELECT (SELECT count(*) FROM cx.response AS r WHERE r.invitation_id = n.invitation_id), (SELECT count(DISTINCT l.response_id) FROM load.log AS l WHERE l.form = 'token 0'),
       (SELECT count(*) FROM load.log AS l, cx.response AS r WHERE l.form = 'token 0' AND r.invitation_id = n.invitation_id AND (l.state = '00000') <> (l.answers = cxm.response_answers(r.response_id))), n.state
FROM load.invited AS i JOIN cx.invitation AS n USING (invitation_id) WHERE i.n = 0
SQL
load('ten clients with two hundred tokens', [ '-c', 10, '-t', 50 ], tokens => "\\set n random(1, 200)\n\\set nps random(0, 8)\nSELECT load.redeem(:n, jsonb_build_object('nps', :nps));\n");
is(ask(<<'SQL'), '0', 'each token that was used has one response and is used');
SELECT count(*) FROM load.invited AS i JOIN cx.invitation AS n USING (invitation_id)
WHERE (SELECT count(*) FROM cx.response AS r WHERE r.invitation_id = i.invitation_id) <> (SELECT count(DISTINCT l.response_id) FROM load.log AS l WHERE l.form = 'token ' || i.n)
   OR (n.state = 'responded') <> EXISTS (SELECT FROM load.log AS l WHERE l.form = 'token ' || i.n AND l.state = '00000')
   OR (SELECT count(*) FROM cx.feedback AS f WHERE f.submission_id = 'invitation:' || i.invitation_id) <> (n.state = 'responded')::integer
SQL
is(ask("SELECT count(*) > 50 FROM cx.invitation WHERE state = 'responded'"), 't', 'and many were');

# many forms, saved and submitted in any order, with good answers and bad ones, in single calls and in batches, while
# a version is published and jobs run
load('clients save, submit and load', [ '-c', 10, @length ],
	'submit@6' => <<'SQL', 'save@6' => <<'SQL', 'live@4' => <<'SQL', 'bulk@2' => <<'SQL', 'settle@1' => "CALL cxm.settle_responses();\n", 'read@1' => "SELECT count(*) FROM cx.survey_dropoff;\n");
\set form random(1, 1500)
\set nps random(-1, 12)
\set person random(1, 200)
SELECT load.send('visit', 'f' || :form, 'submit', jsonb_build_object('nps', :nps, 'why', 'because ' || :nps, 'where', jsonb_build_array(CASE WHEN :nps > 5 THEN 'a' ELSE 'b' END)), jsonb_build_object('email', 'p' || :person || '@example.com'));
SQL
\set form random(1, 1500)
\set nps random(-1, 10)
SELECT load.send('visit', 'f' || :form, 'save', jsonb_build_object('nps', :nps, 'sat', 1 + :nps % 5), NULL);
SQL
\set form random(1, 300)
\set nps random(0, 10)
\set final random(0, 3)
SELECT load.send('live', 'l' || :form, CASE :final WHEN 0 THEN 'submit' ELSE 'save' END, jsonb_build_object('nps', :nps), NULL);
SQL
\set first random(1, 400)
INSERT INTO load.bulk SELECT :first, b.* FROM (SELECT jsonb_agg(jsonb_build_object('survey', 'visit', 'submission_id', 'b' || n, 'answers', jsonb_build_object('nps', n % 12), 'identifiers', jsonb_build_object('email', 'p' || n % 200 || '@example.com')) ORDER BY random()) AS records FROM generate_series(:first, :first + 20) AS n) AS r, cxm.submit_responses(r.records) AS b;
SQL

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'single calls never deadlock');
my @errors = $log =~ /^.*(?:ERROR|FATAL|PANIC): .*$/mg;
is(scalar @errors, 0, 'no error in the log of the server') or diag join "\n", @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ];

cmp_ok(ask("SELECT count(*) FROM load.log WHERE state = '00000'"), '>', 100, 'there was something to do');
is(ask("SELECT count(*) - count(DISTINCT (survey_id, submission_id)) FROM cx.response"), '0', 'one response a form');
is(ask("SELECT count(*) FROM (SELECT form FROM load.log WHERE form ~ '^[fl]' AND state = '00000' GROUP BY form HAVING count(DISTINCT response_id) > 1) AS x"), '0', 'and everybody was told the same one');
is(ask(<<'SQL'), '0', 'a form is stored when, and only when, somebody was told so');
SELECT count(*) FROM (SELECT DISTINCT form, response_id FROM load.log WHERE state = '00000') AS s
FULL JOIN (SELECT submission_id AS form, response_id FROM cx.response WHERE submission_id !~ '^b') AS r USING (form, response_id) WHERE (s.form IS NULL OR r.form IS NULL) AND coalesce(s.form, r.form) !~ '^(token|invitation)'
SQL
is(ask(<<'SQL'), '0', 'what was submitted stands in the response as it was sent');
SELECT count(*) FROM cx.response AS r WHERE r.state = 'complete' AND r.submission_id !~ '^b'
AND NOT EXISTS (SELECT FROM load.log AS l WHERE l.response_id = r.response_id AND l.kind <> 'save' AND cxm.response_answers(r.response_id) @> l.answers)
SQL
is(ask("SELECT count(*) FROM load.log AS l WHERE (l.answers -> 'nps')::integer NOT BETWEEN 0 AND 10 AND l.state <> '22003'"), '0', 'what is off the scale was refused, every time');
is(ask(<<'SQL'), '0', 'feedback is what the answers say, no more and no less');
SELECT count(*) FROM (
    SELECT r.response_id, r.submission_id, q.key AS question, a.value_number::integer AS score
    FROM cx.response AS r JOIN cx.survey AS s USING (survey_id) JOIN cx.answer AS a USING (response_id) JOIN cx.question AS q USING (question_id)
    WHERE a.on_path AND q.metric IS NOT NULL AND (r.state = 'complete' OR s.key = 'live')) AS w
FULL JOIN (SELECT (f.properties -> 'response_id')::bigint AS response_id, f.submission_id, f.question, f.score::integer FROM cx.feedback AS f WHERE f.score IS NOT NULL) AS f USING (response_id, submission_id, question, score)
WHERE w.response_id IS NULL OR f.response_id IS NULL
SQL
is(ask(<<'SQL'), '0', 'an alert for every low score');
SELECT count(*) FROM cx.feedback AS f WHERE f.metric = 'nps' AND f.score <= 6 AND NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.feedback_id = f.feedback_id)
SQL
is(ask('SELECT count(*) - count(DISTINCT (rule_id, feedback_id)) FROM cx.alert'), '0', 'and no alert twice');
is(ask('SELECT count(*) FROM load.bulk WHERE accepted + duplicates + rejected <> 21'), '0', 'the counts of every batch add up');
is(ask("SELECT count(*) FROM cx.response WHERE submission_id ~ '^b'"), ask('SELECT sum(accepted) FROM load.bulk'), 'as many responses as the batches say');
is(ask("SELECT count(*) FROM cx.rejection WHERE kind = 'response'"), ask('SELECT sum(rejected) FROM load.bulk'), 'as many rejections');
is(ask('SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound') or diag ask('SELECT * FROM cxm.store_check()');
is(ask("SELECT count(*) FROM cx.survey_dropoff WHERE shown <> answered + skipped + left_here AND left_rate = 0"), '0', 'the drop-off adds up');

# a dump, restored
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', 'restored', '-o', File::Spec->devnull, '-f', $dump ], 'restores without an error');
for my $view (qw(survey_summary survey_dropoff survey_score survey_distribution response_answer response_wide))
{
	my $digest = "SELECT count(*), md5(string_agg(v::text, '|' ORDER BY v::text COLLATE \"C\")) FROM cx.$view AS v";
	is(ask($digest, 'restored'), ask($digest), "cx.$view is the same");
}
is(ask("SELECT cxm.submit_open_response('visit', 'one', '{\"nps\": 2, \"why\": \"late\"}')", 'restored'), ask("SELECT response_id FROM cx.response WHERE submission_id = 'one'"), 'what was submitted before is known');
is(ask("SELECT cxm.submit_open_response('visit', 'new', '{\"nps\": 9}') > (SELECT max(response_id) FROM cx.response WHERE submission_id <> 'new')", 'restored'), 't', 'and new responses are taken');
my ($rc, $stdout, $stderr) = $node->psql('restored', 'UPDATE cx.survey_question SET required = false');
like($stderr, qr/does not change/, 'what is published still stays');

# the extension dropped and made anew: upgrade_store() puts the triggers back
$node->safe_psql('restored', 'DROP EXTENSION cxm CASCADE; CREATE EXTENSION cxm; SELECT cxm.upgrade_store()');
($rc, $stdout, $stderr) = $node->psql('restored', 'UPDATE cx.survey_text SET text = $$x$$');
like($stderr, qr/does not change/, 'also after DROP EXTENSION');
is(ask("SELECT count(*) FROM pg_trigger WHERE tgfoid = 'cxm.guard_survey'::regproc", 'restored'), ask("SELECT count(*) FROM pg_trigger WHERE tgfoid = 'cxm.guard_survey'::regproc"), 'every trigger is back');

$node->stop;
done_testing();
