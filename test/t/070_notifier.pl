# The background worker that sends notifications: who hears what, where workers are and where not, and what they do
# when the store, the database or the right to send goes away.
use strict;
use warnings;
use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use CxmListener;

my $node = PostgreSQL::Test::Cluster->new('notifier');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'cxm'
max_prepared_transactions = 5
max_worker_processes = 16
autovacuum = off
timezone = 'UTC'
synchronous_commit = local
CONF
$node->start;

sub ask { my ($query, $database) = @_; return $node->safe_psql($database // 'shop', $query); }

# post NUMBER, DATABASE: a notification of that number
sub post
{
	my ($n, $database) = @_;
	return ask("SELECT cxm.post_notifications('told', ARRAY[jsonb_build_object('n', $n)])", $database);
}

sub becomes
{
	my ($query, $expected, $name, $database) = @_;
	ok($node->poll_query_until($database // 'shop', $query, $expected), $name);
	return;
}

my $workers = q{SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'cxm notifier'};
my $unsent = 'SELECT count(*) FROM cx.outbox WHERE sent_at IS NULL';
my $pid = 'SELECT worker_pid FROM cx.notifier_status';
# it counts what it has sent after the commit, before it is idle
my $doing = q{SELECT state FROM pg_stat_activity WHERE backend_type = 'cxm notifier'};

# ---- where there is a store there is a worker

becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cxm notifier launcher' AND application_name = 'cxm notifier launcher' AND state = 'idle' AND datname IS NULL", '1', 'a server that has preloaded cxm has a launcher', 'postgres');
is(ask($workers, 'postgres'), '', 'and no worker as long as there is no store');
ask('CREATE DATABASE shop', 'postgres');
ask('CREATE EXTENSION cxm');
is(ask('SELECT state FROM cxm.notifier_status()') =~ /^(none|waiting|starting|running)$/ ? 1 : 0, 1, 'an extension without store is no reason to stay');
becomes('SELECT state FROM cxm.notifier_status()', 'none', 'a worker that finds no store leaves');
ask(q{SELECT cxm.create_store('UTC')});
becomes($workers, 'shop', 'a store has a worker');
is(ask('SELECT cxm.notify_mode()'), 'worker', 'the worker is the one who sends');
becomes('SELECT state FROM cx.notifier_status', 'running', 'it runs');
is(ask(q{SELECT notify_mode, preloaded, worker_pid = a.pid, started_at <= now(), batches, sent, unsent, held, oldest_unsent_at IS NULL, last_sent_at IS NULL, last_error IS NULL, last_error_at IS NULL
	FROM cx.notifier_status CROSS JOIN pg_stat_activity AS a WHERE a.backend_type = 'cxm notifier'}), 'worker|t|t|t|0|0|0|0|t|t|t|t', 'and its status says so');
becomes($doing, 'idle', 'it is idle');
is(ask(q{SELECT application_name, usename = current_user FROM pg_stat_activity WHERE backend_type = 'cxm notifier'}), 'cxm notifier|t', 'under its name');

# ---- who hears what

my $listener = CxmListener->new($node, 'shop', 'told');
my $writer = CxmListener->new($node, 'shop');

post(1);
is($listener->heard_up_to(1), '1', 'a listener hears what was posted');
is(ask(q{SELECT bool_and(sent_at IS NOT NULL) FROM cx.outbox}), 't', 'the row says that it was sent');
ask(q{SELECT cxm.post_notifications('told', ARRAY['{"n": 2}', '{"n": 2}', '{}', '{"n": 3}']::jsonb[])});
is($listener->heard_up_to(3), '2 2 ? 3', 'several, in their order; equal ones are not folded');
ask(q{SELECT cxm.post_notifications('other', ARRAY['{"n": 4}']::jsonb[])});
ask(q{SELECT cxm.post_notifications('told', '{}')});
is(ask(q{SELECT cxm.post_notifications('told', NULL)}), '0', 'nothing posted is nothing');
post(5);
is($listener->heard_up_to(5), '5', 'of its channel only');
becomes($doing, 'idle', 'the worker is done');
is(ask(q{SELECT batches > 0, sent, last_sent_at <= clock_timestamp() FROM cx.notifier_status}), 't|7|t', 'all are counted');

$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 6}']::jsonb[]); ROLLBACK;});
$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 7}']::jsonb[]); SAVEPOINT s;
	SELECT cxm.post_notifications('told', ARRAY['{"n": 8}']::jsonb[]); ROLLBACK TO s; COMMIT;});
