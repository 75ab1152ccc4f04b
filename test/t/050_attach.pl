# A table is attached while others write to it, and while the server is killed: the store is what the table says.
# ROWS=1000000 makes it the real thing.
use strict;
use warnings;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);
use CxmListener;

my $rows = $ENV{ROWS} // 100_000;

my $node = PostgreSQL::Test::Cluster->new('attach');
$node->init;
$node->append_conf('postgresql.conf', "max_wal_size = 2GB\nlog_statement = none\nrestart_after_crash = off\nlog_lock_waits = on\n");
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION cxm;
	SELECT cxm.create_store('Europe/Berlin');
	SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6);

	CREATE TABLE answers (
		id bigint PRIMARY KEY, answered_at timestamp NOT NULL, score integer, words text,
		mail text, shop text, note text NOT NULL DEFAULT '');
	INSERT INTO answers
	SELECT g, timestamp '2019-01-01' + g % 100000 * interval '5 minutes', nullif(g % 12, 11), CASE WHEN g % 9 = 0 THEN 'words ' || g END,
		'u' || g % 5000 || '\@example.com', 'shop ' || g % 40
	FROM generate_series(1, $rows) AS g;

	-- the same in two columns, in partitions
	CREATE TABLE lines (
		"order" text, line integer, bought timestamptz NOT NULL, sku text, quantity integer, price numeric(10, 2), buyer text,
		PRIMARY KEY ("order", line, bought)) PARTITION BY RANGE (bought);
	CREATE TABLE lines_1 PARTITION OF lines FOR VALUES FROM ('2019-01-01') TO ('2019-07-01');
	CREATE TABLE lines_2 PARTITION OF lines FOR VALUES FROM ('2019-07-01') TO ('2020-01-01');
	INSERT INTO lines
	SELECT 'o' || g / 3, g % 3, timestamptz '2019-01-01 12:00+00' + (g % 360) * interval '1 day', 'sku ' || g % 100, 1 + g % 5, g % 1000 / 7.0, 'c' || g % 3000
	FROM generate_series(1, $rows / 2) AS g;

	-- who raises alerts
	CREATE TABLE raised (by text);
	CREATE FUNCTION note_raised() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.raised VALUES (current_setting('application_name')); RETURN NULL; END \$\$;
	CREATE TRIGGER raised AFTER INSERT ON cx.alert FOR EACH ROW EXECUTE FUNCTION note_raised();
});

# what the mapping says, written out by hand, against what the store holds: rows that only one of them has
my $difference = q{
	SET timezone = 'UTC';
	WITH expected AS (
		SELECT id::text, (answered_at AT TIME ZONE 'Europe/Berlin')::text, score, words, lower(mail), shop
		FROM answers WHERE score IS NOT NULL OR words IS NOT NULL
	), stored AS (
		SELECT m.message_id, f.occurred_at::text, f.score, f.comment, i.value, l.key
		FROM cx.source AS s
		JOIN cx.message AS m ON m.source_id = s.source_id AND m.kind = 'feedback'
		LEFT JOIN cx.feedback AS f ON f.feedback_id = m.record_id AND f.occurred_at = m.occurred_at AND f.source_id = m.source_id
		LEFT JOIN cx.identifier AS i USING (identifier_id)
		LEFT JOIN cx.location AS l USING (location_id)
		WHERE s.source = 'public.answers'
	)
	SELECT (SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE stored) AS x) || ' missing, '
		|| (SELECT count(*) FROM (TABLE stored EXCEPT ALL TABLE expected) AS x) || ' too many, '
		|| (SELECT count(*) FROM cx.feedback AS f JOIN cx.source AS s USING (source_id) WHERE s.source = 'public.answers')
		- (SELECT count(*) FROM expected) || ' without a message';
};
my $difference_lines = q{
	SET timezone = 'UTC';
	WITH expected AS (
		SELECT jsonb_build_array("order", line::text, bought::text)::text, bought, "order", sku, quantity::numeric, quantity * price, buyer FROM lines
	), stored AS (
		SELECT m.message_id, p.occurred_at, p.order_id, k.key, p.quantity, p.amount, i.value
		FROM cx.source AS s
		JOIN cx.message AS m ON m.source_id = s.source_id AND m.kind = 'purchase'
		LEFT JOIN cx.purchase AS p ON p.purchase_id = m.record_id AND p.occurred_at = m.occurred_at AND p.source_id = m.source_id
		LEFT JOIN cx.product AS k USING (product_id)
		LEFT JOIN cx.identifier AS i USING (identifier_id)
		WHERE s.source = 'lines'
	)
	SELECT (SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE stored) AS x) || ' missing, '
		|| (SELECT count(*) FROM (TABLE stored EXCEPT ALL TABLE expected) AS x) || ' too many, '
		|| (SELECT count(*) FROM cx.purchase AS p JOIN cx.source AS s USING (source_id) WHERE s.source = 'lines')
		- (SELECT count(*) FROM expected) || ' without a message';
};
my $same = '0 missing, 0 too many, 0 without a message';

