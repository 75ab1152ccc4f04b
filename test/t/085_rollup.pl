# Rollups while many write, fold, count anew and are killed, and through dumps: in every snapshot each rollup says what
# a plain query over its source says.
#
# ROUNDS (2) kills; SECONDS_ (2) of random writing before each. SEED makes the same statements again.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{ROUNDS} // 2;
my $seconds = $ENV{SECONDS_} // 2;
my $seed = $ENV{SEED} // 20260329;
my $writers = 4;
note "SEED=$seed";
srand $seed;

my $node = PostgreSQL::Test::Cluster->new('rollup');
$node->init;
# without fsync a kill of the server, unlike one of the machine, still loses nothing
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 40\ntimezone = 'UTC'\ndeadlock_timeout = 100ms\n");
$node->start;

sub ask { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }

ask(<<'SQL');
CREATE EXTENSION cxm;
SELECT cxm.create_store('Europe/Berlin');
CREATE TABLE visit (id integer, at timestamptz NOT NULL, shop text, score integer, paid numeric(8, 2)) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01Z') TO ('2026-03-01Z');
CREATE TABLE visit_2 (paid numeric(8, 2), score integer, at timestamptz NOT NULL, id integer, shop text);
ALTER TABLE visit ATTACH PARTITION visit_2 FOR VALUES FROM ('2026-03-01Z') TO ('2026-05-01Z');
INSERT INTO visit SELECT i, timestamptz '2026-01-02Z' + i % 110 * interval '1 day', 's' || i % 3, i % 11, i FROM generate_series(1, 3000) AS i;
INSERT INTO cx.feedback (occurred_at, metric, score, identifier_id, location_id)
SELECT timestamptz '2026-01-02Z' + i % 110 * interval '1 day', 'nps', i % 11, NULL, i % 4 FROM generate_series(1, 500) AS i;
SELECT cxm.create_rollup('by_week', 'visit', 'at', 'week', dimensions => '["shop"]', week_start => 7,
    measures => '{"nps": {"nps": "score"}, "paid": {"sum": "paid"}, "visits": {"count": "*"}, "good": {"count": "*", "filter": "score >= 9"}}');
SELECT cxm.create_rollup('hot', 'visit', 'at', 'year', measures => '{"visits": {"count": "*"}}');
SELECT cxm.create_rollup('nps', 'cx.feedback', 'occurred_at', 'month', dimensions => '["location_id", "identifier_id"]',
    measures => '{"nps": {"nps": "score"}}', filter => 'metric = ''nps''');

-- what plain queries say, without cxm
CREATE VIEW plain_week AS
SELECT (date_trunc('week', at AT TIME ZONE 'Europe/Berlin' + interval '1 day') - interval '1 day') AT TIME ZONE 'Europe/Berlin' AS period, shop,
       count(*) FILTER (WHERE score >= 9) - count(*) FILTER (WHERE score <= 6) AS net, count(score) AS scored, sum(paid) AS paid, count(*) AS visits, count(*) FILTER (WHERE score >= 9) AS good
FROM visit GROUP BY 1, 2;
CREATE VIEW plain_hot AS SELECT date_trunc('year', at, 'Europe/Berlin') AS period, count(*) AS visits FROM visit GROUP BY 1;
CREATE VIEW plain_nps AS
SELECT date_trunc('month', occurred_at, 'Europe/Berlin') AS period, location_id, identifier_id, count(*) FILTER (WHERE score >= 9) AS promoters, count(*) FILTER (WHERE score <= 6) AS detractors, count(score) AS n
FROM cx.feedback WHERE metric = 'nps' GROUP BY 1, 2, 3;
CREATE VIEW differs AS
SELECT 'by_week' AS rollup, count(*) AS n FROM (
    (SELECT period, shop, nps_promoters - nps_detractors, nps_count, paid, visits, good FROM cx.by_week EXCEPT ALL TABLE plain_week)
    UNION ALL
    (TABLE plain_week EXCEPT ALL SELECT period, shop, nps_promoters - nps_detractors, nps_count, paid, visits, good FROM cx.by_week)) AS d
UNION ALL
SELECT 'hot', count(*) FROM ((TABLE cx.hot EXCEPT ALL TABLE plain_hot) UNION ALL (TABLE plain_hot EXCEPT ALL TABLE cx.hot)) AS d
UNION ALL
SELECT 'nps', count(*) FROM (
    (SELECT period, location_id, identifier_id, nps_promoters, nps_detractors, nps_count FROM cx.nps EXCEPT ALL TABLE plain_nps)
    UNION ALL
    (TABLE plain_nps EXCEPT ALL SELECT period, location_id, identifier_id, nps_promoters, nps_detractors, nps_count FROM cx.nps)) AS d;