$writer->say(q{BEGIN; SAVEPOINT s; SELECT cxm.post_notifications('told', ARRAY['{"n": 9}']::jsonb[]); ROLLBACK TO s; COMMIT;});
post(10);
is($listener->heard_up_to(10), '7 10', 'nothing of what was rolled back, to a savepoint or altogether');

$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 11}']::jsonb[]);});
post(12);
is($listener->heard_up_to(12), '12', 'what commits later');
$writer->say('COMMIT;');
is($listener->heard_up_to(11), '11', 'is told later, though its id is lower');

my ($status, $out, $err) = $node->psql('shop', q{SELECT cxm.post_notifications(repeat('x', 64), ARRAY['{}']::jsonb[])});
like($err, qr/violates check constraint "outbox_channel_check"/, 'a channel that NOTIFY would not take is refused when it is posted');
for my $payload (q{'[]'}, q{'1'}, q{jsonb_build_object('x', repeat('x', 7950))})
{
	($status, $out, $err) = $node->psql('shop', "SELECT cxm.post_notifications('told', ARRAY[$payload]::jsonb[])");
	like($err, qr/violates check constraint "outbox_payload_check"/, "so is a payload like $payload");
}
($status, $out, $err) = $node->psql('shop', q{\set VERBOSITY verbose
SELECT cxm.post_notifications('told', ARRAY['{}', NULL]::jsonb[])});
like($err, qr/22004: payload 2 of 2 is missing/, 'and one that is missing');
ask(q{SELECT setval(pg_get_serial_sequence('cx.outbox', 'outbox_id'), 9223372036854775806)});
ask(q{SELECT cxm.post_notifications('told', ARRAY[jsonb_build_object('n', 13, 'x', repeat('x', 7950 - 18))])});
is($listener->heard_up_to(13), '13', 'the longest payload fits, with the longest id');
is(ask('SELECT octet_length(payload::text) FROM cx.outbox WHERE outbox_id = 9223372036854775807'), '7950', 'it is the longest');
ask('DELETE FROM cx.outbox WHERE outbox_id = 9223372036854775807');
ask(q{SELECT setval(pg_get_serial_sequence('cx.outbox', 'outbox_id'), 1000)});

# alerts go the same way
ask(q{SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6)});
my $alerts = CxmListener->new($node, 'shop', 'cxm_alert');
ask(q{SELECT cxm.record_feedback('nps', i % 11) FROM generate_series(0, 21) AS i});
is(scalar(my @told = $alerts->wait_for(sub { @_ >= 14 })), 14, 'alerts are told');
is(join(' ', sort { $a <=> $b } map { $_->{alert_id} } @told), ask(q{SELECT string_agg(alert_id::text, ' ' ORDER BY alert_id) FROM cx.alert}), 'each once');
$alerts->end;

# ---- modes

ask(q{SET cxm.notify_mode = off; SELECT cxm.post_notifications('told', ARRAY['{"n": 21}', '{"n": 22}']::jsonb[])});
post(23);
is($listener->heard_up_to(23), '23', 'what was posted under off is not told, not even when the worker is at it');
is(ask('SELECT unsent, held, oldest_unsent_at IS NOT NULL FROM cx.notifier_status'), '0|2|t', 'it waits');
is(ask('SELECT cxm.send_outbox(1)'), '1', 'until somebody sends it');
is(ask('SELECT cxm.send_outbox()'), '1', 'all of it');
is($listener->heard_up_to(22), '21 22', 'in order');
ask(q{SET cxm.notify_mode = direct; SELECT cxm.post_notifications('told', ARRAY['{"n": 24}']::jsonb[])});
is($listener->heard_up_to(24), '24', 'direct: the writer sends');
is(ask(q{SELECT (sent_at < now()) FROM cx.outbox WHERE payload @> '{"n": 24}'}), 't', 'itself');

# ---- writers do not take NOTIFY's lock

