# The notifier when it, the server or the whole machine is gone in the middle of its work: nothing is lost, and
# nothing is told twice.
use strict;
use warnings;
use IPC::Run qw(start timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use CxmListener;

# sessions do not wait for the standby that is named below; the worker does
$ENV{PGOPTIONS} = '-c synchronous_commit=local';

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init(allows_streaming => 1);
# without fsync a kill of the server, unlike one of the machine, still loses nothing
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cxm'\nfsync = off\nautovacuum = off\nlog_statement = none\nrestart_after_crash = on\n");
$node->start;

my $where = $node;
sub ask { my ($query) = @_; return $where->safe_psql('postgres', $query); }
sub becomes { my ($query, $expected, $name) = @_; ok($where->poll_query_until('postgres', $query, $expected), $name); return; }

ask(q{CREATE EXTENSION cxm; SELECT cxm.create_store('UTC'); SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6)});

# a row that says "stop" has the worker wait in the middle of its batch for whoever holds lock 7; a table with a trigger
# is marked and told in one transaction, one without in two, unless a standby is waited for
my $hold = q{CREATE TRIGGER hold BEFORE UPDATE ON cx.outbox FOR EACH ROW WHEN (OLD.payload @> '{"stop": true}') EXECUTE FUNCTION public.hold()};
my $unhold = 'DROP TRIGGER IF EXISTS hold ON cx.outbox';
ask(q{CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(7); RETURN NEW; END $$;
	CREATE TABLE public.anything (x integer)});

# idle: it counts what it has sent after the commit, and whoever is stopped while it does so keeps the lock of the status
my $running = q{SELECT state, unsent FROM cx.notifier_status WHERE EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.backend_type = 'cxm notifier' AND a.state = 'idle')};
my $worker = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'cxm notifier'};

# ---- each step

