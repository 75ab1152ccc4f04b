# A filled store goes through pg_dump and pg_restore: the same rows, the same answers, the user's own index, column,
# trigger, policy and view still there, nobody told a second time, and ingest goes on where it was.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\n");
$node->start;
my $dir = $node->basedir;

sub ask
{
	my ($database, $query) = @_;
	return $node->safe_psql($database, $query);
}

# run COMMAND...: it must succeed without a warning other than $expected
my $expected = qr/(?!)/;
sub run_ok
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	my $fine = IPC::Run::run(\@command, '>', \$out, '2>', \$err);
	ok($fine && $err =~ /\A(?:$expected)*\z/, $name) or diag "@command\n$out$err";
	return;
}

# A listener: psql on two pipes. What it was told comes with the answer to its next statement.
sub listener
{
	my ($database) = @_;
	my %l = (in => "LISTEN cxm_alert;\n\\echo listening\n", out => '', err => '');
	$l{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database) ], '<', \$l{in}, '>', \$l{out}, '2>', \$l{err},
		IPC::Run::timeout(180));
	$l{run}->pump until $l{out} =~ /^listening$/m;
	return \%l;
}

sub told
{
	my ($l) = @_;
	$l->{n}++;
	$l->{in} .= "SELECT 'asked $l->{n}';\n";
	$l->{run}->pump until $l->{out} =~ /^asked $l->{n}$/m;
	# a notification that arrives with the answer is printed behind it
	$l->{in} .= "SELECT 'again $l->{n}';\n";
	$l->{run}->pump until $l->{out} =~ /^again $l->{n}$/m;
	return scalar(() = $l->{out} =~ /Asynchronous notification "cxm_alert"/g);
}

# ---- a store that was filled by every way in

$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', 'CREATE ROLE reporter');
$node->safe_psql('postgres', 'CREATE ROLE sender');
ask('shop', 'CREATE EXTENSION cxm');
ask('shop', "SELECT cxm.create_store('Europe/Berlin', 7)");
ask('shop', "SELECT cxm.grant_store('reporter', 'reader'), cxm.grant_store('sender', 'writer')");
ask('shop', <<'SQL');
SELECT cxm.add_namespace('twitter', 90);
SELECT cxm.add_metric('effort', 'ces', 1, 5, 'How hard was it?');
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6, owner => 'care');
SELECT cxm.add_alert_rule('refund', search => 'refund', severity => 'critical');
SELECT cxm.change_alert_rule('refund', '{"severity": "low"}');
SQL

# single calls and batches, some refused, some far back in time
ask('shop', <<'SQL');
SELECT cxm.identify('{"email": "ann@example.com", "user_id": "u1", "twitter": "@ann"}', '{"name": "Ann"}', message_id => 'i1');
SELECT cxm.track('view', '{"anonymous_id": "v1"}', touchpoint => 'shop', source => 'web', message_id => 'e1');
SELECT cxm.track('sign in', '{"anonymous_id": "v1", "user_id": "u1"}', at => '2019-03-03', source => 'web', message_id => 'e2');
SELECT cxm.record_feedback('nps', 3, '{"email": "ann@example.com"}', 'I want a refund', touchpoint => 'delivery', source => 'web', message_id => 'f1');
SELECT cxm.receive_message('email', 'Where is it?', '{"email": "ann@example.com"}', source => 'mailbox', external_id => 'm1', at => '2019-03-04');
SELECT cxm.add_note(1, 'lost', 'anna'), cxm.send_message(1, 'On its way', 'anna');
SELECT cxm.acknowledge_delivery(delivery_id, 'p1') FROM cxm.claim_deliveries(1, 'mailer', 'email');
SELECT cxm.set_conversation_state(1, 'closed', 'anna');
SELECT cxm.record_purchase(12.5, '{"user_id": "u1"}', order_id => 'o1', product => 'mug', currency => 'EUR', at => '2018-12-31 23:30+00', source => 'shop', message_id => 'p1');
SELECT cxm.record_feedback_batch((SELECT jsonb_agg(jsonb_build_object('metric', 'nps', 'score', i % 12, 'message_id', 'b' || i, 'product', 'p' || i % 5,
    'touchpoint', 't' || i % 3, 'identifiers', jsonb_build_object('email', 'c' || i % 40 || '@example.com'), 'at', now() - make_interval(days => i))) FROM generate_series(1, 300) AS i), 'survey');