# A session that has notified keeps it while it waits for a standby, which never comes.
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'\n");
$node->reload;
my $keeper = CxmListener->new($node, 'shop');
ask('CREATE TABLE public.anything (x integer)');
$keeper->start(q{SET synchronous_commit = on; BEGIN; INSERT INTO public.anything VALUES (1); NOTIFY told, '{"n": 31}'; COMMIT;});
becomes(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}, '1', 'a session keeps the lock of NOTIFY');
my $answer = '';
my $direct = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('shop'), '-c', q{SET cxm.notify_mode = direct; SELECT cxm.post_notifications('told', ARRAY['{"n": 32}']::jsonb[])} ],
	'>', \$answer, '2>', \$answer, IPC::Run::timeout(180));
becomes(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'object' AND database = 0}, '1', 'a direct writer waits for it');
is(post(33), '1', 'a writer that leaves it to the worker does not');
becomes(q{SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted AND l.locktype = 'object' AND l.database = 0 AND a.backend_type = 'cxm notifier'}, '1', 'it is the worker that waits');
is(post(34), '1', 'and writers go on');
is(ask(q{SELECT string_agg(payload->>'n', ' ' ORDER BY outbox_id) FROM cx.outbox WHERE payload->>'n' IN ('33', '34') AND sent_at IS NULL}), '34', 'what they posted is there, and marked as far as the worker has come');
my $told = ask($pid);
is(ask("SELECT pg_terminate_backend($told)"), 't', 'a worker that is asked to go');
is(ask("SELECT count(*) FROM pg_stat_activity WHERE pid = $told"), '1', 'stays until what it has marked is told');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
$node->reload;
$keeper->done;
$keeper->end;
$direct->finish;
$listener->wait_for(sub { grep({ ($_->{n} // 0) == 34 } @_) && grep({ ($_->{n} // 0) == 32 } @_) });
is(join(' ', sort map { $_->{n} } @{ $listener->{heard} }), '31 32 33 34', 'and told in the end');
becomes("SELECT worker_pid <> $told AND state = 'running' FROM cx.notifier_status", 't', 'and another one comes');
$listener->{heard} = [];

# ---- what cannot be told waits

my $check = ask(q{SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c WHERE c.conname = 'outbox_payload_check'});
ask('ALTER TABLE cx.outbox DROP CONSTRAINT outbox_payload_check');
ask(q{SELECT cxm.post_notifications('told', ARRAY[jsonb_build_object('n', 35), jsonb_build_object('n', 36, 'long', repeat('x', 8000))])});
becomes('SELECT last_error FROM cx.notifier_status', 'payload string too long', 'a notification that NOTIFY does not take, where somebody has dropped the check');
becomes($unsent, '2', 'it waits, and with it what was to be told together with it');
ask(q{DELETE FROM cx.outbox WHERE payload ? 'long'});
is($listener->heard_up_to(35), '35', 'which is told, once, when nothing is in its way any more');
ask("ALTER TABLE cx.outbox ADD CONSTRAINT outbox_payload_check $check");

# ---- without work nobody works

my $quiet = 0;
for (1 .. 20)
{
	my $look = q{SELECT a.state_change, a.backend_start, d.xact_commit, d.xact_rollback, pg_current_wal_insert_lsn()
		FROM pg_stat_activity AS a JOIN pg_stat_database AS d ON d.datname = 'shop' WHERE a.backend_type = 'cxm notifier'};
	my $before = ask($look, 'postgres');
	sleep 1.5;
	$quiet = ask($look, 'postgres') eq $before;
	last if $quiet;
}
ok($quiet, 'an idle worker begins no transaction and writes nothing');

# ---- two-phase commit

$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 41}']::jsonb[]); PREPARE TRANSACTION 'a';});
$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 42}']::jsonb[]); PREPARE TRANSACTION 'b';});
$writer->say(q{BEGIN; SELECT cxm.post_notifications('told', ARRAY['{"n": 43}']::jsonb[]); PREPARE TRANSACTION 'c';});
post(44);
is($listener->heard_up_to(44), '44', 'what is only prepared is not told');
ask(q{COMMIT PREPARED 'a'});
is($listener->heard_up_to(41), '41', 'it is once it is committed, by another session');
ask(q{ROLLBACK PREPARED 'b'});
$_->end for $listener, $writer;
$node->restart;
$listener = CxmListener->new($node, 'shop', 'told');
becomes('SELECT state FROM cx.notifier_status', 'running', 'after a restart there is a worker, though there is nothing to send');
ask(q{COMMIT PREPARED 'c'});
is($listener->heard_up_to(43), '43', 'also when the server was restarted in between; what was rolled back is not');

# ---- two databases

ask('CREATE DATABASE second', 'postgres');
ask(q{CREATE EXTENSION cxm; SELECT cxm.create_store('UTC')}, 'second');
becomes($workers, 'second shop', 'each database with a store has a worker');
my $listener2 = CxmListener->new($node, 'second', 'told');
post(51, 'second');
post(52);
is($listener2->heard_up_to(51) . '; ' . $listener->heard_up_to(52), '51; 52', 'and hears its own');
$listener2->end;

# ---- commands that need a database for themselves

is(($node->psql('postgres', 'CREATE DATABASE third TEMPLATE second'))[2], '', 'CREATE DATABASE takes one with a worker as template');
becomes($workers, 'second shop', 'whose worker comes back', 'postgres');
is(($node->psql('postgres', 'ALTER DATABASE second RENAME TO renamed'))[2], '', 'ALTER DATABASE renames one');
becomes($workers, 'renamed shop', 'and its worker comes back', 'postgres');
my $tablespace = abs_path(PostgreSQL::Test::Utils::tempdir());
ask("CREATE TABLESPACE elsewhere LOCATION '$tablespace'", 'postgres');
is(($node->psql('postgres', 'ALTER DATABASE renamed SET TABLESPACE elsewhere'))[2], '', 'or moves it');
becomes($workers, 'renamed shop', 'and its worker comes back', 'postgres');
post(53, 'third');
becomes($workers, 'renamed shop third', 'the copy has a worker as soon as there is something to tell', 'postgres');
becomes($unsent, '0', 'which tells it', 'third');

my $before = ask($pid, 'renamed');
ask('CREATE ROLE stranger LOGIN; CREATE ROLE maker LOGIN CREATEDB', 'postgres');
($status, $out, $err) = $node->psql('postgres', 'DROP DATABASE renamed', extra_params => [ '-U', 'stranger' ]);
like($err, qr/must be owner of database renamed/, 'who may not drop a database cannot');
is(ask($pid, 'renamed'), $before, 'and does not disturb its worker');
($status, $out, $err) = $node->psql('postgres', "BEGIN; ALTER DATABASE renamed RENAME TO second; SELECT pg_sleep(0); ROLLBACK;");
becomes($workers, 'renamed shop third', 'a worker comes back after ROLLBACK, too', 'postgres');

# in the middle of its work, waiting for a lock
my $locker = CxmListener->new($node, 'renamed');
ask('CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(7); RETURN NEW; END $$;
	CREATE TRIGGER hold BEFORE UPDATE ON cx.outbox FOR EACH ROW EXECUTE FUNCTION public.hold()', 'renamed');
$locker->say('SELECT pg_advisory_lock(7);');
post(54, 'renamed');
becomes(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, '1', 'a worker is in the middle of its work', 'postgres');
# the session that holds the lock is itself in the way, so the command waits for it after the worker has left
my $drop = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'DROP DATABASE renamed WITH (FORCE)' ],
	'>', \$answer, '2>', \$answer, IPC::Run::timeout(180));
$drop->finish;
is($drop->result(0), 0, 'DROP DATABASE drops its database') or diag $answer;
$locker->bury;
becomes($workers, 'shop third', 'and it is gone', 'postgres');

ask('CREATE DATABASE own OWNER maker', 'postgres');
ask(q{CREATE EXTENSION cxm; SELECT cxm.create_store('UTC')}, 'own');
becomes($workers, 'own shop third', 'a database of somebody else', 'postgres');
($status, $out, $err) = $node->psql('postgres', 'DROP DATABASE own WITH (FORCE)', extra_params => [ '-U', 'maker' ]);
is("$status $err", '0 ', 'its owner, who may not end sessions of a superuser, drops it WITH (FORCE)');
is(($node->psql('postgres', 'DROP DATABASE third'))[2], '', 'and without FORCE it goes as well');
becomes($workers, 'shop', 'there is one left', 'postgres');

# a template that has a store all the same
ask(q{CREATE EXTENSION cxm; SELECT cxm.create_store('UTC')}, 'template1');
becomes($workers, 'shop template1', 'a store in a template is served, too', 'postgres');
is(($node->psql('postgres', 'CREATE DATABASE copy'))[2], '', 'which is taken when no template is named');
post(55, 'template1');
becomes($unsent, '0', 'before and after', 'template1');
ask('DROP DATABASE copy', 'postgres');
ask('SET client_min_messages = warning; DROP EXTENSION cxm CASCADE; DROP SCHEMA cx CASCADE', 'template1');
becomes($workers, 'shop', 'there is one left again', 'postgres');

# ---- the store goes and comes

ask(q{SET cxm.notify_mode = off; SELECT cxm.post_notifications('told', ARRAY['{"n": 61}']::jsonb[])});
ask('DROP EXTENSION cxm CASCADE');
becomes($workers, '', 'without the extension there is no worker');
ask('UPDATE cx.outbox SET held = false WHERE sent_at IS NULL');
ask('CREATE EXTENSION cxm');
is($listener->heard_up_to(61), '61', 'with it there is again, and what waited is told');
ask('SELECT cxm.upgrade_store()');
becomes('SELECT state FROM cx.notifier_status', 'running', 'upgrade_store() brings the status back');
ask('ALTER TABLE cx.outbox RENAME TO away');
ask('SELECT cxm.wake_notifier()');
becomes($workers, '', 'nor without the outbox');
ask('ALTER TABLE cx.away RENAME TO outbox');
post(62);
is($listener->heard_up_to(62), '62', 'it comes when there is something to tell');
ask('DROP SCHEMA cx CASCADE');
becomes($workers, '', 'nor without the store');
ask(q{BEGIN; SELECT cxm.create_store('UTC'); SELECT cxm.post_notifications('told', ARRAY['{"n": 63}']::jsonb[]); COMMIT});
is($listener->heard_up_to(63), '63', 'a new one is served at once');
ask(q{BEGIN; DROP SCHEMA cx CASCADE; SELECT cxm.create_store('UTC'); PREPARE TRANSACTION 'store'; COMMIT PREPARED 'store'});
post(64);
is($listener->heard_up_to(64), '64', 'also one that was prepared');

# what somebody writes past cxm.post_notifications()
ask(q{INSERT INTO cx.outbox (channel, payload) VALUES ('told', '{"n": 65}'); SELECT cxm.wake_notifier()});
is($listener->heard_up_to(65), '65', 'cxm.wake_notifier() has rows sent that were not posted');

# ---- more than a batch, and rows that somebody else has locked

ask(q{SELECT cxm.post_notifications('told', ARRAY(SELECT jsonb_build_object('n', 10000 + i) FROM generate_series(1, 2500) AS i))});
is($listener->heard_up_to(12500), join(' ', 10001 .. 12500), 'thousands at once come in order');
ask(q{SET cxm.notify_mode = off; SELECT cxm.post_notifications('told', ARRAY['{"n": 71}', '{"n": 72}']::jsonb[])});
$locker = CxmListener->new($node, 'shop');
$locker->say(q{BEGIN; UPDATE cx.outbox SET held = false WHERE sent_at IS NULL; SAVEPOINT s;});
post(73);
is($listener->heard_up_to(73), '73', 'what another session has locked does not keep the worker from the rest');
$locker->say('COMMIT; BEGIN; SELECT FROM cx.outbox WHERE sent_at IS NULL FOR UPDATE;');
ask('SELECT cxm.wake_notifier()');
post(74);
is($listener->heard_up_to(74), '74', 'nor do rows that it could send');
$locker->say('ROLLBACK;');
is($listener->heard_up_to(72), '71 72', 'they are sent when they are free, without anybody calling');
ask(q{SET cxm.notify_mode = off; SELECT cxm.post_notifications('told', ARRAY['{"n": 75}']::jsonb[])});
$locker->say('UPDATE cx.outbox SET held = false WHERE sent_at IS NULL; BEGIN; SELECT FROM cx.outbox WHERE sent_at IS NULL FOR UPDATE;');
ask(q{SELECT cxm.wake_notifier(), cxm.post_notifications('told', ARRAY(SELECT jsonb_build_object('n', 20000 + i) FROM generate_series(1, 2500) AS i))});
is($listener->heard_up_to(22500), join(' ', 20001 .. 22500), 'nor do they when there is more than a batch behind them');
$locker->say('ROLLBACK;');
is($listener->heard_up_to(75), '75', 'and they are not forgotten over it');
$locker->end;

# ---- what goes wrong is said once, and overcome

sub warnings_about
{
	my ($pattern) = @_;
	my $log = slurp_file($node->logfile);
	return scalar(() = $log =~ /WARNING:  notifications of database "shop" wait: $pattern/g);
}

ask(q{CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on a Sunday'; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON cx.outbox FOR EACH ROW EXECUTE FUNCTION public.refuse()});
is(post(81), '1', 'a worker that cannot send');
becomes('SELECT state FROM cx.notifier_status', 'failing', 'says so in its status');
is(ask(q{SELECT unsent, last_error, last_error_at <= clock_timestamp() FROM cx.notifier_status}), '1|not on a Sunday|t', 'with the reason');
my $first = ask('SELECT last_error_at FROM cx.notifier_status');
becomes("SELECT last_error_at > '$first' FROM cx.notifier_status", 't', 'and tries again');
is(post(82), '1', 'writers are not concerned');
is(warnings_about('not on a Sunday'), 1, 'the log has it once');
ask('DROP TRIGGER refuse ON cx.outbox');
is($listener->heard_up_to(82), '81 82', 'when it is mended all is told');
becomes('SELECT state, unsent FROM cx.notifier_status', 'running|0', 'and the status is as it was');
like(slurp_file($node->logfile), qr/LOG:  notifications of database "shop" are sent again, after \d+ attempts that failed/, 'the log knows the end, too');

# the owner of the outbox is not a superuser, and nobody becomes one by way of the worker
ask('CREATE ROLE keeper; GRANT CREATE ON DATABASE shop TO keeper; ALTER TABLE cx.outbox OWNER TO keeper; GRANT USAGE ON SCHEMA cx TO keeper');
ask(q{CREATE TABLE public.who (who text, path text); GRANT INSERT ON public.who TO PUBLIC;
	CREATE FUNCTION public.tell_who() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.who VALUES (current_user, current_setting('search_path')); RETURN NULL; END $$;
	CREATE TRIGGER who AFTER UPDATE ON cx.outbox FOR EACH ROW EXECUTE FUNCTION public.tell_who()});
post(83);
is($listener->heard_up_to(83), '83', 'the outbox may belong to anybody');
is(ask('SELECT who, path FROM public.who'), 'keeper|pg_catalog, pg_temp', 'what is in its way runs as its owner');
ask(q{CREATE OR REPLACE FUNCTION public.tell_who() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN SET SESSION AUTHORIZATION DEFAULT; INSERT INTO public.who VALUES (current_user, ''); RETURN NULL; END $$});
post(84);
becomes('SELECT state FROM cx.notifier_status', 'failing', 'and does not become the session user');
like(ask('SELECT last_error FROM cx.notifier_status'), qr/cannot set parameter "session_authorization" within security-restricted operation/, 'by any way');
ask(q{CREATE OR REPLACE FUNCTION public.tell_who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$});
is($listener->heard_up_to(84), '84', 'the rest is as before');
ask(q{DROP TRIGGER who ON cx.outbox;
	CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.who VALUES (current_user, ''); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON cx.outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()});
post(85);
becomes('SELECT state FROM cx.notifier_status', 'failing', 'a deferred trigger does not run as another either');
is(ask(q{SELECT count(*) FROM public.who WHERE who <> 'keeper'}), '0', 'but not at all');
ask('DROP TRIGGER late ON cx.outbox');
is($listener->heard_up_to(85), '85', 'without it all is told');

# row-level security hides nothing in silence
ask(q{ALTER TABLE cx.outbox ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON cx.outbox USING (channel <> 'told')});
ask(q{INSERT INTO cx.outbox (channel, payload) VALUES ('told', '{"n": 86}'); SELECT cxm.wake_notifier()});
is($listener->heard_up_to(86), '86', 'row-level security that the owner is not subject to does not matter');
ask(q{ALTER TABLE cx.outbox FORCE ROW LEVEL SECURITY});
ask(q{INSERT INTO cx.outbox (channel, payload) VALUES ('told', '{"n": 87}'); SELECT cxm.wake_notifier()});
becomes('SELECT last_error FROM cx.notifier_status', 'query would be affected by row-level security policy for table "outbox"', 'where it does, that is an error');
ask('ALTER TABLE cx.outbox NO FORCE ROW LEVEL SECURITY');
is($listener->heard_up_to(87), '87', 'and all is told when it does not');
ask('ALTER TABLE cx.outbox DISABLE ROW LEVEL SECURITY');

# settings of a database do not change what the worker does
ask(q{ALTER DATABASE shop SET default_transaction_read_only = on; ALTER DATABASE shop SET default_transaction_isolation = 'serializable'; ALTER DATABASE shop SET statement_timeout = 1; ALTER DATABASE shop SET search_path = public}, 'postgres');
$before = ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'cxm notifier'}, 'postgres');
ask("SELECT pg_terminate_backend($before)", 'postgres');
becomes("SELECT pid <> $before FROM pg_stat_activity WHERE backend_type = 'cxm notifier'", 't', 'a worker that was terminated comes back', 'postgres');
ask('ALTER DATABASE shop RESET ALL', 'postgres');
post(88);
is($listener->heard_up_to(88), '88', 'and works whatever the settings of the database are');

# ---- processes that are ended

$before = ask($pid);
ask("SELECT pg_cancel_backend($before)");
post(89);
is($listener->heard_up_to(89) . ' ' . (ask($pid) eq $before), '89 1', 'cancelling what it does not do does nothing');
ask(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cxm notifier launcher'});
post(90);
is($listener->heard_up_to(90), '90', 'without the launcher a worker works');
becomes(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cxm notifier launcher'}, '1', 'and the launcher comes back');
is(ask($pid), $before, 'to the same worker');
ask(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'cxm notifier%'});
post(91);
is($listener->heard_up_to(91), '91', 'so do both together');
$listener->end;

# ---- a server that has no process left for a worker

my $small = PostgreSQL::Test::Cluster->new('small');
$small->init;
$small->append_conf('postgresql.conf', "shared_preload_libraries = 'cxm'\nmax_worker_processes = 2\nmax_logical_replication_workers = 0\n");
$small->start;
for my $database (qw(one two))
{
	$small->safe_psql('postgres', "CREATE DATABASE $database");
	$small->safe_psql($database, q{CREATE EXTENSION cxm; SELECT cxm.create_store('UTC')});
	# whose worker comes first has it
	ok($small->poll_query_until('one', "SELECT s.state, a.state FROM cx.notifier_status AS s JOIN pg_stat_activity AS a ON a.pid = s.worker_pid", 'running|idle'), 'one process serves one database') if $database eq 'one';
}
ok($small->poll_query_until('two', q{SELECT state, last_error IS NOT NULL FROM cx.notifier_status}, 'waiting|t'), 'the other waits for one');
is($small->safe_psql('two', q{SELECT cxm.post_notifications('told', ARRAY['{"n": 1}', '{"n": 2}']::jsonb[])}), '2', 'its writers do not');
is($small->safe_psql('two', 'SELECT unsent, oldest_unsent_at IS NOT NULL, worker_pid IS NULL, last_error FROM cx.notifier_status'), '2|t|t|no background worker process is free', 'and the status says what waits, and why');
$first = $small->safe_psql('two', 'SELECT last_error_at FROM cx.notifier_status');
ok($small->poll_query_until('two', "SELECT last_error_at > '$first' FROM cx.notifier_status"), 'it is tried again');
is(scalar(() = slurp_file($small->logfile) =~ /WARNING:  no background worker process is free for a cxm notifier/g), 1, 'the log has it once');
is($small->safe_psql('two', 'SELECT cxm.send_outbox()'), '2', 'they can be sent by hand');
$small->safe_psql('two', q{SELECT cxm.post_notifications('told', ARRAY['{"n": 3}']::jsonb[])});
$small->safe_psql('postgres', 'DROP DATABASE one');
ok($small->poll_query_until('two', 'SELECT state, unsent FROM cx.notifier_status', 'running|0'), 'when a process is free they are');
$small->stop;

unlike(slurp_file($node->logfile), qr/^(?!.*(?:STATEMENT|psql)).*(?:PANIC|was terminated by signal)/m, 'nothing crashed');
$node->stop;
done_testing();
