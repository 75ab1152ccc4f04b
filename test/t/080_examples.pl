# The listeners in examples/: two at a time, in each language, while alerts come in and the server restarts and crashes.
use strict;
use warnings;
use IPC::Run qw(start finish run timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

# ---- what runs each of them here, or why it cannot

my %program;
my %reason;

sub works
{
	my @command = @_;
	my $said = '';
	return eval { run \@command, '>', \$said, '2>', \$said };
}

my ($python) = grep { works($_, '-c', 'import psycopg; assert psycopg.__version__ >= "3"') } qw(python3 /usr/bin/python3);
$program{python} = [ $python, 'examples/listener.py' ] if $python;
$reason{python} = 'there is no Python with psycopg 3';

# a node of other origin does not look where Debian has its modules, nor any where npm puts what is for everybody
$ENV{NODE_PATH} = join ':', qw(/usr/share/nodejs /usr/lib/node_modules /usr/local/lib/node_modules), grep { $_ ne '' } $ENV{NODE_PATH} // '';
my ($node_js) = grep { works($_, '-e', 'require("pg")') } qw(node nodejs);
$program{node} = [ $node_js, 'examples/listener.js' ] if $node_js;
$reason{node} = 'there is no Node.js with pg';

my $temp = PostgreSQL::Test::Utils::tempdir_short();
chomp(my $cc = `"$ENV{PG_CONFIG}" --cc`);
$cc = 'cc' if system("command -v $cc >/dev/null 2>&1") != 0;
chomp(my ($include, $lib) = map { scalar `"$ENV{PG_CONFIG}" --$_` } qw(includedir libdir));
is(system((split ' ', $cc), '-std=gnu99', '-Wall', '-Wextra', '-Werror', "-I$include", '-o', "$temp/listener", 'examples/listener.c', "-L$lib", "-Wl,-rpath,$lib", '-lpq'), 0, 'listener.c compiles without a warning');
$program{c} = ["$temp/listener"];

# ---- a server with the notifier

my $node = PostgreSQL::Test::Cluster->new('examples');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cxm'\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION cxm;
	SELECT cxm.create_store('UTC');
	SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6);
});
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = $node->safe_psql('postgres', 'SELECT current_user');
$ENV{PGDATABASE} = 'postgres';

# two in three raise an alert, one in five is rolled back
my $script = "$temp/writer.sql";
append_to_file($script, <<'SQL');
\set score random(0, 8)
\set fate random(1, 5)
BEGIN;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', :score);
\if :fate = 1
ROLLBACK;
\else
COMMIT;
\endif
SQL

# writers that go on until the server ends them, or for so many transactions each
sub writers
{
	my @length = @_;
	my $log = '';
	return start [ 'pgbench', '-n', '-c', 2, '-j', 1, '-R', 100, @length, '-f', $script ], '>', \$log, '2>&1', timeout(600);
}

# true when LISTENER has worked on an alert that came while OTHER was stopped; one that OTHER had asked for before is its own
sub works_alone
{
	my ($listener, $other) = @_;
	for (1 .. 20)
	{
		$other->{run}->signal('STOP');
		my $id = $node->safe_psql('postgres', q{INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0); SELECT max(alert_id) FROM cx.alert});
		$node->poll_query_until('postgres', "SELECT state <> 'open' FROM cx.alert WHERE alert_id = $id");
		$other->{run}->signal('CONT');
		$node->poll_query_until('postgres', "SELECT state = 'acknowledged' FROM cx.alert WHERE alert_id = $id") or return 0;
		return 1 if $node->safe_psql('postgres', "SELECT acknowledged_by FROM cx.alert WHERE alert_id = $id") eq $listener->{name};
	}
	return 0;
}

package Listener
{
	sub new
	{
		my ($class, $name, @command) = @_;
		my $self = bless { name => $name, out => '', err => '' }, $class;
		$self->{run} = IPC::Run::start([ @command, $name, "$temp/$name.snapshot" ], '>', \$self->{out}, '2>', \$self->{err}, IPC::Run::timeout(1200));
		return $self;
	}

	# wait until the output holds something, or a condition on it is met
	sub wait_for
	{
		my ($self, $condition) = @_;
		for (1 .. 600)
		{
			$self->{run}->pump_nb;
			return 1 if $condition->($self->{out});
			return 0 if !$self->{run}->pumpable;
			Time::HiRes::sleep(0.05);
		}
		return 0;
	}

	sub said
	{
		my ($self, $what) = @_;
		return $self->{out} =~ /^$what (\d+)/mg;
	}

	# end it by the signal that a service manager sends; true when it ended by itself, with success
	sub end
	{
		my ($self) = @_;
		$self->{run}->signal('TERM');
		eval { $self->{run}->finish; };
		return $self->{run}->full_result(0) == 0;
	}
}

