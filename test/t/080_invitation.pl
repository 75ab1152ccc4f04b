# Many sessions at once: quotas are filled to the last place and not beyond, while some take their response back; a
# person is asked as often as the rules allow and not more, by whichever identifier.
#
# SESSIONS_ is how many there are: 50, or more for a soak.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sessions = $ENV{SESSIONS_} // 50;

my $node = PostgreSQL::Test::Cluster->new('invitation');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = " . ($sessions + 20) . "\ndeadlock_timeout = 100ms\ntimezone = 'UTC'\n");
$node->start;
sub ask { my ($query) = @_; return $node->safe_psql('postgres', $query); }

ask('CREATE EXTENSION cxm');
ask('SELECT cxm.create_store()');
ask(<<'SQL');
SELECT cxm.create_survey('{"key": "visit", "questions": [{"key": "nps", "type": "nps", "text": "How likely?"}, {"key": "region", "type": "choice", "required": false, "text": "Where?", "options": [{"key": "north", "label": "North"}, {"key": "south", "label": "South"}]}]}');
SELECT cxm.publish_survey('visit');
SELECT cxm.add_quota(survey_id, 'all', 400), cxm.add_quota(survey_id, 'north', 150, attributes => '{"region": "north"}'), cxm.add_quota(survey_id, 'wide', 1000000) FROM cx.survey;
CREATE TABLE public.sent (submission text, kept boolean);
SQL

# submit NAME => TEXT, ...: pgbench with these scripts, so many transactions a session
sub load_with
{
	my ($transactions, %scripts) = @_;
	my @files;
	for my $name (sort keys %scripts)
	{
		my $path = $node->basedir . '/' . ($name =~ /^(\w+)/)[0] . '.sql';
		open my $fh, '>', $path or die;
		print $fh $scripts{$name};
		close $fh;
		push @files, '-f', $path . ($name =~ /(@\d+)$/)[0];
	}
	local $ENV{PGOPTIONS} = '-c client_min_messages=error';
	my ($out, $err) = ('', '');
	my $fine = IPC::Run::run([ 'pgbench', '-n', '-c', $sessions, '-j', 2, '-t', $transactions, @files, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);
	ok($fine, 'no session was refused') or diag $out, $err;
	return;
}

# ---- responses: a fifth is taken back

my $submit = <<'SQL';
\set n random(1, 1000000000)
\set score random(0, 10)
BEGIN;
SELECT cxm.submit_open_response('visit', :client_id || '-' || :n, jsonb_build_object('nps', :score, 'region', CASE WHEN :n % 3 = 0 THEN 'north' ELSE 'south' END));
SQL
load_with(int(1000 / $sessions) || 1,
	'keep@4' => $submit . "INSERT INTO public.sent VALUES (:client_id || '-' || :n, true);\nCOMMIT;\n",
	'drop@1' => $submit . "ROLLBACK;\n");

is(ask('SELECT count(*) FROM cx.response'), ask('SELECT count(*) FROM public.sent'), 'every response that was committed is there, and no other');
is(ask("SELECT taken FROM cx.quota_status WHERE name = 'all'"), 400, 'the quota is full to the last place, and not beyond');
is(ask("SELECT taken FROM cx.quota_status WHERE name = 'wide'"), 400, 'a response that one quota had no place for counts in no other');
my $north = ask("SELECT taken FROM cx.quota_status WHERE name = 'north'");
cmp_ok($north, '<=', 150, 'no more of the north than wanted');
is(ask("SELECT count(*) FROM cx.quota_place AS p JOIN cx.quota AS q USING (quota_id) JOIN cx.answer AS a ON a.response_id = p.record_id JOIN cx.question_option AS o ON o.option_id = a.option_ids[1] WHERE q.name = 'all' AND o.key = 'north'"),
	$north, 'and those are the ones that count in all');
is(ask('SELECT count(*) FROM cx.response AS r WHERE (SELECT count(*) FROM cx.quota_place AS p WHERE p.record_id = r.response_id AND p.quota_id IN (SELECT quota_id FROM cx.quota WHERE attributes = \'{}\')) + 2 * (SELECT count(*) FROM cx.quota_excess AS e WHERE e.record_id = r.response_id) <> 2'),
	0, 'every response either has its places or is marked');
is(ask('SELECT count(*) FROM cx.quota AS q WHERE (SELECT sum(taken) FROM cx.quota_stripe AS s WHERE s.quota_id = q.quota_id) <> (SELECT count(*) FROM cx.quota_place AS p WHERE p.quota_id = q.quota_id)'),
	0, 'places and counts agree');

# ---- a quota that is not reached misses nobody

ask("UPDATE cx.quota SET enabled = false; SELECT cxm.add_quota(survey_id, 'far', 100000) FROM cx.survey; TRUNCATE public.sent");
load_with(4,
	'keep@2' => $submit . "INSERT INTO public.sent VALUES (:client_id || '-' || :n, true);\nCOMMIT;\n",
	'drop@1' => $submit . "ROLLBACK;\n");
is(ask("SELECT taken FROM cx.quota_status WHERE name = 'far'"), ask('SELECT count(*) FROM public.sent'), 'a place for each response, none for those taken back');

# ---- a person is asked once a month

ask("SELECT cxm.add_fatigue_rule('month', 1, '30 days'), cxm.add_quota((SELECT survey_id FROM cx.survey), 'asked', 60, 'invitation')");
ask("SELECT count(cxm.identify(jsonb_build_object('email', 'p' || i || '\@shop.test', 'loyalty_id', 'c' || i))) FROM generate_series(1, 100) AS i");
load_with(10,
	'one@3' => "\\set i random(1, 100)\nSELECT cxm.invite((SELECT survey_id FROM cx.survey), CASE WHEN :client_id % 2 = 0 THEN jsonb_build_object('email', 'p' || :i || '\@shop.test') ELSE jsonb_build_object('loyalty_id', 'c' || :i) END, attributes => '{\"one\": true}');\n",
	'many@1' => "\\set i random(1, 80)\nSELECT cxm.invite_batch((SELECT survey_id FROM cx.survey), ARRAY(SELECT identifier_id FROM cx.identifier WHERE value ~ '^[pc][0-9]+' AND substr(value, 2, 1) = (:i % 10)::text), NULL);\n",
	'submit@1' => $submit . "COMMIT;\n");
is(ask("SELECT count(*) FROM (SELECT p.canonical_id FROM cx.invitation AS n JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id) WHERE n.state <> 'suppressed' GROUP BY 1 HAVING count(*) > 1) AS x"),
	0, 'nobody is asked twice');
is(ask("SELECT count(*) FROM cx.invitation WHERE state <> 'suppressed'"), 60, 'as many are asked as wanted');
is(ask("SELECT taken FROM cx.quota_status WHERE name = 'asked'"), 60, 'and each has a place');
is(ask("SELECT count(*) FROM cx.invitation WHERE state = 'suppressed' AND rule_id IS NULL AND quota_id IS NULL"), 0, 'who is not asked knows why');

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'nobody waits in a circle');
my @errors = $log =~ /^.*(?:ERROR|FATAL|PANIC): .*$/mg;
is(scalar @errors, 0, 'no error in the log of the server') or diag join "\n", @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ];
is(ask('SELECT count(*) FROM cxm.store_check()'), 0, 'the store is sound');

$node->stop;
done_testing();
