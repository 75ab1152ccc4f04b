# Conversations and deliveries under load: clients that write, answer, read, take, send and acknowledge at once, messages
# that come twice, senders that die, and a crash of the server. Nothing is lost, nothing is there twice, and what is unread
# is what a recount says.
use strict;
use warnings;
use IPC::Run qw(start finish timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = PostgreSQL::Test::Cluster->new('conversation');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cxm'\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION cxm;
	SELECT cxm.create_store('UTC');
	SELECT cxm.set_delivery_channel('sms', '{"max_attempts": 1000, "retry_after": "1 millisecond", "retry_limit": "1 millisecond"}');
	-- what clients were told: written in the transaction that it is about
	CREATE TABLE public.told (message_id bigint, what text);
	-- a deadlock is for the client to try again, and pgbench does so from version 15 on only
	CREATE FUNCTION public.run(statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				EXECUTE statement;
				RETURN;
			EXCEPTION
				WHEN deadlock_detected THEN NULL;
			END;
		END LOOP;
	END $$;
});
sub ask { return $node->safe_psql('postgres', $_[0]); }

my $temp = PostgreSQL::Test::Utils::tempdir_short();
sub script
{
	my ($name, $text) = @_;
	append_to_file("$temp/$name.sql", $text);
	return ('-f', "$temp/$name.sql");
}

# 40 customers; an external id comes up about three times
my @clients = (
	script('receive', <<'SQL'), script('send', <<'SQL'), script('read', <<'SQL'), script('deliver', <<'SQL'));
\set customer random(1, 40)
\set number random(1, 4000)
SELECT public.run($$SELECT cxm.receive_message('sms', 'message ' || :number, jsonb_build_object('phone', '+49301000' || (100 + :number % 40)), 'gateway', external_id => 'in ' || :number)$$);
SQL
\set fate random(1, 5)
BEGIN;
SELECT public.run($$INSERT INTO public.told
SELECT cxm.send_message(conversation_id, 'answer', 'anna'), 'sent'
FROM (SELECT conversation_id FROM cx.conversation WHERE state <> 'closed' ORDER BY hashint8(conversation_id + :fate) LIMIT 1) AS c$$);
\if :fate = 1
ROLLBACK;
\else
COMMIT;
\endif
SQL
\set who random(1, 3)
SELECT public.run($$SELECT cxm.mark_read(conversation_id, 'agent ' || :who) FROM (SELECT conversation_id FROM cx.conversation ORDER BY hashint8(conversation_id * :who) LIMIT 2) AS c$$);
SELECT public.run($$SELECT cxm.take_conversations(1, 'agent ' || :who)$$);
SQL
\set fate random(1, 10)
\set sender random(1, 1000000000)
\if :fate < 7
-- a good sender
SELECT public.run($$SELECT cxm.acknowledge_delivery(d.delivery_id, 'provider ' || d.delivery_id || ' ' || d.attempt, d.attempt) FROM cxm.claim_deliveries(5, 'good', 'sms') AS d$$);
\elif :fate < 9
-- one whose provider fails
SELECT public.run($$SELECT cxm.fail_delivery(d.delivery_id, 'busy', attempt => d.attempt) FROM cxm.claim_deliveries(5, 'failing', 'sms') AS d$$);
\else
-- one that dies with its claims
SELECT public.run($$SELECT count(*) FROM cxm.claim_deliveries(5, 'dying', 'sms', '20 milliseconds')$$);
\endif
SQL

my $log;
sub load
{
	my @length = @_;
	$log = '';
	return start [ 'pgbench', '-n', '-c', 8, '-j', 2, @length, @clients, $node->connstr('postgres') ], '>', \$log, '2>&1', timeout(900);
}

my $run = load(-T => 600);
$node->poll_query_until('postgres', 'SELECT count(*) > 50 FROM public.told') or fail('clients are at work');
$node->stop('immediate');
$run->finish;
$node->start;
ok(load(-t => 400)->finish, 'clients go on after a crash') or diag $log;

# the queue runs empty
for (1 .. 2000)
{
	last if ask(q{SELECT count(*) FROM cx.delivery WHERE state IN ('pending', 'claimed')}) eq '0';
	ask(q{SELECT cxm.acknowledge_delivery(d.delivery_id, 'provider ' || d.delivery_id || ' ' || d.attempt, d.attempt) FROM cxm.claim_deliveries(1000, 'last', 'sms') AS d});
	sleep 0.02;
}

