# Alerts as a client gets them: by LISTEN, after having been away, and over a crash of the server.
use strict;
use warnings;
use IPC::Run qw(start pump finish timeout);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = PostgreSQL::Test::Cluster->new('alert');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION cxm;
	SELECT cxm.create_store('UTC');
	SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6, owner => 'anna');
});

# a psql that stays: say(SQL) runs it and returns what came out up to its end
package Session
{
	my $number = 0;

	sub new
	{
		my ($class) = @_;
		my $self = bless { in => '', out => '' }, $class;
		$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
			'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{out}, $self->{timer} = IPC::Run::timeout(60));
		return $self;
	}

	sub say
	{
		my ($self, $sql) = @_;
		my $end = 'end of ' . ++$number;
		$self->{timer}->start(60);
		$self->{out} = '';
		$self->{in} .= "$sql\n\\echo $end\n";
		$self->{run}->pump while $self->{out} !~ /^\Q$end\E$/m;
		(my $out = $self->{out}) =~ s/^\Q$end\E\n//m;
		return $out;
	}

	# payloads heard since the last call; psql shows what came when it has run something
	sub heard
	{
		my ($self) = @_;
		my $out = $self->say('SELECT 1;');
		return map { JSON::PP::decode_json($_) } $out =~ /^Asynchronous notification "cxm_alert" with payload "(.*)" received/mg;
	}

	# wait for a notification about that answer; returns all that came
	sub wait_for
	{
		my ($self, $feedback_id) = @_;
		my @all;
		for (1 .. 600)
		{
			push @all, $self->heard;
			return @all if grep { ($_->{feedback_id} // 0) == $feedback_id } @all;
			Time::HiRes::sleep(0.05);
		}
		return @all;
	}

	sub end
	{
		my ($self) = @_;
		$self->{in} .= "\\q\n";
		$self->{run}->finish;
		return;
	}
}

my $listener = Session->new;
my $writer = Session->new;

# ---- a client that is there

$listener->say('LISTEN cxm_alert;');
my $began = time;
my $id = $node->safe_psql('postgres', q{SELECT cxm.record_feedback('nps', 3, '{"email": "ann@example.org"}', comment => 'my secret')});
my ($told) = $listener->heard;
my $latency = time - $began;
is($told->{feedback_id}, $id, sprintf 'the listener hears of a detractor as soon as it looks (%.0f ms with the start of a psql)', 1000 * $latency);
is($told->{metric} . ' ' . $told->{score} . ' ' . $told->{rule} . ' ' . $told->{severity}, 'nps 3 detractors high', 'and what it is');
is($node->safe_psql('postgres', "SELECT feedback_id FROM cx.alert WHERE alert_id = $told->{alert_id} AND rule_id = $told->{rule_id}"), $id, 'by ids that lead to the alert');
is(join(' ', sort keys %$told), 'alert_id feedback_id metric outbox_id rule rule_id score severity', 'and nothing that the customer wrote or is called');

$node->safe_psql('postgres', "COPY cx.feedback (feedback_id, metric, score) FROM stdin;\n90005001\tnps\t9\n90005002\tnps\t1\n\\.\n");
is_deeply([ map { $_->{feedback_id} } $listener->wait_for(90005002) ], [90005002], 'of a detractor that came by COPY, and not of the promoter beside it');

# what is rolled back is never told: the next one that is comes alone
$writer->say("BEGIN; INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005003, 'nps', 0);");
is_deeply([ $listener->heard ], [], 'nothing is told before commit');
$writer->say("ROLLBACK;");
$writer->say("INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005004, 'nps', 0);");
is_deeply([ map { $_->{feedback_id} } $listener->wait_for(90005004) ], [90005004], 'nor after ROLLBACK');

# ---- settings that were made before the library was loaded

{
	local $ENV{PGOPTIONS} = '-c cxm.alerts=off';
	$node->safe_psql('postgres', "INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005011, 'nps', 0)");
	$ENV{PGOPTIONS} = '-c cxm.alerts=perhaps';
	my ($status, $out, $err) = $node->psql('postgres', "INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005012, 'nps', 0)");
	is($status, 0, 'a nonsense value of cxm.alerts fails no writer');
	like($err, qr/WARNING:.*cxm\.alerts/, 'but is warned of');
	$ENV{PGOPTIONS} = '-c cxm.notify_mode=off';
	$node->safe_psql('postgres', "INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005013, 'nps', 0)");
}
is($node->safe_psql('postgres', "SELECT string_agg(feedback_id::text, ' ' ORDER BY 1) FROM cx.alert WHERE feedback_id BETWEEN 90005011 AND 90005013"), '90005012 90005013', 'off is off, nonsense is on');
is($node->safe_psql('postgres', "SELECT string_agg(payload->>'feedback_id', ' ') FROM cx.outbox WHERE sent_at IS NULL"), '90005013', 'what was not told waits in the outbox');

# ---- two-phase commit

my ($status, $out, $err) = $node->psql('postgres', "BEGIN; INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0); PREPARE TRANSACTION 'p'", on_error_stop => 1);
like($err, qr/cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY/, 'a transaction that notifies cannot be prepared');
$node->safe_psql('postgres', "BEGIN; SET LOCAL cxm.notify_mode = off; INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005021, 'nps', 0); PREPARE TRANSACTION 'p'");
is($node->safe_psql('postgres', "SELECT count(*) FROM cx.alert WHERE feedback_id = 90005021"), '0', 'with cxm.notify_mode = off it can');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
is($node->safe_psql('postgres', "SELECT cxm.send_outbox()"), '2', 'and the outbox can be sent later');
is_deeply([ map { $_->{feedback_id} } $listener->wait_for(90005021) ], [ 90005012, 90005013, 90005021 ], 'once, in order');
$listener->end;

# ---- a client that was away: a time is not enough, a snapshot is

$writer->say("BEGIN; INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005031, 'nps', 0);");
my ($moment, $snapshot) = split /\|/, $node->safe_psql('postgres', 'SELECT clock_timestamp(), pg_current_snapshot()');
$writer->say('COMMIT;');
is($node->safe_psql('postgres', "SELECT feedback_id FROM cxm.replay_alerts('$moment')"), '', 'a transaction that was open when the client looked escapes replay by time');
is($node->safe_psql('postgres', "SELECT feedback_id FROM cxm.replay_alerts(seen => '$snapshot')"), '90005031', 'and does not escape replay by snapshot');

# four writers, with transactions short and long, some of them rolled back, while a client comes and goes
my $script = $node->basedir . '/writer.sql';
append_to_file($script, <<'SQL');
\set first random(0, 10)
\set second random(0, 10)
\set fate random(1, 10)
\set pause random(1, 10000)
BEGIN;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', :first);
\sleep :pause us
INSERT INTO cx.feedback (metric, score) VALUES ('nps', :second), ('nps', 0);
\if :fate < 3
ROLLBACK;
\else
COMMIT;
\endif
SQL
my $first = $node->safe_psql('postgres', 'SELECT pg_current_snapshot()');
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM cx.alert');
my $log = '';
my (%seen, $twice);
my $looks = 0;
my $seen = $first;

# one look of a client: what it has not seen, and the snapshot to begin with next time, in one transaction
sub look
{
	my ($next, @alerts) = split /\n/, $node->safe_psql('postgres', qq{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT pg_current_snapshot();
		SELECT alert_id FROM cxm.replay_alerts(seen => '$seen');
		COMMIT;});
	$twice += grep { $seen{$_}++ } @alerts;
	$seen = $next;
	$looks++;
	return;
}
$twice = 0;
# as often as it takes to look some dozens of times meanwhile
my $failed = 0;
for (my $run = 0; !$failed && ($run < 2 || $looks <= 20); $run++)
{
	$log = '';
	my $load = start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 150, '-f', $script, $node->connstr('postgres') ], '>', \$log, '2>', \$log, timeout(600));
	while ($load->pumpable)
	{
		look();
		eval { $load->pump_nb; };
		sleep(0.05);
	}
	$load->finish;
	$failed = $load->result(0);
}
is($failed, 0, 'four writers ran') or diag $log;
look();
my $all = $node->safe_psql('postgres', "SELECT count(*) FROM cx.alert") - $before;
cmp_ok($looks, '>', 20, "the client looked $looks times");
cmp_ok($all, '>', 500, "$all alerts were raised meanwhile");
is($twice, 0, 'none came twice');
is(scalar(keys %seen), $all, 'none was missed');
is($node->safe_psql('postgres', "SELECT count(*) FROM cx.feedback AS f FULL JOIN cx.alert AS a USING (feedback_id)
	WHERE (f.metric = 'nps' AND f.score <= 6 AND f.feedback_id <> 90005011) IS DISTINCT FROM (a.alert_id IS NOT NULL)"), '0', 'every detractor has its alert and no other answer has one');
is($node->safe_psql('postgres', "SELECT count(*) FROM cx.alert AS a FULL JOIN cx.outbox AS o ON (o.payload->>'alert_id')::bigint = a.alert_id
	WHERE a.alert_id IS NULL OR o.sent_at IS NULL"), '0', 'and every alert one notification');

# ---- what the writer would have to wait for

# from its second alert on a session writes them without a subtransaction, unless they might fail
$writer->say("INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);") for 1 .. 2;
my $locker = Session->new;
for my $locked ([ alert => 90006001 ], [ outbox => 90006002 ])
{
	my ($table, $feedback_id) = @$locked;
	$locker->say("BEGIN; LOCK TABLE cx.$table IN ACCESS EXCLUSIVE MODE;");
	$writer->say("SET lock_timeout = '10ms'; INSERT INTO cx.feedback (feedback_id, metric, score) VALUES ($feedback_id, 'nps', 0); RESET lock_timeout;");
	$locker->say('COMMIT;');
	is($node->safe_psql('postgres', "SELECT count(*) FROM cx.feedback WHERE feedback_id = $feedback_id"), '1', "an answer is kept while cx.$table is locked for too long");
	is($node->safe_psql('postgres', "SELECT sqlstate FROM cx.rejection WHERE record->'feedback_ids' = '[$feedback_id]'"), '55P03', 'with the reason why it has no alert');
	$node->safe_psql('postgres', 'CALL cxm.replay_rejections()');
	is($node->safe_psql('postgres', "SELECT count(*) FROM cx.alert AS a JOIN cx.outbox AS o ON o.payload->>'alert_id' = a.alert_id::text WHERE a.feedback_id = $feedback_id"), '1', 'until that is tried again');
}
$locker->end;

# ---- a crash

$writer->say("BEGIN; INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005041, 'nps', 0);");
is($writer->say('SELECT count(*) FROM cx.alert WHERE feedback_id = 90005041;'), "1\n", 'the alert is there for its own transaction');
my $crash_seen = $node->safe_psql('postgres', 'SELECT pg_current_snapshot()');
$node->safe_psql('postgres', "INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (90005042, 'nps', 0)");
$node->stop('immediate');
eval { $writer->end };
$node->start;
is($node->safe_psql('postgres', "SELECT string_agg(feedback_id::text, ' ') FROM cx.feedback WHERE feedback_id IN (90005041, 90005042)"), '90005042', 'after a crash the answer is there that was committed');
is($node->safe_psql('postgres', "SELECT string_agg(feedback_id::text, ' ') FROM cx.alert WHERE feedback_id IN (90005041, 90005042)"), '90005042', 'with its alert');
is($node->safe_psql('postgres', "SELECT string_agg(payload->>'feedback_id', ' ') FROM cx.outbox WHERE payload->>'feedback_id' IN ('90005041', '90005042')"), '90005042', 'and its notification');
is($node->safe_psql('postgres', "SELECT feedback_id FROM cxm.replay_alerts(seen => '$crash_seen')"), '90005042', 'and a client that looked before the crash gets it');
is($node->safe_psql('postgres', "SELECT cxm.evaluate_alerts('{90005042}')"), '0', 'once');

$node->stop;
done_testing();
