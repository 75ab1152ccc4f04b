# Many clients at once send overlapping messages about overlapping people, in single calls and in batches, while
# upkeep runs and links are taken back. What is in the store afterwards is compared with what was sent.
#
# SECONDS_, where it is set, is how long they send: more for a soak.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use CxmLoad qw(components partition_of_store differences);

# a number of transactions, for what there must be afterwards does not depend on how fast they are
my @length = $ENV{SECONDS_} ? ('-T', $ENV{SECONDS_}) : ('-t', 400);

my $node = PostgreSQL::Test::Cluster->new('concurrency');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
max_connections = 30
deadlock_timeout = 100ms
timezone = 'UTC'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cxm');
$node->safe_psql('postgres', 'SELECT cxm.create_store()');
$node->safe_psql('postgres', $CxmLoad::sql);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE load.single (m integer, record_id bigint);
CREATE TABLE load.batch (first integer, size integer, sent bigint, accepted bigint, duplicates bigint, rejected bigint);
CREATE TABLE load.retired (m integer, links bigint);
SQL

# Each transaction is one statement: such callers must never deadlock.
my %scripts = (
	'single@8' => <<'SQL',
\set m random(1, 4000)
INSERT INTO load.single SELECT m, load.send(m) FROM (SELECT :m + CASE WHEN load.is_bad(:m) THEN 1 ELSE 0 END AS m) AS x;
SQL
	'batch@3' => <<'SQL',
\set first random(1, 4000)
\set size random(2, 30)
\set seed random(1, 1000000)
INSERT INTO load.batch SELECT :first, :size, b.* FROM load.send_batch(:first, :size, :seed) AS b;
SQL
	'retire@2' => <<'SQL',
\set m 4 * random(0, 1000) + 3
INSERT INTO load.retired SELECT :m, cxm.retire_stale_links(cxm.source_id('load'), ARRAY['m' || :m], NULL, 'test');
SQL
	'read@2' => <<'SQL',
SELECT count(*) FROM cx.event WHERE occurred_at >= '2021-01-01' AND occurred_at < '2021-03-01';
SQL
	'partitions@1' => "CALL cxm.maintain_partitions();\n",
	'rejections@1' => "CALL cxm.replay_rejections(3);\n",
	'feedback@1'   => <<'SQL',
INSERT INTO cx.feedback (metric, score, occurred_at) SELECT 'csat', 5, timestamptz '1999-05-05' FROM generate_series(1, 3);
SQL
);
my @files;
for my $name (sort keys %scripts)
{
	(my $file = $name) =~ s/@.*//;
	my $path = $node->basedir . "/$file.sql";
	append_to_file($path, $scripts{$name});
	push @files, '-f', $path . ($name =~ /(@\d+)$/)[0];
}
local $ENV{PGOPTIONS} = '-c client_min_messages=error';
my ($out, $err) = ('', '');
my $fine = IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 2, @length, @files, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$out, '2>', \$err);
my ($done) = $out =~ /transactions actually processed: (\d+)/;
ok($fine, 'no client was ever refused') or diag $out, $err;
cmp_ok($done // 0, '>', 100, 'transactions were done');
note "$done transactions";

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'single calls never deadlock');
my @errors = $log =~ /^.*(?:ERROR|FATAL|PANIC): .*$/mg;
is(scalar @errors, 0, 'no error in the log of the server') or diag join "\n", @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ];

sub ask { my ($query) = @_; return $node->safe_psql('postgres', $query); }

# what was sent, good messages only
ask(<<'SQL');
CREATE TABLE load.sent AS
SELECT m FROM load.single
UNION
SELECT m FROM load.batch AS b, generate_series(b.first, b.first + 4 * b.size) AS m WHERE load.kind(m) = load.kind(b.first) AND NOT load.is_bad(m)
SQL
is(ask('SELECT count(*) - count(DISTINCT m) FROM load.sent'), '0', 'each sent message is listed once');
is(ask(<<'SQL'), '0', 'every message that was sent is stored, and no other');
SELECT count(*) FROM load.sent AS s FULL JOIN cx.message AS k ON k.message_id = 'm' || s.m AND k.kind = load.kind(s.m)
WHERE s.m IS NULL OR k.message_id IS NULL
SQL
is(ask(<<'SQL'), '0', 'and stored once, as what it is');
SELECT count(*) FROM load.sent JOIN cx.message AS k ON k.message_id = 'm' || m AND k.kind = load.kind(m)
WHERE 1 <> CASE k.kind
    WHEN 'event' THEN (SELECT count(*) FROM cx.event AS e WHERE e.event_id = k.record_id AND e.occurred_at = load.at(m))
    WHEN 'feedback' THEN (SELECT count(*) FROM cx.feedback AS f WHERE f.feedback_id = k.record_id AND f.occurred_at = load.at(m) AND f.score = m % 11)
    ELSE (SELECT count(*) FROM cx.trait AS t WHERE t.trait_id = k.record_id AND t.traits = jsonb_build_object('number', m)) END