# writers: inserts, updates of mapped and unmapped columns, blanking, key changes, deletes, several rows a transaction
my $script = $node->basedir . '/answers.sql';
append_to_file($script, qq{
\\set id random(1, $rows)
\\set other random(1, $rows)
\\set first least(:id, :other)
\\set second greatest(:id, :other)
\\set new random(1, 1000000000)
\\set score random(0, 10)
\\set choice random(1, 8)
BEGIN;
\\if :choice = 1
INSERT INTO answers VALUES ($rows + :new, '2019-06-01', :score, NULL, 'new\@example.com', 'shop new') ON CONFLICT (id) DO UPDATE SET score = excluded.score;
\\elif :choice = 2
DELETE FROM answers WHERE id = :id;
\\elif :choice = 3
UPDATE answers SET id = $rows * 2 + 1000000000 + :new WHERE id = :id AND NOT EXISTS (SELECT FROM answers WHERE id = $rows * 2 + 1000000000 + :new);
\\elif :choice = 4
UPDATE answers SET score = NULL, words = NULL WHERE id = :id;
\\elif :choice = 5
UPDATE answers SET note = note || '.' WHERE id BETWEEN :id AND :id + 5;
\\elif :choice = 6
UPDATE answers SET shop = 'shop moved', answered_at = answered_at + interval '40 days' WHERE id = :id;
\\else
-- in one order, or two of them could wait for each other
UPDATE answers SET score = :score WHERE id = :first;
UPDATE answers SET score = :score WHERE id = :second;
\\endif
END;
});
my $script_lines = $node->basedir . '/lines.sql';
append_to_file($script_lines, qq{
\\set id random(1, $rows / 2)
\\set new random(1, 1000000000)
\\set day random(0, 359)
\\set choice random(1, 5)
\\if :choice = 1
INSERT INTO lines VALUES ('n' || :new, 1, timestamptz '2019-01-01 12:00+00' + :day * interval '1 day', 'sku new', 1, 9.99, 'c new') ON CONFLICT DO NOTHING;
\\elif :choice = 2
INSERT INTO lines_2 VALUES ('n' || :new, 2, '2019-12-24 12:00+00', 'sku leaf', 1, 9.99, 'c leaf') ON CONFLICT DO NOTHING;
\\elif :choice = 3
DELETE FROM lines WHERE "order" = 'o' || :id / 3 AND line = :id % 3;
\\elif :choice = 4
UPDATE lines SET bought = timestamptz '2019-01-01 12:00+00' + :day * interval '1 day' WHERE "order" = 'o' || :id / 3 AND line = :id % 3;
\\else
UPDATE lines_1 SET quantity = quantity + 1 WHERE "order" = 'o' || :id / 3;
\\endif
});

