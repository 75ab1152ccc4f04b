# What CREATE EXTENSION, ALTER EXTENSION UPDATE and DROP EXTENSION do, with a store and without.
#
# For each sql/updates/cxm--A--B.sql the install script that A was released with lies in test/updates/cxm--A.sql
# (its makers put sql/cxm--A.sql there on release). From each A the steps are run up to the version at hand, and the
# result must be what that version installs, object for object. The scripts run as plain SQL, so that nothing has to
# be put into the server's folders.
use strict;
use warnings;
use Test::More;

my $base = $ENV{PGDATABASE} or plan skip_all => 'this test runs in scripts/suite';

sub slurp
{
	my ($file) = @_;
	open my $fh, '<:raw', $file or die "$file: $!\n";
	local $/ = undef;
	return <$fh>;
}

# psql DATABASE, SQL: what it printed, errors and notices too, and whether it succeeded
sub psql
{
	my ($database, $sql) = @_;
	pipe(my $reader, my $writer) or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if (!$pid)
	{
		open STDIN, '<&', $reader;
		close $writer;
		exec 'sh', '-c', 'exec psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -f - >"$2" 2>&1', 'sh', $database, "out/t/upgrade.$$";
	}
	close $reader;
	local $SIG{PIPE} = 'IGNORE';
	print $writer $sql;
	close $writer;
	waitpid $pid, 0;
	my $fine = $? == 0;
	my $out = slurp("out/t/upgrade.$pid");
	unlink "out/t/upgrade.$pid";
	$out =~ s/\n\z//;
	return wantarray ? ($fine, $out) : $fine ? $out : die "$sql: $out\n";
}

sub fresh
{
	my ($name) = @_;
	psql('postgres', "SET client_min_messages = warning;\nDROP DATABASE IF EXISTS ${base}_$name;\nCREATE DATABASE ${base}_$name TEMPLATE template0;\n");
	return "${base}_$name";
}

