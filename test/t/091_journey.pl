# Journeys stay what the records are when the server crashes in the middle of folding and writing, when they are dumped and
# restored, when the extension goes and comes back, and when a store from before there were journeys is brought up to date.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use CxmListener;

my $node = PostgreSQL::Test::Cluster->new('journey');
$node->init;
# a crash of the server, not of the machine, so nothing has to reach the disk
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nclient_min_messages = warning\n");
$node->start;
my $dir = $node->basedir;

sub ask
{
	my ($database, $query) = @_;
	return $node->safe_psql($database, $query);
}

# one line for all journeys of a database
my $journeys = <<'SQL';
SELECT count(*), sum(cxm.count(j.journey)), md5(string_agg(j.profile_id || ' ' || j.journey::text, E'\n' ORDER BY j.profile_id)) FROM cxm.journeys() AS j
SQL
my $check = 'SELECT count(*) FROM cxm.journey_check()';

$node->safe_psql('postgres', 'CREATE DATABASE shop');
ask('shop', 'CREATE EXTENSION cxm');
ask('shop', "SELECT cxm.create_store('UTC')");
ask('shop', <<'SQL');
SELECT cxm.identify(jsonb_build_object('user_id', 'u' || i, 'email', 'c' || i / 2 || '@example.com')) FROM generate_series(1, 400) AS i;
INSERT INTO cx.event_type (key) SELECT 'e' || i FROM generate_series(1, 20) AS i;
INSERT INTO cx.touchpoint (key) VALUES ('web'), ('shop');

CREATE SCHEMA load;
-- a round of a writer: records come, change and go, some at steps that nobody has met
CREATE FUNCTION load.write(n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids CONSTANT bigint[] := ARRAY(SELECT i.identifier_id FROM cx.identifier AS i ORDER BY hashint8extended(i.identifier_id, n) LIMIT 10);
BEGIN
    INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id)
    SELECT now() - make_interval(hours => n % 500), u.id, 1 + (n + u.place) % 20, nullif(n % 3, 0) FROM unnest(v_ids) WITH ORDINALITY AS u(id, place);
    INSERT INTO cx.purchase (occurred_at, identifier_id, amount) SELECT now(), u.id, 1 FROM unnest(v_ids[1:3]) AS u(id);
    UPDATE cx.event SET occurred_at = occurred_at - interval '1 day', event_type_id = 1 + n % 20 WHERE identifier_id = v_ids[4] AND event_id % 3 = 0;
    DELETE FROM cx.event WHERE identifier_id = v_ids[5] AND event_id % 2 = 0;
    IF n % 7 = 0 THEN
        RAISE EXCEPTION 'this one is rolled back';
    END IF;
END
$$;
SQL
ask('shop', "SELECT count(*) FROM (SELECT load.write(i) FROM generate_series(1, 300) AS i WHERE i % 7 > 0) AS x");
is(ask('shop', $check), '0', 'journeys are what the records are');
cmp_ok(ask('shop', 'SELECT count(*) FROM cx.journey_delta'), '>', 1000, 'with much to fold');

# ---- crashes, in the middle of folding and writing