SELECT cxm.track_batch((SELECT jsonb_agg(jsonb_build_object('event', 'view', 'message_id', 'v' || i, 'identifiers', jsonb_build_object('device_id', 'd' || i % 50,
    'email', 'c' || i % 40 || '@example.com'), 'at', now() - make_interval(days => 2 * i))) FROM generate_series(1, 300) AS i), 'web');
SQL

# plain INSERT and COPY, also straight into a partition, before 1970 and into a default partition
ask('shop', <<'SQL');
INSERT INTO cx.feedback (metric, score, comment) VALUES ('csat', 1, 'refund, please'), ('ces', 7, NULL), ('effort', 2, NULL);
INSERT INTO cx.feedback_default (feedback_id, metric, score, occurred_at) VALUES (nextval(pg_get_serial_sequence('cx.feedback', 'feedback_id')), 'nps', 0, '1990-05-05 12:00+00');
INSERT INTO cx.purchase (occurred_at, amount, quantity) VALUES ('0044-03-15 BC', 1, 2);
INSERT INTO cx.event (occurred_at, event_type_id) SELECT '1995-01-01', min(event_type_id) FROM cx.event_type;
SQL
my ($ret, $out, $err) = $node->psql('shop', "COPY cx.feedback (metric, score, occurred_at) FROM stdin;\nnps\t2\t2020-02-02\nnps\t10\t2020-02-03\n\\.\n");
is($ret, 0, 'COPY') or diag $err;

# alerts in every state, a rejection in every state, links retired, upkeep done
ask('shop', "SELECT count(*) FROM cxm.claim_alerts(3, 'bob', '1 year')");
ask('shop', "SELECT cxm.acknowledge_alert(min(alert_id), 'called', 'bob') FROM cx.alert");
ask('shop', "UPDATE cx.rejection SET state = 'dismissed', closed_at = now() WHERE rejection_id = (SELECT min(rejection_id) FROM cx.rejection)");
ask('shop', "SELECT cxm.identify('{\"email\": [\"x\@example.com\", \"y\@example.com\"]}', message_id => 'xy')");
ask('shop', "SELECT cxm.retire_stale_links(cxm.source_id('app'), '{xy}', NULL, 'two people')");
$node->safe_psql('shop', 'CALL cxm.refresh_statistics()');

# what users add to their tables
ask('shop', <<'SQL');
ALTER TABLE cx.feedback ADD COLUMN campaign text DEFAULT 'none';
UPDATE cx.feedback SET campaign = 'spring' WHERE score = 9;
CREATE INDEX feedback_campaign ON cx.feedback (campaign) WHERE campaign <> 'none';
ALTER TABLE cx.product ADD COLUMN shelf integer, ADD CONSTRAINT shelf_check CHECK (shelf > 0);
CREATE SCHEMA mine;
CREATE TABLE mine.audit (n integer);
CREATE FUNCTION mine.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mine.audit VALUES (1); RETURN NULL; END $$;
CREATE TRIGGER mine_note AFTER INSERT ON cx.purchase FOR EACH STATEMENT EXECUTE FUNCTION mine.note();
ALTER TABLE cx.feedback ENABLE ROW LEVEL SECURITY;
CREATE POLICY feedback_public ON cx.feedback FOR SELECT TO reporter USING (campaign = 'spring');
CREATE VIEW cx.my_promoters AS SELECT f.feedback_id, f.campaign FROM cx.feedback AS f WHERE f.score >= 9;
CREATE VIEW mine.my_score AS SELECT s.metric, cxm.nps_agg(s.score) AS r FROM cx.feedback AS s WHERE s.metric = 'nps' GROUP BY 1;
GRANT SELECT ON mine.my_score, cx.my_promoters TO reporter;
GRANT UPDATE (shelf) ON cx.product TO sender;
SQL