SQL

my $differs = 'SELECT coalesce(sum(n), -1) FROM differs';
my $checks = "SELECT (SELECT count(*) FROM cxm.rollup_check('by_week')) + (SELECT count(*) FROM cxm.rollup_check('hot')) + (SELECT count(*) FROM cxm.rollup_check('nps'))";
is(ask($differs), 0, 'the rollups say what plain queries say');

sub pick { return $_[ int rand @_ ]; }

# a statement of a writer; an id that another writer has, too, makes them wait for each other
sub statement
{
	my ($day, $id, $shop, $score) = (int rand 115, int rand 6000, 's' . int rand 4, int rand 11);
	my $at = "timestamptz '2026-01-02Z' + $day * interval '1 day'";
	my $person = int rand 30;
	return pick(
		"INSERT INTO visit VALUES ($id, $at, '$shop', $score, $id)",
		"INSERT INTO visit SELECT $id + i, $at, CASE WHEN i > 3 THEN '$shop' END, nullif(i % 11, 5), i FROM generate_series(1, 20) AS i",
		"INSERT INTO visit_2 (id, at, shop, score, paid) VALUES ($id, '2026-04-02Z', '$shop', $score, 1)",
		"UPDATE visit SET score = 10 - score, paid = paid + 0.01 WHERE id BETWEEN $id AND $id + 5",
		"UPDATE visit SET at = $at, shop = '$shop' WHERE id BETWEEN $id AND $id + 3",
		"UPDATE visit SET id = id WHERE id < 100",
		"DELETE FROM visit WHERE id BETWEEN $id AND $id + 4",
		"DELETE FROM visit_1 WHERE id = $id",
		"SELECT cxm.record_feedback('nps', $score, '{\"email\": \"p$person\@example.org\"}', at => '2026-02-03Z')",
		"DELETE FROM cx.feedback WHERE identifier_id = $person",
		"UPDATE cx.feedback SET location_id = $score % 4 WHERE feedback_id % 50 = $person",
		"SELECT cxm.link('email', 'p$person\@example.org', 'email', 'p" . int(rand 30) . "\@example.org')",
		"SELECT cxm.retire_links(ARRAY(SELECT link_id FROM cx.link WHERE retired_at IS NULL LIMIT 1), 'test')");
}

# psql that does all this again and again: more than there is time for
sub start_psql
{
	my ($name, $sql) = @_;
	my $file = $node->basedir . "/$name";
	unlink "$file.sql", "$file.out", "$file.err";
	append_to_file("$file.sql", $sql);
	return { name => $name, out => "$file.out", err => "$file.err",
		run => IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), ('-f', "$file.sql") x 20 ], '>', "$file.out", '2>', "$file.err") };
}

sub writer
{
	my ($number) = @_;
	my $sql = "SET client_min_messages = error;\n";
	for (1 .. 1500)
	{
		my $level = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
		$sql .= "BEGIN ISOLATION LEVEL $level;\n" . join('', map { statement() . ";\n" } 1 .. 1 + rand 3);
		$sql .= "SAVEPOINT a;\n" . statement() . ";\nROLLBACK TO a;\n" if rand() < 0.2;
		$sql .= (rand() < 0.8 ? 'COMMIT' : 'ROLLBACK') . ";\nSELECT 'went on';\n";
	}
	return $sql;
}