my $cut_off = 0;
for my $round (1 .. 4)
{
	my @running;
	my %statements = map { my $client = $_; ("writer$client" => join '', map { "SELECT load.write(" . (1000 * $round + 7919 * $client + $_) . ");\n" } 1 .. 5000) } 1 .. 3;
	$statements{folder} = "CALL cxm.fold_journeys(20);\n" x 20000;
	for my $name (sort keys %statements)
	{
		# each goes on after an error, and from the start, until the server is gone
		my $file = "$dir/${name}_$round";
		append_to_file("$file.sql", $statements{$name});
		push @running, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('shop'), ('-f', "$file.sql") x 20 ], '>', "$file.out", '2>', "$file.err");
	}
	sleep(1.0 + 0.3 * $round);
	# three crashes come when they come; at the last one a run stands in the middle of its work for sure
	my $locker = CxmListener->new($node, 'shop');
	if ($round == 4)
	{
		$locker->say('BEGIN; LOCK TABLE cx.journey IN SHARE MODE;');
		ask('shop', 'SELECT load.write(501)');
		$node->poll_query_until('shop', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'fold_journeys'")
			or fail('folding waits for a lock');
	}
	$node->stop('immediate');
	$locker->bury;
	$_->finish for @running;
	$node->start;

	is(ask('shop', $check), '0', "round $round: after the crash journeys are what the records are");
	$cut_off += ask('shop', "SELECT count(*) FROM cx.job_run WHERE job = 'fold_journeys' AND outcome = 'running'");
	my $before = ask('shop', $journeys);
	$node->safe_psql('shop', 'CALL cxm.fold_journeys()');
	is(ask('shop', $journeys), $before, "round $round: and folding the rest leaves them so");
	is(ask('shop', "SELECT (SELECT count(*) FROM cx.journey_delta), ($check)"), '0|0', "round $round: with nothing left to fold");
}
cmp_ok($cut_off, '>', 0, 'a run was cut off by a crash');
is(ask('shop', "SELECT count(*) FROM cx.job_run WHERE job = 'fold_journeys' AND outcome = 'running'"), '0', 'and is no longer said to be running');
is(ask('shop', 'SELECT count(*), count(DISTINCT (c.kind, c.event_type_id, c.metric, c.touchpoint_id)) FROM cx.journey_code AS c') =~ s/^(\d+)\|\1$/same/r, 'same', 'a step has one code');

# ---- dump and restore, folded and not

ask('shop', "SELECT load.write(5001), load.write(5002)");
my $before = ask('shop', $journeys);
cmp_ok(ask('shop', 'SELECT count(*) FROM cx.journey_delta'), '>', 10, 'some changes are not folded');
run_log([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", '-d', $node->connstr('shop') ]) or fail('pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
run_log([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), "$dir/shop.dump" ]) or fail('pg_restore');
is(ask('copy', $journeys), $before, 'restored, journeys are the same');
is(ask('copy', $check), '0', 'and what the records are');
ask('copy', 'SELECT load.write(6001), load.write(6002)');
$node->safe_psql('copy', 'CALL cxm.fold_journeys()');
is(ask('copy', $check), '0', 'also after writing and folding there');
is(ask('copy', 'SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound');

# ---- the extension goes and comes back

$node->safe_psql('copy', 'DROP EXTENSION cxm CASCADE');
ask('copy', "INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) SELECT now(), i.identifier_id, 1 FROM cx.identifier AS i LIMIT 10");
ask('copy', 'CREATE EXTENSION cxm');
ask('copy', 'SELECT cxm.upgrade_store()');
is(ask('copy', $check), '0', 'what was written without the extension is in the journeys');
is(ask('copy', 'SELECT cxm.restore_journeys()'), '0', 'once more, nothing is left to do');

# ---- a store from before there were journeys

my $triggers = "SELECT t.tgrelid::regclass, pg_get_triggerdef(t.oid) FROM pg_trigger AS t WHERE t.tgname ~ '^journey_' ORDER BY 1, 2";
my $columns = "SELECT c.oid::regclass, a.attname, a.atttypid::regtype, a.attnotnull, col_description(c.oid, a.attnum) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'cx'::regnamespace AND c.relname ~ '^journey' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum";
my @shape = (ask('shop', $triggers), ask('shop', $columns));
$before = ask('shop', 'SELECT count(*) FROM cxm.journeys()');
ask('shop', <<'SQL');
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT x.tgrelid::regclass AS of, x.tgname FROM pg_trigger AS x WHERE x.tgname ~ '^journey_' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.of);
    END LOOP;
END
$$;
DROP TABLE cx.journey, cx.journey_delta, cx.journey_code_entry, cx.journey_stage CASCADE;
SQL
ask('shop', 'SELECT load.write(7001)');
is(ask('shop', 'SELECT cxm.upgrade_store() = cxm.version()'), 't', 'a store without journeys is brought up to date');
is(ask('shop', $check), '0', 'journeys are what the records are');
is(ask('shop', 'SELECT count(*) FROM cxm.journeys()'), $before, 'of as many customers');
is(ask('shop', $triggers), $shape[0], 'with all triggers');
is(ask('shop', $columns), $shape[1], 'and tables');
ask('shop', 'SELECT load.write(7002)');
is(ask('shop', $check), '0', 'and it goes on');

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected|PANIC|TRAP:/, 'no deadlock and no panic in the log of the server');
$node->stop;
done_testing();
