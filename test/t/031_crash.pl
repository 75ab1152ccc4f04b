# The server is killed while clients send single calls and batches. What it acknowledged is there after the
# restart, nothing else is there by half, and sending everything again stores nothing twice.
#
# SECONDS_ is how long clients send before each of the kills: 1, or more for a soak.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use CxmLoad qw(components partition_of_store differences);

my $seconds = $ENV{SECONDS_} // 1;
my $clients = 4;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
# without fsync a kill of the server, unlike one of the machine, still loses nothing
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 30\ntimezone = 'UTC'\ndeadlock_timeout = 100ms\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cxm');
$node->safe_psql('postgres', 'SELECT cxm.create_store()');
$node->safe_psql('postgres', $CxmLoad::sql);

sub ask { my ($query) = @_; return $node->safe_psql('postgres', $query); }

# A client: a psql that sends one statement after the other, each its own transaction, writes down what was answered,
# and dies of the server.
sub send_until_killed
{
	my ($client, $round) = @_;
	my $sql = '';
	for my $i (1 .. 4000)
	{
		# clients share every other message
		my $m = 1 + ($i % 2 ? 4 * 5000 * $client : 0) + $round * 900 + int($i * 1.7) % 3000;
		if ($i % 5 == 0)
		{
			my $size = 3 + $i % 20;
			$sql .= "SELECT 'batch', $m, $size, sent = accepted + duplicates + rejected FROM load.send_batch($m, $size, $i);\n";
		}
		else
		{
			$sql .= "SELECT 'single', $m, load.send($m) WHERE NOT load.is_bad($m);\n";
		}
	}
	my $file = $node->basedir . "/client_${round}_$client";
	append_to_file("$file.sql", $sql);
	my %client = (out => "$file.out", err => "$file.err");
	# again and again: no client may be done before the server is killed
	$client{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), ('-f', "$file.sql") x 100 ],
		'>', $client{out}, '2>', $client{err});
	return \%client;
}

my (%acknowledged, %told);
my $lines = 0;
for my $round (0 .. 2)
{
	my @clients = map { send_until_killed($_, $round) } 1 .. $clients;
	my $until = time + $seconds;
	my $limit = time + $seconds + 180;

	# kill in mid-load: after some time, but not before each client was answered
	sleep 0.02 while time < $limit && (time < $until || grep { !-s $_->{out} } @clients);
	$node->stop('immediate');
	for my $client (@clients)
	{
		$client->{run}->finish;
		like(slurp_file($client->{err}), qr/terminat|closed the connection|connection to server was lost|shutdown/, "round $round: a client was cut off");

		# a line that was cut short was not acknowledged
		for my $line (slurp_file($client->{out}) =~ /^(.*)\n/mg)
		{
			$lines++;
			if ($line =~ /^single\|(\d+)\|(\d+)$/)
			{
				$acknowledged{$1} = 1;
				$told{$1} = $2;
			}
			elsif ($line =~ /^batch\|(\d+)\|(\d+)\|t$/)
			{
				$acknowledged{$_} = 1 for grep { $_ % 4 == $1 % 4 } $1 .. $1 + 4 * $2;
			}
			else
			{
				fail("an answer that makes sense: $line");
			}
		}
	}
	$node->start;
	is(ask('SELECT count(*) FROM cxm.store_check()'), '0', "round $round: the store is sound after the crash")
	  or diag ask('SELECT * FROM cxm.store_check()');
}
cmp_ok($lines, '>', 3 * $clients, "$lines calls were acknowledged");

ask('CREATE TABLE load.acknowledged (m integer, record_id bigint)');
ask('INSERT INTO load.acknowledged VALUES ' . join(', ', map { "($_, " . ($told{$_} // 'NULL') . ')' } sort { $a <=> $b } keys %acknowledged));
ask('DELETE FROM load.acknowledged WHERE load.is_bad(m)');

is(ask(<<'SQL'), '0', 'everything acknowledged is there');
SELECT count(*) FROM load.acknowledged AS a
WHERE NOT EXISTS (SELECT FROM cx.message AS k WHERE k.kind = load.kind(a.m) AND k.message_id = 'm' || a.m AND k.record_id = coalesce(a.record_id, k.record_id))
SQL

# whole records: with their identifiers, links, and alerts
my $half = <<'SQL';
SELECT (SELECT count(*) FROM cx.event) + (SELECT count(*) FROM cx.feedback) + (SELECT count(*) FROM cx.trait) - (SELECT count(*) FROM cx.message) AS unclaimed,
       (SELECT count(*) FROM cx.feedback AS f FULL JOIN cx.alert AS a USING (feedback_id) WHERE (f.feedback_id IS NULL OR f.score <= 6) AND (f.feedback_id IS NULL OR a.alert_id IS NULL)) AS alerts,
       (SELECT count(*) FROM cx.feedback AS f JOIN cx.alert AS a USING (feedback_id) WHERE f.score > 6) AS false_alerts,
       (SELECT count(*) FROM cx.message AS k CROSS JOIN LATERAL (SELECT substr(k.message_id, 2)::integer AS m) AS x
        CROSS JOIN LATERAL jsonb_each_text(load.identifiers(x.m)) AS e
        WHERE NOT EXISTS (SELECT FROM cx.identifier AS i WHERE i.namespace = e.key AND i.value = e.value)) AS identifiers,
       (SELECT count(*) - count(DISTINCT (kind, record_id)) FROM cx.message) AS twice
SQL
is(ask($half), '0|0|0|0|0', 'nothing is there by half, nothing twice');

sub people_are_right
{
	my ($name) = @_;
	my @pairs;
	for my $line (split /\n/, ask(<<'SQL'))
SELECT d ->> 'email', d ->> 'device_id', d ->> 'phone' FROM cx.message AS k CROSS JOIN LATERAL load.identifiers(substr(k.message_id, 2)::integer) AS d
SQL
	{
		my ($first, @others) = grep { $_ ne '' } split /\|/, $line;
		push @pairs, map { [ $first, $_ ] } @others;
	}
	my $got = partition_of_store(ask('SELECT i.value, p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)'));
	return is_deeply([ differences($got, components(\@pairs)) ], [], $name);
}
people_are_right('people are who the stored messages say');

# send all again: what was stored is known, what was not is taken now
my $before = ask('SELECT count(*) FROM cx.message');
my $alerts = ask('SELECT count(*) FROM cx.alert');
is(ask(<<'SQL'), '0', 'sent again, every acknowledged message has the record that it had');
SELECT count(*) FROM load.acknowledged AS a CROSS JOIN LATERAL load.send(a.m) AS again WHERE a.record_id <> again
SQL
is(ask('SELECT count(*) FROM cx.message'), $before, 'nothing was stored twice');
is(ask('SELECT count(*) FROM cx.alert'), $alerts, 'nobody was alerted twice');
is(ask($half), '0|0|0|0|0', 'and all is whole');
is(ask('SELECT count(*) FROM (SELECT load.send(m) FROM generate_series(30001, 30100) AS m WHERE NOT load.is_bad(m)) AS x'),
	ask('SELECT count(*) FROM generate_series(30001, 30100) AS m WHERE NOT load.is_bad(m)'), 'new messages go in');
people_are_right('and people are who all messages say');
is(ask('SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound');

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected|PANIC|TRAP:/, 'no deadlock and no panic in the log of the server');

$node->stop;
done_testing();