# pgbench FILE, CLIENTS: writers till stop() is called; serialisation failures and deadlocks would end them
sub write_to
{
	my ($file, $clients) = @_;
	my %run = (out => '');
	$run{h} = start([ 'pgbench', '-n', '-f', $file, '-c', $clients, '-j', 1, '-T', 600, '-M', 'prepared', $node->connstr('postgres') . ' application_name=writer' ],
		'>', \$run{out}, '2>&1');
	return \%run;
}

sub stop_writers
{
	my ($run) = @_;
	$run->{h}->pump_nb;
	my $alive = $run->{h}->pumpable;
	$run->{h}->kill_kill(grace => 0);
	return $alive && $run->{out} !~ /error|abort/i;
}

my $attach_answers = q{CALL cxm.attach('answers', 'feedback', '{"at": "answered_at", "metric": {"constant": "nps"}, "score": "score", "comment": "words",
	"identifiers": {"email": "mail"}, "location": "shop"}')};
my $attach_lines = q{CALL cxm.attach('lines', 'purchase', '{"at": "bought", "order_id": "order", "product": "sku", "quantity": "quantity",
	"amount": {"multiply": ["quantity", "price"]}, "identifiers": {"customer_id": "buyer"}}', source => 'lines')};

# ---- attach under load

{
	my $writers = write_to($script, 4);
	$node->poll_query_until('postgres', qq{SELECT EXISTS (SELECT FROM answers WHERE id > $rows)}) or fail('writers write');
	my $began = time;
	my ($status, $out, $err) = $node->psql('postgres', $attach_answers);
	is($status, 0, 'attached while four clients write') or diag($err);
	note(sprintf('%d rows in %.1f s', $rows, time - $began));
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM raised)}) or fail('a writer raises an alert');
	ok(stop_writers($writers), 'no writer met an error') or diag($writers->{out});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'writer'});
	is($node->safe_psql('postgres', $difference), $same, 'the store is what the table says');
	unlike(slurp_file($node->logfile), qr/deadlock detected/, 'nobody was the victim of a deadlock');
	is($node->safe_psql('postgres', q{SELECT state || ' ' || lag_rows || ' ' || backfill_percent || ' ' || (table_rows = stored_rows + blank_rows) FROM cxm.source_status(true)}),
		'ok 0 100 true', 'and the status says so');
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT by, ' ') FROM raised}), 'writer', 'writers raise alerts, history does not');
}

# A backfill reads the rows in the order of their keys, one partition after the other, and waits for one that is locked:
# whoever holds a row in the middle of the second partition keeps it there.
sub hold_line
{
	my $locker = CxmListener->new($node, 'postgres');
	$locker->say(q{BEGIN; SELECT FROM lines_2 WHERE "order" > 'o5' ORDER BY "order", line, bought LIMIT 1 FOR UPDATE;});
	return $locker;
}
my $stands = q{SELECT backfill_table = 'public.lines_2' AND backfill_key IS NOT NULL AND detached_at IS NULL FROM cx.source WHERE source = 'lines'};

# ---- a crash in mid-load