# every object of schema cxm with all that it is
my $objects = <<'SQL';
SELECT 'schema', n.nspname::text, obj_description(n.oid, 'pg_namespace') FROM pg_namespace AS n WHERE n.nspname = 'cxm'
UNION ALL
SELECT 'routine', p.oid::regprocedure::text, concat_ws(' ', p.prokind, md5(CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END), p.proparallel, p.provolatile,
       p.proisstrict, p.probin, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc'), p.proacl::text)
FROM pg_proc AS p WHERE p.pronamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'aggregate', a.aggfnoid::regprocedure::text, concat_ws(' ', to_jsonb(a) - 'aggfnoid' - 'aggtranstype' - 'aggmtranstype' - 'aggsortop', a.aggtranstype::regtype, a.aggmtranstype::regtype)
FROM pg_aggregate AS a JOIN pg_proc AS p ON p.oid = a.aggfnoid WHERE p.pronamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'type', t.oid::regtype::text, concat_ws(' ', t.typlen, t.typbyval, t.typtype, t.typalign, t.typstorage, t.typinput, t.typoutput, t.typreceive, t.typsend, obj_description(t.oid, 'pg_type'),
       (SELECT string_agg(concat_ws(' ', a.attname, a.atttypid::regtype, a.attnotnull), ', ' ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND NOT a.attisdropped))
FROM pg_type AS t WHERE t.typnamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'operator', o.oid::regoperator::text, concat_ws(' ', o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge, obj_description(o.oid, 'pg_operator'))
FROM pg_operator AS o WHERE o.oprnamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'operator class', c.opcname::text, concat_ws(' ', m.amname, c.opcintype::regtype, c.opcdefault,
       (SELECT string_agg(concat_ws(' ', o.amopstrategy, o.amopopr::regoperator), ', ' ORDER BY o.amopstrategy) FROM pg_amop AS o WHERE o.amopfamily = c.opcfamily),
       (SELECT string_agg(concat_ws(' ', f.amprocnum, f.amproc::regprocedure), ', ' ORDER BY f.amprocnum) FROM pg_amproc AS f WHERE f.amprocfamily = c.opcfamily))
FROM pg_opclass AS c JOIN pg_am AS m ON m.oid = c.opcmethod WHERE c.opcnamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'cast', concat_ws(' ', c.castsource::regtype, c.casttarget::regtype), concat_ws(' ', c.castfunc::regprocedure, c.castcontext, c.castmethod)
FROM pg_cast AS c JOIN pg_type AS t ON t.oid IN (c.castsource, c.casttarget) WHERE t.typnamespace = 'cxm'::regnamespace
UNION ALL
SELECT 'relation', r.oid::regclass::text, r.relkind::text FROM pg_class AS r WHERE r.relnamespace = 'cxm'::regnamespace
ORDER BY 1, 2, 3;
SQL

sub same
{
	my ($name, $got, $expected) = @_;
	my %got = map { $_ => 1 } split /\n/, $got;
	my %expected = map { $_ => 1 } split /\n/, $expected;
	my @differ = sort((map { "missing: $_" } grep { !$got{$_} } keys %expected), (map { "too much: $_" } grep { !$expected{$_} } keys %got));
	ok(keys %expected > 50 && !@differ, $name) or diag join "\n", map { substr $_, 0, 300 } @differ[ 0 .. ($#differ > 9 ? 9 : $#differ) ];
	return;
}

# ---- members: what this version installs, however one gets there

my ($version) = slurp('cxm.control') =~ /^default_version\s*=\s*'([^']+)'/m;
my $expected = psql($base, $objects);

# as_sql SCRIPT: what CREATE EXTENSION would run
sub as_sql
{
	my ($script) = @_;
	$script =~ s/^\\.*$//mg;
	$script =~ s/MODULE_PATHNAME/cxm/g;
	$script =~ s/\@extschema\@/cxm/g;
	return "SET client_min_messages = warning;\nSET check_function_bodies = off;\nBEGIN;\nSET LOCAL search_path = cxm, pg_temp;\n$script\nCOMMIT;\n";
}

my $installed = fresh('installed');
my ($fine, $out) = psql($installed, "CREATE SCHEMA cxm;\n" . as_sql(scalar `sql/assemble`));
ok($fine, 'the install script runs as plain SQL') or diag $out;
same('and makes what CREATE EXTENSION makes', scalar psql($installed, $objects), $expected);

my %step;
for my $file (glob 'sql/updates/cxm--*--*.sql')
{
	my ($from, $to) = $file =~ m{/cxm--(.+)--(.+)\.sql$};
	$step{$from}{$to} = $file;
}

# way FROM: the steps from there to the version at hand, or nothing
sub way
{
	my ($from) = @_;
	return () if $from eq $version;
	for my $to (sort keys %{ $step{$from} // {} })
	{
		return $step{$from}{$to} if $to eq $version;
		my @rest = way($to);
		return ($step{$from}{$to}, @rest) if @rest;
	}
	return ();
}
ok(!exists $step{$version}, 'no update leaves the version at hand');
for my $from (sort keys %step)
{
	my @way = way($from);
	ok(@way, "there is a way from $from to $version") or next;
	ok(-f "test/updates/cxm--$from.sql", "test/updates/cxm--$from.sql, the install script of $from, is there") or next;
	my $database = fresh('updated');
	psql($database, "CREATE SCHEMA cxm;\n" . as_sql(slurp("test/updates/cxm--$from.sql")));
	for my $file (@way)
	{
		my ($fine, $out) = psql($database, as_sql(slurp($file)));
		ok($fine, "$file runs") or diag $out;
	}
	same("$from, updated, is $version", scalar psql($database, $objects), $expected);
}

($fine, $out) = psql($base, 'ALTER EXTENSION cxm UPDATE;');
like($out, qr/version "\Q$version\E" of extension "cxm" is already installed/, 'an update to the version at hand changes nothing');
is(psql($base, "SELECT count(*) FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid WHERE e.extname = 'cxm' AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
	AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = d.objid AND c.relkind IN ('r', 'p', 'S', 'm'));"), '0', 'the extension has no table and no sequence: nothing that a dump would leave out');

# ---- DROP EXTENSION

($fine, $out) = psql($installed, "DROP SCHEMA cxm CASCADE;\nCREATE EXTENSION cxm;\nDROP EXTENSION cxm;\n$objects");
ok($fine, 'without a store the extension goes') or diag $out;
like($out, qr/^schema\|cxm\|.*\z/m, 'and leaves an empty schema');

psql($installed, <<'SQL');
CREATE EXTENSION cxm;
SELECT cxm.create_store();
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6);
SELECT cxm.record_feedback('nps', i % 11, jsonb_build_object('email', 'c' || i || '@example.com'), message_id => 'm' || i) FROM generate_series(1, 50) AS i;
CREATE TABLE public.mine (r cxm.ratings);
CREATE VIEW public.my_view AS SELECT * FROM cx.metric_score;
SQL
($fine, $out) = psql($installed, 'DROP EXTENSION cxm;');
ok(!$fine, 'with a store it does not go by itself');
like($out, qr/ERROR:  cannot drop extension cxm because other objects depend on it/, 'but says that others need it');
like($out, qr/trigger feedback_alert_insert on table cx\.feedback depends on function cxm\.feedback_alert\(\)/, 'such as the triggers of the store');
like($out, qr/view cx\.metric_score depends on /, 'its views');
like($out, qr/column r of table (?:public\.)?mine depends on type cxm\.ratings/, "and the user's columns");
is(psql($installed, 'SELECT count(*) FROM cx.alert;'), psql($installed, 'SELECT count(*) FROM cx.feedback WHERE score <= 6;'), 'and nothing happened');

($fine, $out) = psql($installed, 'DROP EXTENSION cxm CASCADE;');
ok($fine, 'CASCADE drops it') or diag $out;
like($out, qr/drop cascades to /, 'and tells what else');
is(psql($installed, 'SELECT (SELECT count(*) FROM cx.feedback), (SELECT count(*) FROM cx.identifier), (SELECT count(*) FROM cx.message), (SELECT count(*) FROM cx.alert) > 0;'), '50|50|50|t',
	'the tables of the store stay with all rows');
is(psql($installed, "SELECT count(*) FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace = 'cx'::regnamespace AND NOT t.tgisinternal;"), '0',
	'triggers go: nothing is left that calls what is not there');

# ---- the extension comes back to a store

($fine, $out) = psql($installed, 'CREATE EXTENSION cxm;');
ok($fine, 'CREATE EXTENSION where there is a store') or diag $out;
is(psql($installed, 'SELECT cxm.store_version();'), $version, 'which it knows');
($fine, $out) = psql($installed, 'SELECT cxm.create_store();');
like($out, qr/ERROR:  schema "cx" exists already\n.*It holds a cxm store\.\n.*upgrade_store/s, 'a second store is refused, with the way out');
# the CHECK constraints of cx.feedback, and whether all its partitions have them
my $checks = "SELECT string_agg(DISTINCT c.conname || ' ' || pg_catalog.pg_get_constraintdef(c.oid), ', '), count(*) = (SELECT count(*) FROM pg_catalog.pg_partition_tree('cx.feedback')) FROM pg_catalog.pg_constraint AS c WHERE c.contype = 'c' AND c.conrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree('cx.feedback') AS p);";
my $check = 'feedback_check CHECK (cxm.check_feedback(occurred_at, score, scale_min, scale_max, comment))|t';
is(psql($installed, 'SELECT cxm.upgrade_store();'), $version, 'upgrade_store() mends it');
is(psql($installed, $checks), $check, 'answers are checked again');
psql($installed, "ALTER TABLE cx.feedback DROP CONSTRAINT feedback_check, ADD CONSTRAINT feedback_occurred_at_check CHECK (occurred_at < '200000-01-01 00:00+00'),
	ADD CONSTRAINT feedback_scale_check CHECK (scale_max > scale_min), ADD CONSTRAINT feedback_score_check CHECK (score BETWEEN scale_min AND scale_max), ADD CONSTRAINT feedback_content_check CHECK (score IS NOT NULL OR comment IS NOT NULL);");
psql($installed, 'SELECT cxm.upgrade_store();');
is(psql($installed, $checks), $check, 'and by one check where there were four');
psql($installed, "ALTER TABLE cx.feedback DROP CONSTRAINT feedback_check; INSERT INTO cx.feedback (feedback_id, metric, score, scale_min, scale_max) VALUES (-33, 'nps', 33, 0, 10);");
like((psql($installed, 'SELECT cxm.upgrade_store();'))[1], qr/ERROR:  cx\.feedback holds what is no answer.*\nDETAIL:  score 33 is off the scale 0 to 10\nHINT:  Correct or delete/, 'what came in meanwhile and is no answer is named, with the way out');
psql($installed, 'DELETE FROM cx.feedback WHERE score > scale_max; SELECT cxm.upgrade_store();');
is(psql($installed, $checks), $check, 'which leads to a checked table');
psql($installed, 'ALTER TABLE cx.identifier DROP CONSTRAINT identifier_value_namespace_key, ADD CONSTRAINT identifier_namespace_value_key UNIQUE (namespace, value); SELECT cxm.upgrade_store();');
is(psql($installed, "SELECT string_agg(c.conname || ' ' || pg_catalog.pg_get_constraintdef(c.oid), ', ') FROM pg_catalog.pg_constraint AS c WHERE c.conrelid = 'cx.identifier'::regclass AND c.contype = 'u';"),
	'identifier_value_namespace_key UNIQUE (value, namespace)', 'the key of identifiers that an older store has is turned round');
is(psql($installed, "SELECT n FROM cx.metric_score WHERE metric = 'nps';"), '50', 'views are back');
is(psql($installed, "SELECT cxm.record_feedback('nps', 1, message_id => 'm1') = (SELECT record_id FROM cx.message WHERE message_id = 'm1');"), 't', 'what was taken is known');
is(psql($installed, "SELECT count(*) FROM cxm.store_check();"), '0', 'the store is sound');
my $alerts = psql($installed, 'SELECT count(*) FROM cx.alert;');
psql($installed, "SELECT cxm.record_feedback('nps', 1);");
psql($installed, "INSERT INTO cx.feedback (metric, score) VALUES ('nps', 2);");
is(psql($installed, 'SELECT count(*) FROM cx.alert;'), $alerts + 2, 'new feedback raises alerts again, and a row without a scale gets its own');

# ---- a store that is newer or older than the library

($fine, $out) = psql($installed, "UPDATE cx.store SET version = '999.0.0';\nSELECT cxm.upgrade_store();");
like($out, qr/ERROR:  the store has version 999\.0\.0, newer than cxm \Q$version\E\n.*ALTER EXTENSION cxm UPDATE/s, 'a newer store is left alone');
($fine, $out) = psql($installed, "UPDATE cx.store SET version = '0.0.1';\nSELECT cxm.upgrade_store();");
like($out, qr/ERROR:  there is no way from store version 0\.0\.1 to \Q$version\E/, 'so is one of a version that never was');

psql('postgres', "SET client_min_messages = warning;\nDROP DATABASE $installed;\nDROP DATABASE IF EXISTS ${base}_updated;");
done_testing();