sub sorted { return join ' ', sort { $a <=> $b } @_; }

for my $language (qw(python node c))
{
  SKIP:
	{
		skip $reason{$language}, 13 if !$program{$language};

		my $first = 1 + $node->safe_psql('postgres', 'SELECT coalesce(max(alert_id), 0) FROM cx.alert');
		my @listeners = map { Listener->new("$language-$_", @{ $program{$language} }) } 1, 2;
		is(scalar(grep { $_->wait_for(sub { $_[0] =~ /^connected$/m }) } @listeners), 2, "$language: two listeners connect")
		  or diag map { $_->{err} } @listeners;

		# a restart that ends all sessions, a crash, and quiet work
		my $connects = 1;
		for my $how (qw(fast immediate))
		{
			my $writers = writers(-T => 600);
			my $enough = 20 * $connects;
			$node->poll_query_until('postgres', "SELECT count(*) >= $enough FROM cx.alert WHERE alert_id >= $first");
			$node->stop($how);
			$writers->finish;
			sleep 0.3;
			$node->start;
			$connects++;
			$_->wait_for(sub { (() = $_[0] =~ /^connected$/mg) >= $connects }) for @listeners;
		}
		my $writers = writers(-t => 40);
		ok($writers->finish, "$language: writers come back");
		is(works_alone(@listeners) + works_alone(reverse @listeners), 2, "$language: each works when the other does not");

		my @all = split /\n/, $node->safe_psql('postgres', "SELECT alert_id FROM cx.alert WHERE alert_id >= $first");
		cmp_ok(scalar(@all), '>', 50, "$language: " . @all . ' alerts were raised');
		for my $listener (@listeners)
		{
			$listener->wait_for(sub { (() = $_[0] =~ /^raised /mg) >= @all });
			is(sorted($listener->said('raised')), sorted(@all), "$language: $listener->{name} has seen each of them, once");
		}
		# what was said last may still have to be acknowledged, or to be read
		for (1 .. 1200)
		{
			last if grep { !$_->{run}->pumpable } @listeners;
			$_->{run}->pump_nb for @listeners;
			last if (map { $_->said('handled') } @listeners) >= @all && $node->safe_psql('postgres', "SELECT count(*) FROM cx.alert WHERE state <> 'acknowledged'") eq '0';
			sleep 0.05;
		}
		is(sorted(map { $_->said('handled') } @listeners), sorted(@all), "$language: each was handled by one of them, once");
		is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT acknowledged_by), bool_and(acknowledged_by LIKE '$language-%') FROM cx.alert WHERE alert_id >= $first"),
			scalar(@all) . '|2|t', "$language: and acknowledged by them, both at work");
		is(scalar(grep { (() = $_->{out} =~ /^connected$/mg) == $connects } @listeners), 2, "$language: each connected anew after the restart and after the crash");
		is(scalar(grep { $_->end } @listeners), 2, "$language: both end by SIGTERM, with success") or diag map { $_->{err} } @listeners;

		# what comes in while nobody listens
		my @missed = split /\n/, $node->safe_psql('postgres', q{
			INSERT INTO cx.feedback (metric, score) SELECT 'nps', i FROM generate_series(0, 8) AS i;
			SELECT alert_id FROM cx.alert WHERE state = 'open';});
		is(scalar(@missed), 7, "$language: alerts come in while nobody listens");
		my $back = Listener->new("$language-1", @{ $program{$language} });
		$back->wait_for(sub { (() = $_[0] =~ /^handled /mg) >= @missed });
		is(sorted($back->said('raised')) . ' / ' . sorted($back->said('handled')), sorted(@missed) . ' / ' . sorted(@missed), "$language: a listener that comes back sees and handles these, and no other");
		ok($back->end, "$language: and ends");
	}
}

is($node->safe_psql('postgres', "SELECT count(*) FROM cx.feedback AS f FULL JOIN cx.alert AS a USING (feedback_id)
	WHERE coalesce(f.metric = 'nps' AND f.score <= 6, false) <> coalesce(a.state = 'acknowledged', false)"), '0', 'every detractor has its alert, acknowledged, and no other answer has one');

$node->stop;
done_testing();