my $attached = ask('shop', "SELECT count(*) > 0 FROM pg_catalog.pg_proc WHERE pronamespace = 'cxm'::regnamespace AND proname = 'attach'") eq 't';
if ($attached)
{
	ask('shop', 'CREATE TABLE public.survey (id integer PRIMARY KEY, answered timestamptz, score integer, said text, email text)');
	ask('shop', "INSERT INTO public.survey SELECT i, now() - make_interval(days => i), i % 11, 'word ' || i, 's' || i || '\@example.com' FROM generate_series(1, 40) AS i");
	ask('shop', q{CALL cxm.attach('public.survey', 'feedback', '{"at": "answered", "metric": {"constant": "nps"}, "score": "score", "comment": "said", "identifiers": {"email": "email"}}')});
	ask('shop', "INSERT INTO public.survey VALUES (100, now(), 1, 'refund', 's1\@example.com')");
}
is(ask('shop', 'SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound before the dump');
cmp_ok(ask('shop', 'SELECT count(*) FROM cx.alert'), '>', 20, 'alerts were raised');
is(ask('shop', "SELECT count(DISTINCT state) FROM cx.alert"), '3', 'and are open, claimed and acknowledged');
cmp_ok(ask('shop', 'SELECT count(*) FROM cx.rejection'), '>', 10, 'records were refused');
cmp_ok(ask('shop', "SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = 'cx.feedback'::regclass"), '>', 10, 'partitions were made on demand');

# ---- what to compare

my $tables = <<'SQL';
SELECT c.oid::regclass FROM pg_catalog.pg_class AS c
WHERE c.relnamespace IN ('cx'::regnamespace, 'public'::regnamespace, to_regnamespace('mine')) AND c.relkind IN ('r', 'p')
ORDER BY c.oid::regclass::text COLLATE "C"
SQL
my $views = <<'SQL';
SELECT c.oid::regclass FROM pg_catalog.pg_class AS c
WHERE c.relnamespace IN ('cx'::regnamespace, to_regnamespace('mine')) AND c.relkind = 'v' ORDER BY c.oid::regclass::text COLLATE "C"
SQL

# what is in each table or view, as one line each; ages in hours move while we look
sub content
{
	my ($database, $list) = @_;
	my @lines;
	for my $name (split /\n/, ask($database, $list))
	{
		push @lines, "$name " . ask($database, "SELECT count(*), md5(string_agg(r, ' ' ORDER BY r COLLATE \"C\")) FROM (SELECT (to_jsonb(t) - 'age_hours')::text AS r FROM $name AS t) AS x");
	}
	return \@lines;
}

# what stands in the catalogs, by name
my $shape = <<'SQL';
SELECT 'column', a.attrelid::regclass::text, a.attname::text, concat_ws(' ', a.atttypid::regtype, a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'cx'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v')
UNION ALL
SELECT 'index', i.indrelid::regclass::text, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE c.relnamespace = 'cx'::regnamespace
UNION ALL
SELECT 'constraint', n.conrelid::regclass::text, n.conname::text, pg_get_constraintdef(n.oid) FROM pg_constraint AS n WHERE n.connamespace = 'cx'::regnamespace
UNION ALL
SELECT 'trigger', t.tgrelid::regclass::text, t.tgname::text, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'partition', c.oid::regclass::text, '', pg_get_expr(c.relpartbound, c.oid) FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relispartition AND c.relkind = 'r'
UNION ALL
SELECT 'policy', p.schemaname || '.' || p.tablename, p.policyname::text, concat_ws(' ', p.roles, p.cmd, p.qual) FROM pg_policies AS p
UNION ALL
SELECT 'relation', c.oid::regclass::text, c.relkind::text, concat_ws(' ', pg_get_userbyid(c.relowner), c.relrowsecurity, array_to_string(c.reloptions, ','), obj_description(c.oid),
       (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(c.relacl) AS x))
FROM pg_class AS c WHERE c.relnamespace IN ('cx'::regnamespace, to_regnamespace('mine')) AND c.relkind <> 'i' AND c.relkind <> 'I'
UNION ALL
SELECT 'view', v.schemaname || '.' || v.viewname, '', v.definition FROM pg_views AS v WHERE v.schemaname IN ('cx', 'mine')
UNION ALL
SELECT 'sequence', q.schemaname || '.' || q.sequencename, '', q.last_value::text FROM pg_sequences AS q WHERE q.schemaname = 'cx'
UNION ALL
SELECT 'schema', n.nspname::text, obj_description(n.oid), array_to_string(n.nspacl, ' ') FROM pg_namespace AS n WHERE n.nspname IN ('cx', 'mine')
UNION ALL
SELECT 'member', e.extname::text, pg_describe_object(d.classid, d.objid, 0), '' FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'cxm'
ORDER BY 1, 2, 3, 4
SQL

sub same
{
	my ($name, $got, $expected) = @_;
	my %got = map { $_ => 1 } @$got;
	my %expected = map { $_ => 1 } @$expected;
	my @differ = ((map { "- $_" } grep { !$got{$_} } @$expected), (map { "+ $_" } grep { !$expected{$_} } @$got));
	ok(@$expected && !@differ, $name) or diag join "\n", @differ[ 0 .. ($#differ > 9 ? 9 : $#differ) ];
	return;
}

my %before = (tables => content('shop', $tables), views => content('shop', $views), shape => [ split /\n/, ask('shop', $shape) ]);
cmp_ok(scalar @{ $before{views} }, '>=', 8, 'there are views to compare');

# ---- what must hold in a database where the store came back

sub still_works
{
	my ($database, $listener, $without_tables) = @_;
	my $count = 'SELECT count(*) FROM cx.alert';
	my $alerts = ask($database, $count);
	is(ask($database, 'SELECT count(*) FROM cxm.store_check()'), '0', "$database: the store is sound");
	is(told($listener), 0, "$database: the restore told nobody anything");

	is(ask($database, "SELECT cxm.record_feedback('nps', 3, '{\"email\": \"ann\@example.com\"}', 'I want a refund', source => 'web', message_id => 'f1')"),
		ask('shop', "SELECT record_id FROM cx.message WHERE kind = 'feedback' AND message_id = 'f1'"), "$database: a message that is sent again is known");
	is(ask($database, "SELECT duplicates FROM cxm.track_batch('[{\"event\": \"view\", \"message_id\": \"v7\"}, {\"event\": \"view\", \"message_id\": \"v8\"}]', 'web')"), '2', "$database: in a batch too");
	is(ask($database, $count), $alerts, "$database: and alerts nobody");

	like(ask($database, "SELECT cxm.record_feedback('nps', 2, '{\"email\": \"ann\@example.com\"}', 'again a refund', source => 'web', message_id => 'new')"), qr/^\d+$/, "$database: new feedback goes in");
	is(ask($database, $count), $alerts + 2, "$database: and raises its alerts");
	cmp_ok(told($listener), '>', 0, "$database: which listeners hear of");
	is(ask($database, "INSERT INTO cx.feedback (metric, score) SELECT 'nps', 1 FROM generate_series(1, 5)") . ask($database, $count), $alerts + 7, "$database: plain INSERT raises alerts");
	is(ask($database, "SELECT count(*) FROM (SELECT cxm.track('view', jsonb_build_object('email', 'n' || i || '\@example.com'), at => now() - make_interval(months => i)), cxm.record_purchase(i, '{\"email\": \"ann\@example.com\"}'),
		cxm.identify(jsonb_build_object('email', 'n' || i || '\@example.com', 'phone', '+493012345' || i)) FROM generate_series(1, 20) AS i) AS x"), '20', "$database: sequences go on without a clash");
	is(ask($database, "SELECT cxm.customer('email', 'ann\@example.com') = cxm.customer('twitter', '\@ann')"), 't', "$database: people are who they were");
	is(ask($database, "SELECT cxm.customer('email', 'x\@example.com') = cxm.customer('email', 'y\@example.com')"), 'f', "$database: and two who were set apart still are");
	$node->safe_psql($database, 'CALL cxm.maintain_partitions()');
	is(ask($database, 'SELECT (SELECT count(*) FROM cx.feedback_default) + (SELECT count(*) FROM cx.event_default)'), '0', "$database: upkeep empties the default partitions");
	is(ask($database, 'SELECT count(*) FROM cxm.store_check()'), '0', "$database: and the store is sound");
	is(ask($database, 'SELECT cxm.upgrade_store() = cxm.version()'), 't', "$database: and up to date");
	return if $without_tables;
  SKIP:
	{
		skip 'cxm.attach() is not there', 2 if !$attached;
		my $n = ask($database, $count);
		ask($database, "INSERT INTO public.survey VALUES (101, now(), 0, 'bad', 's1\@example.com')");
		is(ask($database, $count), $n + 1, "$database: the attached table is followed");
		ask($database, 'DELETE FROM public.survey WHERE id = 101');
		is(ask($database, "SELECT count(*) FROM cx.message AS m WHERE m.message_id = '101'"), '0', "$database: deletions too");
	}
	return;
}

# Views are compared at the same time: a new hour, day or month changes what some of them say
sub same_views
{
	my ($name, $database, $choose) = @_;
	my $got = content($database, $views);
	for (1 .. 3)
	{
		my %of = map { $_ => 1 } @{ $before{views} };
		last if !grep { !$of{$_} } @$got;
		$before{views} = content('shop', $views);
		$got = content($database, $views);
	}
	same($name, $got, [ grep { $choose->($got, $_) } @{ $before{views} } ]);
	return;
}

sub same_store
{
	my ($database) = @_;
	same("$database: every table has the same rows", content($database, $tables), $before{tables});
	same_views("$database: every view gives the same answers", $database, sub { 1 });
	same("$database: columns, indexes, constraints, triggers, policies, grants, comments, sequences are the same",
		[ split /\n/, ask($database, $shape) ], $before{shape});
	return;
}

# ---- pg_dump -Fc and pg_restore, in one go and with two jobs; the plain format through psql

run_ok('pg_dump, custom format', 'pg_dump', '-Fc', '-f', "$dir/shop.dump", '-d', $node->connstr('shop'));
run_ok('pg_dump, plain format', 'pg_dump', '-f', "$dir/shop.sql", '-d', $node->connstr('shop'));

my %ways = (
	custom   => [ 'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('custom'), "$dir/shop.dump" ],
	parallel => [ 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr('parallel'), "$dir/shop.dump" ],
	plain    => [ 'psql', '-Xq', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dir/shop.sql" ]);
for my $way (sort keys %ways)
{
	$node->safe_psql('postgres', "CREATE DATABASE $way TEMPLATE template0");
	my $listener = listener($way);
	run_ok("$way: restored without a warning", @{ $ways{$way} });
	same_store($way);
	still_works($way, $listener) if $way ne 'parallel';
	$listener->{in} .= "\\q\n";
	$listener->{run}->finish;
}
is(ask('custom', 'SET ROLE reporter; SELECT count(*) > 0 AND bool_and(f.campaign = \'spring\') FROM cx.feedback AS f'), 't', 'the policy holds after the restore');

# ---- only the data, into a store made anew
#
# What holds: the new store must have the columns that were added; its seeds (store, metric, namespace ...) make way;
# rows go through the parents, for partitions made on demand are not there; and triggers must not fire, or the
# history would raise its alerts once more: session_replication_role = replica, which also spares the foreign keys
# of tables that come in no particular order. Which partitions the new store has, it knows by itself.

$node->safe_psql('postgres', 'CREATE DATABASE data_only TEMPLATE template0');
ask('data_only', 'CREATE EXTENSION cxm');
ask('data_only', 'SELECT cxm.create_store()');
ask('data_only', 'ALTER TABLE cx.feedback ADD COLUMN campaign text; ALTER TABLE cx.product ADD COLUMN shelf integer');
ask('data_only', q{DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(c.oid::regclass::text, ', ') FROM pg_class AS c
	WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'partition_set'); END $$});
$expected = qr/pg_dump: (?:warning: there are circular foreign-key constraints|detail: profile|hint: ).*\n/;
run_ok('pg_dump, only the data', 'pg_dump', '-Fc', '--data-only', '--load-via-partition-root', '--schema=cx', '--exclude-table-data=cx.partition_set', '-f', "$dir/data.dump", '-d', $node->connstr('shop'));
$expected = qr/(?!)/;
my $listener = listener('data_only');
{
	local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
	run_ok('data_only: loaded', 'pg_restore', '--exit-on-error', '--data-only', '-d', $node->connstr('data_only'), "$dir/data.dump");
}
# parents only: which partition holds a row is another matter here
my $parents = <<'SQL';
SELECT c.oid::regclass FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'partition_set'
ORDER BY c.oid::regclass::text COLLATE "C"
SQL
same('data_only: every table has the same rows', content('data_only', $parents), content('shop', $parents));
same_views('data_only: every view of cxm gives the same answers', 'data_only', sub { my ($got, $line) = @_; my ($view) = $line =~ /^(\S+)/; return grep { /^\Q$view\E / } @$got });
cmp_ok(ask('data_only', 'SELECT count(*) FROM cx.feedback_default'), '>', 0, 'data_only: old months wait in the default partition');
$node->safe_psql('data_only', 'CALL cxm.maintain_partitions()');
still_works('data_only', $listener, 'without tables of ours');
$listener->{in} .= "\\q\n";
$listener->{run}->finish;
# the dump took nothing from the store that it was made of
same('the dumped store is what it was', content('shop', $tables), $before{tables});

$node->stop;
done_testing();