my %wait = (
	stopped => q{SELECT true},
	marking => q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)},
	notifying => q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'object' AND database = 0 AND NOT granted)},
	committed => q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'cxm notifier' AND wait_event = 'SyncRep')},
);
$wait{marked} = $wait{notifying};
my $n = 0;
for my $how ('kill -9 of the worker', 'an immediate shutdown')
{
	for my $step (qw(stopped marking notifying committed marked))
	{
		my $name = "$how, worker $step";
		becomes($running, 'running|0', "$name: at rest");
		ask($unhold);
		ask($hold) if $step eq 'marking';
		my $seen = ask('SELECT pg_current_snapshot()');
		my $listener = CxmListener->new($node, 'postgres', 'told');
		my $other = CxmListener->new($node, 'postgres');
		my $pid = ask($worker);

		if ($step eq 'stopped')
		{
			kill 'STOP', $pid;
		}
		elsif ($step eq 'marking')
		{
			$other->say('SELECT pg_advisory_lock(7);');
		}
		else
		{
			$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'\nsynchronous_commit = " . ($step eq 'marked' ? 'local' : 'on') . "\n");
			$node->reload;
			if ($step eq 'notifying' || $step eq 'marked')
			{
				# somebody else has notified and keeps the lock of NOTIFY while waiting for the standby
				becomes(q{SELECT current_setting('synchronous_standby_names')}, 'nobody', "$name: a standby is waited for");
				$other->say('SET synchronous_commit = on;');
				$other->start('BEGIN; INSERT INTO public.anything VALUES (1); NOTIFY somebody; COMMIT;');
				becomes(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')}, 't', "$name: by a session that has notified");
			}
		}
		my @posted = map { $n++; qq('{"n": $n, "stop": ) . ($_ == 2 ? 'true' : 'false') . q(}') } 1 .. 3;
		ask("SELECT cxm.post_notifications('told', ARRAY[" . join(', ', @posted) . ']::jsonb[])');
		becomes($wait{$step}, 't', "$name: there it is");
		my $sent = ask('SELECT count(*) FROM cx.outbox WHERE sent_at IS NULL');
		is($sent, $step eq 'marked' ? '0' : '3', "$name: " . ($step eq 'marked' ? 'all is marked' : 'nobody sees that anything was sent'));
		$listener->say('SELECT 1;');
		is(scalar(@{ $listener->{heard} }), 0, "$name: nobody was told");

		if ($how =~ /kill/)
		{
			kill 'KILL', $pid;
			ok($node->poll_query_until('postgres', "SELECT pg_postmaster_start_time() IS NOT NULL AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 't'), "$name: the server recovers");
		}
		else
		{
			$node->stop('immediate');
		}
		$_->bury for $listener, $other;
		$node->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
		$how =~ /kill/ ? $node->reload : $node->start;
		becomes($running, 'running|0', "$name: all is sent");
		is(ask('SELECT sent FROM cx.notifier_status'), $step =~ /committed|marked/ ? '0' : '3', "$name: once");
		is(ask("SELECT string_agg(payload->>'n', ' ' ORDER BY outbox_id) FROM cxm.replay_outbox(seen => '$seen')"), join(' ', $n - 2 .. $n), "$name: a listener that was cut off gets it by replay");
	}
}

ask($unhold);

# ---- under load: four writers, some of whose transactions are rolled back, and a listener that comes back each time

my $script = $node->basedir . '/writer.sql';
append_to_file($script, <<'SQL');
\set first random(0, 10)
\set second random(0, 10)
\set fate random(1, 10)
BEGIN;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', :first);
SAVEPOINT s;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', :second), ('nps', 0);
\if :fate = 1
ROLLBACK TO s;
\endif
\if :fate = 2
ROLLBACK;
\else
COMMIT;
\endif
SQL

my (%replayed, %heard);
my $twice = 0;
my $seen = ask('SELECT pg_current_snapshot()');
my $first = ask('SELECT coalesce(max(outbox_id), 0) FROM cx.outbox');

# what a client does when it connects: listen, then ask for what it missed
sub come
{
	my $listener = CxmListener->new($node, 'postgres', 'cxm_alert');
	my ($next, @ids) = split /\n/, $listener->say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot();
		SELECT outbox_id FROM cxm.replay_outbox(seen => '$seen', only_channel => 'cxm_alert'); COMMIT;");
	$replayed{$_}++ for @ids;
	$twice += grep { $replayed{$_} > 1 } @ids;
	$seen = $next;
	return $listener;
}

my $rounds = 0;
for my $how ('worker', 'worker', 'server', 'worker', 'postmaster', 'terminate', 'nothing')
{
	my $last = ask('SELECT coalesce(max(outbox_id), 0) FROM cx.outbox');
	my $listener = come();
	my $log = '';
	my $load = start([ 'pgbench', '-n', '-c', 4, '-j', 1, '-T', 600, '-f', $script, $node->connstr('postgres') . ' application_name=writer' ], '>', \$log, '2>', \$log, timeout(600));
	# it ends in mid-load, when something has been heard
	$listener->wait_for(sub { @_ >= 30 });
	becomes("SELECT count(*) > 100 FROM cx.outbox WHERE channel = 'cxm_alert' AND outbox_id > $last", 't', "$how: alerts are raised");
	my $pid = ask($worker);
	my @processes = (split(/\n/, ask('SELECT pid FROM pg_stat_activity')), slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/);
	if ($how eq 'worker' || $how eq 'terminate')
	{
		kill $how eq 'worker' ? 'KILL' : 'TERM', $pid;
		$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 't');
	}
	elsif ($how ne 'nothing')
	{
		$how eq 'server' ? $node->stop('immediate') : $node->kill9;
	}
	# without the worker writers go on; where the server went they ended by themselves
	if ($how =~ /terminate|nothing/)
	{
		ok($load->pumpable, "$how: writers write");
		$load->signal('TERM');
	}
	eval { $load->finish; };
	# what a postmaster leaves must be gone before another may start
	for (1 .. 600)
	{
		last unless $how eq 'postmaster' && grep { kill 0, $_ } @processes;
		sleep 0.1;
	}
	$node->start if $how eq 'server' || $how eq 'postmaster';
	becomes(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'}, '0', "$how: no writer is left");
	becomes($running, 'running|0', "$how ended under load: all is sent in the end");
	$listener->say('SELECT 1;') if $how =~ /terminate|nothing/;
	$heard{ $_->{outbox_id} }++ for @{ $listener->{heard} };
	$how =~ /terminate|nothing/ ? $listener->end : $listener->bury;
	$rounds++;
}
come()->end;

my $alerts = ask('SELECT count(*) FROM cx.alert');
cmp_ok($alerts, '>', 500, "$alerts alerts were raised in $rounds rounds");
is(ask("SELECT count(*) FROM cx.feedback AS f FULL JOIN cx.alert AS a USING (feedback_id) WHERE (f.score <= 6) IS DISTINCT FROM (a.alert_id IS NOT NULL)"), '0', 'a recompute finds the same');
is(ask(q{SELECT count(*) FROM cx.alert AS a FULL JOIN (SELECT * FROM cx.outbox WHERE channel = 'cxm_alert') AS o ON (o.payload->>'alert_id')::bigint = a.alert_id
	WHERE a.alert_id IS NULL OR o.sent_at IS NULL}), '0', 'each has its notification, which was sent');
is($twice, 0, 'no replay gave twice what one before it had given');
is(scalar(grep { $_ > 1 } values %heard), 0, 'and nobody was told twice');
cmp_ok(scalar(keys %heard), '>', 100, scalar(keys %heard) . ' were heard as they came');
is(join(' ', sort { $a <=> $b } grep { !$heard{$_} && !$replayed{$_} } split /\n/, ask("SELECT outbox_id FROM cx.outbox WHERE outbox_id > $first")), '', 'the rest was replayed: the listener has all');
is(scalar(grep { !$replayed{$_} } keys %heard), 0, 'replay alone has all of it, too');

# ---- another server takes over

my $backup = $node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
becomes($running, 'running|0', 'before the fail-over all is sent');
kill 'STOP', ask($worker);
$seen = ask('SELECT pg_current_snapshot()');
ask(q{SELECT cxm.post_notifications('told', ARRAY['{"n": "a"}', '{"n": "b"}']::jsonb[])});
ask(q{SET cxm.notify_mode = off; SELECT cxm.post_notifications('told', ARRAY['{"n": "c"}']::jsonb[])});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$where = $standby;
is(ask(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cxm notifier%'}), '0', 'a standby has no notifier');
is(ask(q{SELECT notify_mode, preloaded, state, unsent, held FROM cx.notifier_status}), 'worker|t|none|2|1', 'and says so');
$node->stop('immediate');
$standby->promote;
becomes($running, 'running|0', 'promoted, it sends what the other did not');
is(ask('SELECT sent, held FROM cx.notifier_status'), '2|1', 'and nothing else');
is(ask("SELECT string_agg(payload->>'n', ' ' ORDER BY outbox_id) FROM cxm.replay_outbox(seen => '$seen')"), 'a b c', 'replay goes on where the other server ended');
my $listener = CxmListener->new($standby, 'postgres', 'told');
ask(q{SELECT cxm.post_notifications('told', ARRAY['{"n": "d"}']::jsonb[])});
is($listener->heard_up_to('d'), 'd', 'listeners of the new server hear');
$listener->end;

$standby->stop;
done_testing();