for my $round (1 .. $rounds)
{
	# one is counted for the first time meanwhile, in many parts
	ask("SELECT cxm.drop_rollup('late') FROM cx.rollup WHERE name = 'late'");
	ask("SELECT cxm.create_rollup('late', 'visit', 'at', 'day', dimensions => '[\"shop\"]', measures => '{\"nps\": {\"nps\": \"score\"}, \"paid\": {\"sum\": \"paid\"}}', backfill => false)");
	my $quiet = "SET client_min_messages = error;\n";
	my @running = map { start_psql("writer$_", writer($_)) } 1 .. $writers;
	my $counter = start_psql('counter', $quiet . "CALL cxm.backfill_rollup('late', 100);\nSELECT 'went on';\n" x 200);
	push @running, $counter, start_psql('folder', $quiet . "CALL cxm.fold_rollups();\nCALL cxm.backfill_rollup('by_week', 500);\nSELECT 'went on';\n" x 3000);
	my $reader = start_psql('reader', join '', map { "BEGIN ISOLATION LEVEL $_;\n$differs;\nSELECT pg_sleep(0.01) IS NULL AND false;\n$checks;\n$differs;\nCOMMIT;\n" } ('REPEATABLE READ', 'READ COMMITTED') x 1000);
	my $until = time + $seconds;
	my $limit = time + $seconds + 180;

	# kill in mid-load, but not before each has done something, and the reader has seen a snapshot to its end
	sleep 0.05 while time < $limit && (time < $until || (grep { !-s $_->{out} } @running) || (() = slurp_file($reader->{out}) =~ /^-?\d+\n/mg) < 3);
	$node->stop('immediate');
	$_->{run}->finish for @running, $reader;
	for my $client (@running, $reader)
	{
		my $errors = slurp_file($client->{err});
		$errors =~ s/^.*(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+|  *\^|PL\/pgSQL|SQL statement).*\n//mg;
		my @unexpected = grep { !/could not serialize|deadlock detected|moved to another partition|current transaction is aborted|terminat|closed the connection|connection to server|shut ?down|crash|server closed|before or while|lost|retire|savepoint|link/i && /ERROR/ } split /\n/, $errors;
		is("@unexpected", '', "round $round: $client->{name} failed of nothing but the kill and of waiting in a circle");
	}
	my @found = slurp_file($reader->{out}) =~ /^(-?\d+)\n/mg;
	cmp_ok(scalar @found, '>=', 3, "round $round: snapshots were looked at: " . @found);
	is((grep { $_ ne 0 } @found) + 0, 0, "round $round: in each, rollups and plain queries agreed");

	$node->start;
	is(ask($differs), 0, "round $round: after the crash they agree");
	is(ask($checks), 0, "round $round: and cxm.rollup_check() finds nothing");
	ask('SET client_min_messages = error; CALL cxm.fold_rollups()');
	is(ask($differs), 0, "round $round: nor after a fold");
	ask("SET client_min_messages = error; CALL cxm.backfill_rollup('late', 100)");
	is(ask("SELECT count(*) FROM cxm.rollup_check('late')"), 0, "round $round: the one that was being counted is whole");
	is(ask("SELECT string_agg(problem, '; ') FROM cx.rollup_status"), '', "round $round: no problem is known");
}

# ---- dumps

ask("INSERT INTO visit SELECT i, '2026-02-02Z', 's9', i % 11, i FROM generate_series(1, 20) AS i");
my $dir = $node->basedir;
my $port = $node->port;
my @to = ('-h', $node->host, '-p', $port);

sub restore
{
	my ($name, @steps) = @_;
	ask("CREATE DATABASE $name TEMPLATE template0");
	for my $step (@steps)
	{
		my ($dump, $restore) = @$step;
		my ($out, $err) = ('', '');
		ok(IPC::Run::run([ 'pg_dump', @to, '-Fc', '-f', "$dir/$name.dump", @$dump, 'postgres' ], '>', \$out, '2>', \$err), "$name: dumped") or diag $err;
		ok(IPC::Run::run([ 'pg_restore', @to, '--exit-on-error', '-d', $name, @$restore, "$dir/$name.dump" ], '>', \$out, '2>', \$err), "$name: restored") or diag $err;
	}
	is(ask($differs, $name), 0, "$name: the rollups say what plain queries say");
	is(ask($checks, $name), 0, "$name: and cxm.rollup_check() finds nothing");
	ask("INSERT INTO visit VALUES (1, '2026-02-02Z', 's0', 0, 1); UPDATE visit SET score = 10 WHERE score = 9; DELETE FROM visit WHERE shop = 's9'; SET client_min_messages = error; CALL cxm.fold_rollups();", $name);
	is(ask($differs, $name), 0, "$name: they go on");
	is(ask("SELECT string_agg(problem, '; ') FROM cx.rollup_status", $name), '', "$name: no problem is known");
	return;
}

restore('whole', [ [], [] ]);
restore('in_parts', [ ['--schema-only'], [] ], [ ['--data-only'], [] ]);
restore('in_parts_quiet', [ ['--schema-only'], [] ], [ ['--data-only'], ['--disable-triggers'] ]);

$node->stop;
done_testing();
