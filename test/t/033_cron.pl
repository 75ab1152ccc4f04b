# Upkeep under a real pg_cron, on a server of its own; and what is said where pg_cron is not, or is elsewhere.
#
# pg_cron starts jobs on the minute, so this test waits for the next one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($libraries, $share) = map { my $dir = `"$ENV{PG_CONFIG}" --$_`; chomp $dir; $dir } qw(pkglibdir sharedir);
plan skip_all => 'pg_cron is not installed' unless -f "$share/extension/pg_cron.control" && glob "$libraries/pg_cron.{so,dylib}";

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nmax_worker_processes = 16\n");
$node->start;

sub ask { my ($query, $database) = @_; return $node->safe_psql($database // 'jobs', $query); }

# error QUERY, DATABASE: its SQLSTATE and text
sub error
{
	my ($query, $database) = @_;
	my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$query");
	return $err;
}

for my $database (qw(jobs elsewhere))
{
	ask("CREATE DATABASE $database", 'postgres');
	ask('CREATE EXTENSION cxm', $database);
	like(error('SELECT cxm.schedule_jobs()', $database), qr/this database has no cxm store/, 'no store, no jobs');
	ask('SELECT cxm.create_store()', $database);
}

# ---- a server that has not loaded pg_cron

my $error = error('SELECT cxm.schedule_jobs()', 'jobs');
like($error, qr/ERROR:  55000: extension pg_cron is not in this database/, 'without pg_cron: an error');
like($error, qr/DETAIL:  The server has not loaded pg_cron\./, 'that says why');
like($error, qr/HINT:  .*shared_preload_libraries.*cron\.database_name.*CALL cxm\.upkeep\(\)/, 'and what to do');
like(error('SELECT cxm.unschedule_jobs()', 'jobs'), qr/55000: extension pg_cron is not in this database/, 'there is nothing to take back either');

# ---- with pg_cron

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'jobs'\ncron.host = '" . $node->host . "'\n");
$node->restart;

$error = error('SELECT cxm.schedule_jobs()', 'jobs');
like($error, qr/HINT:  Run CREATE EXTENSION pg_cron\./, 'loaded, but not created: the hint is short');
$error = error('SELECT cxm.schedule_jobs()', 'elsewhere');
like($error, qr/DETAIL:  pg_cron of this server works in database "jobs"\./, 'in another database: the error says which');
like($error, qr/HINT:  .*cron\.schedule_in_database\(\)/, 'and the way from here');

ask('CREATE EXTENSION pg_cron');
my $jobs = ask('SELECT count(*) FROM cxm.jobs()');
cmp_ok($jobs, '>=', 4, 'there are jobs');
is(ask('SELECT cxm.schedule_jobs()'), $jobs, 'they are scheduled');
my $same = 'SELECT count(*) FROM cron.job AS c JOIN cxm.jobs() AS j ON (j.job, j.schedule, j.command) = (c.jobname, c.schedule, c.command) WHERE c.active AND c.database = current_database() AND c.username = current_user';
is(ask($same), $jobs, 'as cxm.jobs() says, here, for the caller');
is(ask('SELECT cxm.schedule_jobs()'), $jobs, 'once more');
is(ask('SELECT count(*) FROM cron.job'), $jobs, 'which does not double them');

# ---- they run

# each command is run by pg_cron the way it is scheduled, only sooner
ask('SELECT cxm.unschedule_jobs()');
is(ask('SELECT count(*) FROM cron.job'), '0', 'they are taken back');
ask("INSERT INTO cx.event_type (key) VALUES ('view')");
ask("INSERT INTO cx.event (occurred_at, event_type_id) VALUES ('2001-02-03', 1)");
ask("UPDATE cx.metric SET metric = 'hidden' WHERE metric = 'ces'");
ask(q{SELECT cxm.record_feedback_batch('[{"metric": "ces", "score": 5, "message_id": "late"}]')});
ask("UPDATE cx.metric SET metric = 'ces' WHERE metric = 'hidden'");
ask(q{SELECT cron.schedule(j.job, '* * * * *', j.command) FROM cxm.jobs() AS j});

my $began = time;
my $told = $began;
my $finished = 0;
# what another job was in the way of is left to the next run
until (($finished == $jobs && ask('SELECT count(*) FROM ONLY cx.event_default') eq '0') || time - $began > 300)
{
	sleep 0.5;
	$finished = ask(q{SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')});
	if (time - $told > 10)
	{
		$told = time;
		note sprintf 'waiting for pg_cron (%d s, %s of %s jobs have run)', $told - $began, $finished, $jobs;
	}
}
ask('SELECT cxm.unschedule_jobs()');
is($finished, $jobs, 'all jobs have run');
is(ask(q{SELECT string_agg(command || ': ' || return_message, '; ') FROM cron.job_run_details WHERE status = 'failed'}), '', 'and none failed');
is(ask(q{SELECT count(DISTINCT command) FROM cron.job_run_details WHERE status = 'succeeded'}), $jobs, 'all succeeded');
cmp_ok(ask(q{SELECT count(DISTINCT job) FROM cx.job_run WHERE outcome = 'done' AND finished_at IS NOT NULL AND job IN ('maintain_partitions', 'replay_rejections', 'refresh_statistics')}),
	'==', 3, 'runs are logged in cx.job_run') or diag ask('SELECT * FROM cx.job_run');
is(ask("SELECT tableoid::regclass FROM cx.event"), 'cx.event_2001_02', 'the default partition was emptied');
is(ask("SELECT state FROM cx.rejection"), 'replayed', 'the rejection was replayed');
is(ask("SELECT score FROM cx.feedback"), '5', 'and its record is stored');
cmp_ok(ask("SELECT reltuples FROM pg_catalog.pg_class WHERE oid = 'cx.feedback'::regclass"), '>=', 0, 'the partitioned table was analysed');

# ---- and are taken back; jobs of others stay

ask("SELECT cron.schedule('mine', '0 0 1 1 *', 'SELECT 1')");
is(ask('SELECT cxm.schedule_jobs()'), $jobs, 'scheduled again');
is(ask('SELECT cxm.unschedule_jobs()'), $jobs, 'taken back');
is(ask('SELECT jobname FROM cron.job'), 'mine', "somebody else's job stays");
is(ask('SELECT cxm.unschedule_jobs()'), '0', 'there is nothing more to take back');

$node->stop;
done_testing();