SQL
for my $table ([ event => 'event', 'cx.event' ], [ feedback => 'feedback', "cx.feedback WHERE metric = 'nps'" ], [ traits => 'trait', 'cx.trait' ])
{
	my ($kind, undef, $from) = @$table;
	is(ask("SELECT count(*) FROM $from"), ask("SELECT count(*) FROM load.sent WHERE load.kind(m) = '$kind'"), "as many rows in $from as messages");
}
is(ask(<<'SQL'), '0', 'every call was told the record that is stored');
SELECT count(*) FROM load.single AS s JOIN cx.message AS k ON k.message_id = 'm' || s.m WHERE k.record_id IS DISTINCT FROM s.record_id
SQL
is(ask('SELECT count(*) FROM load.batch WHERE sent <> accepted + duplicates + rejected'), '0', 'the counts of every batch add up');
is(ask('SELECT count(*) FROM cx.rejection'), ask('SELECT coalesce(sum(rejected), 0) FROM load.batch'), 'every refused record is kept');
cmp_ok(ask('SELECT count(*) FROM cx.rejection'), '>', 0, 'and there were some');
is(ask(<<'SQL'), '0', 'one alert a detractor, and no other');
SELECT count(*) FROM (SELECT feedback_id FROM cx.feedback WHERE metric = 'nps' AND score <= 6) AS f FULL JOIN cx.alert AS a USING (feedback_id)
WHERE f.feedback_id IS NULL OR a.alert_id IS NULL
SQL
is(ask('SELECT count(*) - count(DISTINCT feedback_id) FROM cx.alert'), '0', 'no alert twice');
is(ask('SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound') or diag ask('SELECT * FROM cxm.store_check()');
is(ask("SELECT count(*) FROM cx.job_run WHERE outcome NOT IN ('done', 'skipped')"), '0', 'no run of upkeep failed')
  or diag ask("SELECT * FROM cx.job_run WHERE outcome NOT IN ('done', 'skipped') LIMIT 5");

# who is who, worked out from the messages alone; a statement that was taken back after it came counts no more
my %retired = map { $_ => 1 } split /\n/, ask('SELECT DISTINCT m FROM load.retired WHERE links > 0');
my @pairs;
for my $line (split /\n/, ask('SELECT m, load.identifiers(m) ->> \'email\', load.identifiers(m) ->> \'device_id\', load.identifiers(m) ->> \'phone\' FROM load.sent'))
{
	my ($m, @names) = split /\|/, $line;
	@names = grep { defined && $_ ne '' } @names;
	push @pairs, $retired{$m} ? map { [ $_, $_ ] } @names : map { [ $names[0], $_ ] } @names;
}
my $got = partition_of_store(ask('SELECT i.value, p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)'));
my $expected = components(\@pairs);
is_deeply([ differences($got, $expected) ], [], 'people are who the messages say');
my %groups;
$groups{$_}++ for values %$expected;
cmp_ok(scalar(grep { $_ > 3 } values %groups), '>', 10, 'which joined many');
cmp_ok(scalar(keys %retired), '>', 0, 'and links were taken back');

# the default partitions empty themselves once nobody is in the way, such as autovacuum
my $waiting = 'SELECT (SELECT count(*) FROM cx.event_default) + (SELECT count(*) FROM cx.feedback_default)';
for (1 .. 20)
{
	ask('CALL cxm.maintain_partitions()');
	last if ask($waiting) eq '0';
}
is(ask($waiting), '0', 'upkeep empties the default partitions');
is(ask('SELECT count(*) FROM cxm.store_check()'), '0', 'and the store is still sound');

$node->stop;
done_testing();