my $messages = ask('SELECT count(*) FROM cx.conversation_message');
cmp_ok($messages, '>', 200, "$messages messages were written");
cmp_ok(ask(q{SELECT count(*) FROM cx.delivery_event WHERE event = 'failed'}), '>', 5, 'some attempts failed');
cmp_ok(ask(q{SELECT count(*) FROM cx.delivery WHERE claimed_by <> 'dying' AND attempts > 1}), '>', 5, 'and some came round again');

is(ask('SELECT count(*) FROM (SELECT source_id, external_id FROM cx.conversation_message WHERE external_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1) AS d'), '0', 'no message is there twice');
is(ask('SELECT count(*) FROM (SELECT identifier_id FROM cx.conversation GROUP BY 1 HAVING count(*) > 1) AS d'), '0', 'a customer has one conversation');
is(ask(q{SELECT count(*) FROM cx.conversation AS c WHERE ARRAY(SELECT m.message_no FROM cx.conversation_message AS m WHERE m.conversation_id = c.conversation_id ORDER BY 1)
	<> ARRAY(SELECT generate_series(1, c.last_message_no))}), '0', 'messages are numbered without gaps');
is(ask(q{SELECT count(*) FROM public.told AS t FULL JOIN (SELECT message_id FROM cx.conversation_message WHERE kind = 'outbound') AS m USING (message_id) WHERE t.what IS NULL OR m.message_id IS NULL}),
	'0', 'every answer that was committed is there, and no other');
is(ask(q{SELECT count(*) FROM (SELECT m.message_id, count(d.*) AS n FROM cx.conversation_message AS m LEFT JOIN cx.delivery AS d ON d.kind = 'message' AND d.record_id = m.message_id
	WHERE m.kind = 'outbound' GROUP BY 1) AS x WHERE n <> 1}), '0', 'each has one delivery');
is(ask(q{SELECT count(*) FROM cx.delivery WHERE state <> 'sent'}), '0', 'every delivery was sent');
is(ask(q{SELECT count(*) FROM cx.delivery AS d WHERE (SELECT count(*) FROM cx.delivery_event AS e WHERE e.delivery_id = d.delivery_id AND e.event = 'acknowledged') <> 1}), '0', 'once');
is(ask(q{SELECT count(*) FROM cx.delivery AS d WHERE d.attempts < 1 + (SELECT count(*) FROM cx.delivery_event AS e WHERE e.delivery_id = d.delivery_id AND e.event = 'failed')}), '0', 'after as many attempts as failed and one more');
is(ask(q{SELECT count(*) FROM cx.conversation_participant AS p WHERE cxm.unread_count(p.conversation_id, p.participant)
	<> (SELECT count(*) FROM cx.conversation_message AS m WHERE m.conversation_id = p.conversation_id AND m.participant <> p.participant
	    AND NOT EXISTS (SELECT FROM generate_series(1, p.last_read_no) AS r(no) WHERE r.no = m.message_no))}), '0', 'unread counts are those of a recount');
is(ask(q{SELECT count(*) FROM cx.conversation AS c WHERE c.unanswered_since IS DISTINCT FROM (
	SELECT min(m.occurred_at) FROM cx.conversation_message AS m WHERE m.conversation_id = c.conversation_id AND m.kind = 'inbound'
	AND m.message_no > coalesce((SELECT max(o.message_no) FROM cx.conversation_message AS o WHERE o.conversation_id = c.conversation_id AND o.kind = 'outbound'), 0))}), '0', 'what is unanswered too');
is(ask(q{SELECT count(*) FROM (SELECT (payload->>'message_id')::bigint AS message_id, count(*) AS n FROM cx.outbox WHERE channel = 'cxm_conversation' AND payload ? 'message_no' GROUP BY 1) AS o
	FULL JOIN cx.conversation_message AS m USING (message_id) WHERE o.n IS DISTINCT FROM 1 OR m.message_id IS NULL}), '0', 'each message was told of once');
is(ask('SELECT count(*) FROM cxm.store_check()'), '0', 'the store is sound');

$node->stop;
done_testing();
