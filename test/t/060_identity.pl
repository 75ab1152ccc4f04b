# Links, merges by hand, links taken back and changes of the rules, all at once, by many clients: nobody is refused, and
# afterwards people are who the live links and rules say, worked out anew from these. Then the server is killed in
# the midst of it, and people are still that.
#
# SECONDS_, where it is set, is how long they send, for each of the two mixes: more for a soak.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use CxmListener;
use CxmLoad qw(components partition_of_store differences identity_breaches);

# a number of transactions, for the oracle takes longer than they do
my @length = $ENV{SECONDS_} ? ('-T', $ENV{SECONDS_}) : ('-t', 400);

my $node = PostgreSQL::Test::Cluster->new('identity');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
max_connections = 30
deadlock_timeout = 100ms
timezone = 'UTC'
CONF
$node->start;

sub ask { my ($query) = @_; return $node->safe_psql('postgres', $query); }

my $setup = <<'SQL';
CREATE EXTENSION IF NOT EXISTS cxm;
SELECT cxm.create_store('UTC');
CREATE SCHEMA IF NOT EXISTS load;
CREATE OR REPLACE FUNCTION load.at(n integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE RETURN timestamptz '2024-01-01' + n % 1000 * interval '1 hour';

-- merges and separations by hand: what a clerk does in one transaction
CREATE OR REPLACE FUNCTION load.by_hand(a integer, b integer, kind text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_link bigint;
BEGIN
    LOCK TABLE cx.namespace IN ACCESS SHARE MODE;
    INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, observed_at)
    SELECT least(x.identifier_id, y.identifier_id), greatest(x.identifier_id, y.identifier_id), by_hand.kind, cxm.source_id('desk'), load.at(a)
    FROM cx.identifier AS x, cx.identifier AS y
    WHERE x.namespace = 'email' AND x.value = 'e' || a || '@x' AND y.namespace = 'email' AND y.value = 'e' || b || '@x' AND a <> b
    ON CONFLICT DO NOTHING
    RETURNING link_id INTO v_link;
    RETURN CASE WHEN v_link IS NOT NULL THEN cxm.resolve_links(ARRAY[v_link]) END;
END $$;

-- the same by what is made for it, where the two may be unknown, or one or kept apart already
CREATE OR REPLACE FUNCTION load.clerk(a integer, b integer, n integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF n % 2 = 0 THEN
        PERFORM cxm.merge('email', 'e' || a || '@x', 'email', 'e' || b || '@x', 'test');
    ELSE
        PERFORM cxm.unmerge('email', 'e' || a || '@x', 'email', 'e' || b || '@x', 'test');
    END IF;
EXCEPTION
    WHEN no_data_found OR invalid_parameter_value OR integrity_constraint_violation THEN
        NULL;
END $$;

CREATE OR REPLACE FUNCTION load.change_rule(most integer, links integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cxm.set_namespace('email', max_per_profile => CASE most WHEN 7 THEN 0 ELSE most END, max_links => links);
    RETURN (SELECT s.rules_version FROM cx.store AS s);
END $$;
SELECT cxm.source_id('desk'), cxm.source_id('load');
SQL

# a: one of so many addresses; each transaction is one statement
sub scripts
{
	my ($n) = @_;
	my $random = "\\set a random(1, $n)\n\\set b random(1, $n)\n\\set n random(1, 1000000)\n";
	return (
		'merge@20'  => "SELECT cxm.link('email', 'e' || :a || '\@x', 'email', 'e' || :b || '\@x', source => 'load', observed_at => load.at(:n)) WHERE :a <> :b;\n",
		'attach@40' => "SELECT cxm.link('email', 'e' || :a || '\@x', 'anonymous_id', 'v' || :n, source => 'load', observed_at => load.at(:n));\n",
		'phone@20'  => "SELECT cxm.link('email', 'e' || :a || '\@x', 'phone', '+4930' || 100000 + :b, source => 'load', observed_at => load.at(:n), verified => :n % 3 = 0);\n",
		'user@10'   => "SELECT cxm.identify(jsonb_build_object('user_id', 'u' || :b, 'email', 'e' || :a || '\@x'), at => load.at(:n), source => 'load', verified => true, message_id => 'm' || :n);\n",
		'batch@10'  => <<'SQL',
SELECT cxm.identify_batch((SELECT jsonb_agg(jsonb_build_object('message_id', 'b' || :n || '-' || g, 'at', load.at(:n + g),
           'identifiers', jsonb_build_object('email', jsonb_build_array('e' || 1 + (:a + g * g * :b) % :top || '@x', 'e' || 1 + (:b + g * :a) % :top || '@x'), 'device_id', 'd' || (:n + g) % 900)))
       FROM generate_series(1, 20) AS g), 'load');
SQL
		'set@5' => <<'SQL',
SELECT cxm.link_identifiers(cxm.source_id('load'), array_agg('email'::text ORDER BY v), array_agg(v ORDER BY v), array_agg(false), ARRAY[1, 1, 2, 2], ARRAY[2, 1, 1, 3],
           ARRAY[load.at(:n), load.at(:n + 1)], ARRAY['', 's'], ARRAY[false, true])
FROM (SELECT DISTINCT 'e' || 1 + x % :top || '@x' AS v FROM unnest(ARRAY[:a, :b, :n]) AS x) AS u HAVING count(*) = 3;
SQL
		'retire@15'  => "SELECT cxm.retire_links(ARRAY(SELECT l.link_id FROM cx.link AS l WHERE l.link_id BETWEEN x AND x + 2), 'test') FROM (SELECT floor(random() * last_value)::bigint AS x FROM cx.link_link_id_seq) AS s;\n",
		'withdraw@5' => "SELECT cxm.retire_stale_links(cxm.source_id('load'), ARRAY['m' || :n, 'b' || :n || '-3', 'b' || :n || '-4'], NULL, 'test');\n",
		'pin@4'      => "SELECT load.by_hand(:a, :b, 'pinned');\n",
		'never@4'    => "SELECT load.by_hand(:a, :b, 'never');\n",
		'clerk@4'    => "SELECT load.clerk(:a, :b, :n);\n",
		'rule@1'     => "SELECT load.change_rule(3 + :n % 5, 4 + :n % 9);\n",
		'read@4'     => "SELECT cxm.customer('email', 'e' || :a || '\@x');\n",
	), $random . "\\set top $n\n";
}

sub files
{
	my ($name, $n) = @_;
	my (%scripts, $head);
	my @scripts = scripts($n);
	$head = pop @scripts;
	%scripts = @scripts;
	my @files;
	for my $script (sort keys %scripts)
	{
		(my $file = $script) =~ s/@.*//;
		my $path = $node->basedir . "/${name}_$file.sql";
		append_to_file($path, $head . $scripts{$script});
		push @files, '-f', $path . ($script =~ /(@\d+)$/)[0];
	}
	return @files;
}

# the plain groups that links without any rule make, against the profiles: for when there is no rule
sub plain_breaches
{
	my @pairs = map { [ split /\|/ ] } split /\n/, ask(<<'SQL');
SELECT a.namespace || ':' || a.value, coalesce(b.namespace || ':' || b.value, a.namespace || ':' || a.value)
FROM cx.identifier AS a LEFT JOIN cx.link AS l ON l.identifier_a = a.identifier_id AND l.retired_at IS NULL AND l.kind <> 'never'
LEFT JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b
SQL
	my $got = partition_of_store(ask("SELECT i.namespace || ':' || i.value, p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)"));
	return differences($got, components(\@pairs));
}

my $logged = 0;
sub errors_in_log
{
	my $log = slurp_file($node->logfile);
	my @errors = substr($log, $logged) =~ /^.*(?:ERROR|FATAL|PANIC): .*$/mg;
	$logged = length $log;
	return @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ];
}

local $ENV{PGOPTIONS} = '-c client_min_messages=error';
for my $mix ([ uniform => 20000 ], [ hot => 400 ])
{
	my ($name, $n) = @$mix;
	ask('DROP SCHEMA cx CASCADE') if $name ne 'uniform';
	ask($setup);
	my ($out, $err) = ('', '');
	my $fine = IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 2, @length, files($name, $n), '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);
	my ($done) = $out =~ /transactions actually processed: (\d+)/;
	ok($fine, "$name: no client was ever refused") or diag $err;
	cmp_ok($done // 0, '>', 100, "$name: transactions were done");
	note "$name: $done transactions";
	is_deeply([ errors_in_log() ], [], "$name: no error in the log of the server, no deadlock among them");
	is_deeply([ identity_breaches(\&ask) ], [], "$name: people are who the live links and rules say");
	is(ask('SELECT count(*) FROM cxm.store_check()'), '0', "$name: the store is sound") or diag ask('SELECT * FROM cxm.store_check()');
	cmp_ok(ask('SELECT count(*) FROM cx.link WHERE retired_at IS NOT NULL'), '>', 10, "$name: links were taken back");
	cmp_ok(ask('SELECT count(*) FROM cx.link WHERE refused IS NOT NULL'), '>', 0, "$name: links were refused");
	cmp_ok(ask('SELECT rules_version FROM cx.store'), '>', 1, "$name: and rules changed meanwhile");

	# without rules, and without what people said by hand, it is plain union-find
	ask("SELECT cxm.retire_links(ARRAY(SELECT link_id FROM cx.link WHERE kind = 'never' AND retired_at IS NULL), 'test')");
	ask(<<'SQL');
BEGIN;
LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
UPDATE cx.namespace SET max_per_profile = NULL, is_unique = false, max_links = NULL;
UPDATE cx.store SET rules_version = rules_version + 1;
UPDATE cx.link SET verified = true WHERE kind = 'seen' AND retired_at IS NULL;
SELECT cxm.resolve_all();
COMMIT;
SQL
	is_deeply([ plain_breaches() ], [], "$name: without rules they are the groups that the links make");
}

# ---- killed in mid-resolve

ask('DROP SCHEMA cx CASCADE');
ask($setup);
ask(<<'SQL');
SELECT cxm.link_identifiers(cxm.source_id('load'), array_fill('email'::text, ARRAY[20000]), ARRAY(SELECT 'e' || g || '@x' FROM generate_series(1, 20000) AS g), array_fill(false, ARRAY[20000]),
    ARRAY(SELECT 1 + g / 2 FROM generate_series(0, 79999) AS g),
    ARRAY(SELECT (CASE g % 2 WHEN 0 THEN 1 + (g / 2 * 7919) % 20000 ELSE 1 + (g / 2 * 104729::bigint + g / 6) % 20000 END)::integer FROM generate_series(0, 79999) AS g),
    ARRAY(SELECT load.at(g) FROM generate_series(1, 40000) AS g), NULL, array_fill(true, ARRAY[40000])) IS NOT NULL
SQL
is_deeply([ identity_breaches(\&ask) ], [], 'before the kills people are who the links say');
# a session that counts what it changes stops at the hundredth row, for whoever holds lock 7
ask(<<'SQL');
CREATE FUNCTION load.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('load.changed', (current_setting('load.changed')::integer + 1)::text, false);
    IF current_setting('load.changed') = '100' THEN
        PERFORM pg_advisory_xact_lock(7);
    END IF;
    RETURN NEW;
END $$;
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['identifier', 'profile', 'link'] LOOP
        EXECUTE format('CREATE TRIGGER hold BEFORE UPDATE ON cx.%I FOR EACH ROW WHEN (current_setting(''load.changed'', true) <> '''') EXECUTE FUNCTION load.hold()', t);
    END LOOP;
END $$;
SQL
my @files = files('crash', 2000);
my $cut = 0;
for my $round (0 .. 1)
{
	my ($out, $err, $rule_out, $rule_err) = ('', '', '', '');
	my $locker = CxmListener->new($node, 'postgres');
	$locker->say('SELECT pg_advisory_lock(7);');
	my $last = ask('SELECT last_value FROM cx.link_link_id_seq');
	my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', 600, @files, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', "SELECT last_value > $last FROM cx.link_link_id_seq") or fail("round $round: clients link");

	# the limit of links is none that these clients set, so there is something to change
	my $rule = IPC::Run::start([ 'psql', '-Xqc', 'SET load.changed = 0; SELECT load.change_rule(' . (3 + $round) . ', 50)', '-d', $node->connstr('postgres') ], '>', \$rule_out, '2>', \$rule_err);
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = 7 AND NOT granted)")
	  or fail("round $round: a change of rules is in its midst");
	$node->stop('immediate');
	$bench->finish;
	$cut++ unless $rule->finish;
	$locker->bury;
	$node->start;
	is_deeply([ identity_breaches(\&ask) ], [], "round $round: people are who the live links and rules say after the crash");
	is(ask('SELECT count(*) FROM cxm.store_check()'), '0', "round $round: the store is sound");
}
is($cut, 2, 'a change of rules was cut off in each round');
isnt(ask("SELECT load.change_rule(2, 100)"), '', 'rules change again');
is_deeply([ identity_breaches(\&ask) ], [], 'and people are who they say');
# ---- a person who is linked to again and again: old versions of the row make room for new ones

ask('DROP SCHEMA cx CASCADE');
ask($setup);
ask(<<'SQL');
DO $$
BEGIN
    FOR i IN 1 .. 2000 LOOP
        PERFORM cxm.link('email', 'one@x', 'anonymous_id', 'w' || i, source => 'load');
        COMMIT;
    END LOOP;
END $$
SQL
is(ask("SELECT count(*) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = cxm.customer('email', 'one\@x')"), '2001', '2,000 links make one person');
cmp_ok(ask("SELECT pg_relation_size('cx.profile')"), '<=', 16384, 'whose row takes no more than two pages');

# ---- the number of a source is kept, till somebody changes the source

my $one = ask("SELECT cxm.customer('email', 'one\@x')");
my $elsewhere = "\\! psql -XAtqd \"" . $node->connstr('postgres') . "\" -c";
my $numbers = ask(<<SQL);
SELECT cxm.link('email', 'one\@x', 'anonymous_id', 's' || n, source => 'till') = $one FROM generate_series(1, 2) AS n;
$elsewhere "UPDATE cx.source SET source = 'old till' WHERE source = 'till'"
SELECT cxm.link('email', 'one\@x', 'anonymous_id', 's3', source => 'till') = $one;
SELECT cxm.link('email', 'one\@x', 'anonymous_id', 's4', source => 'till') = $one;
BEGIN;
UPDATE cx.source SET source = 'new till' WHERE source = 'till';
SELECT cxm.link('email', 'one\@x', 'anonymous_id', 's5', source => 'new till') = $one;
ROLLBACK;
SELECT cxm.link('email', 'one\@x', 'anonymous_id', 's6', source => 'new till') = $one;
SELECT string_agg(i.value || ' ' || s.source, ', ' ORDER BY i.value) FROM cx.link AS l JOIN cx.source AS s USING (source_id)
JOIN cx.identifier AS i ON i.identifier_id = l.identifier_b WHERE i.value ~ '^s[0-9]\$';
SQL
like($numbers, qr/^(?:t\n){6}s1 old till, s2 old till, s3 till, s4 till, s6 new till\z/, 'links are of the source that has the name when they are made');

unlike(slurp_file($node->logfile), qr/deadlock detected|PANIC|TRAP:/, 'no deadlock and no panic in the log of the server');

$node->stop;
done_testing();