{
	my $locker = hold_line();
	my $writers = write_to($script_lines, 3);
	my $out = '';
	my $attach = start([ 'psql', '-XAtq', '-c', $attach_lines, $node->connstr('postgres') ], '>', \$out, '2>&1');
	$node->poll_query_until('postgres', $stands) or fail('the backfill is in the second partition');
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM lines WHERE "order" LIKE 'n%')}) or fail('writers write');
	my $read = $node->safe_psql('postgres', q{SELECT backfill_rows FROM cx.source WHERE source = 'lines'});
	$node->stop('immediate');
	$attach->kill_kill(grace => 0);
	$writers->{h}->kill_kill(grace => 0);
	$locker->bury;
	$node->start;
	cmp_ok($read, '>', $rows / 10, "crashed after $read rows");
	my $state = $node->safe_psql('postgres', q{SELECT backfill_state || ' ' || (backfill_rows >= } . $read . q{) FROM cx.source WHERE source = 'lines'});
	is($state, 'running true', 'no committed batch is lost');
	my $all = $node->safe_psql('postgres', 'SELECT count(*) FROM lines');

	$writers = write_to($script_lines, 3);
	my ($status, $stdout, $err) = $node->psql('postgres', q{CALL cxm.backfill('lines', 5000)});
	is($status, 0, 'the backfill resumes, under load') or diag($err);
	ok(stop_writers($writers), 'no writer met an error') or diag($writers->{out});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'writer'});
	is($node->safe_psql('postgres', $difference_lines), $same, 'the store is what the table says, partitions included');
	is($node->safe_psql('postgres', $difference), $same, 'and so for the other table');
	# the first partition alone is more than a quarter
	cmp_ok($node->safe_psql('postgres', q{SELECT backfill_rows FROM cx.source WHERE source = 'lines'}) - $read, '<', 0.75 * $all, 'what was read before the crash was not read again');
}

# ---- killed, and cancelled: another session takes over

{
	$node->safe_psql('postgres', q{SELECT cxm.detach('lines', purge => true)});
	is($node->safe_psql('postgres', q{SELECT count(*) FROM cx.purchase}), '0', 'purged');
	my $locker = hold_line();
	my $out = '';
	my $attach = start([ 'psql', '-XAtq', '-c', $attach_lines, $node->connstr('postgres') . ' application_name=attacher' ], '>', \$out, '2>&1');
	$node->poll_query_until('postgres', $stands) or fail('the backfill is in the second partition');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'attacher'});
	$attach->kill_kill(grace => 0);
	$locker->end;
	is($node->safe_psql('postgres', q{SELECT state FROM cxm.source_status() WHERE source = 'lines'}), 'backfilling', 'the status of a backfill that was cut off');
	$node->safe_psql('postgres', q{CALL cxm.backfill()});
	is($node->safe_psql('postgres', $difference_lines), $same, 'CALL cxm.backfill() finishes what is unfinished');
}

# ---- away for a while: attached again, the store follows what happened meanwhile

{
	$node->safe_psql('postgres', qq{
		SELECT cxm.detach('lines');
		DELETE FROM lines WHERE line = 2 AND "order" < 'o2';
		UPDATE lines SET sku = 'sku changed' WHERE line = 1 AND "order" < 'o2';
		INSERT INTO lines SELECT 'x' || g, 1, '2019-03-03 12:00+00', 'sku x', 1, 1, 'c x' FROM generate_series(1, 100) AS g;
	});
	isnt($node->safe_psql('postgres', $difference_lines), $same, 'a detached table is not followed');
	my $writers = write_to($script_lines, 3);
	$node->safe_psql('postgres', $attach_lines);
	ok(stop_writers($writers), 'no writer met an error') or diag($writers->{out});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'writer'});
	is($node->safe_psql('postgres', $difference_lines), $same, 'attached again, the store is what the table says');
}

# ---- dump and restore keep the attachment

{
	my $dump = $node->basedir . '/dump';
	command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'restored');
	is($node->safe_psql('restored', $difference), $same, 'the restored store is what the restored table says');
	$node->safe_psql('restored', q{DELETE FROM answers WHERE id % 10 = 0; UPDATE answers SET score = 5 WHERE id < 100;
		INSERT INTO answers SELECT 5000000000 + g, '2019-01-01', 1, NULL, 'r@example.com', 'shop r' FROM generate_series(1, 100) AS g});
	is($node->safe_psql('restored', $difference), $same, 'and goes on following it');
	is($node->safe_psql('restored', q{SELECT string_agg(state, ' ') FROM cxm.source_status()}), 'ok ok', 'and says so');
}

done_testing();
