# What the tests of concurrency and of crashes send: messages whose content follows from their number alone, so
# that whoever reads the store afterwards can work out what must be in it.
#
# Message m is an event (m % 4 = 0 or 1), an answer (2) or a statement of who is who (3). It carries two or three
# identifiers out of a few thousand, so people are joined into small groups. Its month comes round every 30.
# One answer in ten is off the scale.
package CxmLoad;

use strict;
use warnings;
use Exporter qw(import);
our @EXPORT_OK = qw(components partition_of_store differences);

our $sql = <<'SQL';
CREATE SCHEMA load;

CREATE FUNCTION load.pick(seed text, m integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE
RETURN ('x' || substr(md5(seed || m), 1, 7))::bit(28)::integer % n;

CREATE FUNCTION load.kind(m integer) RETURNS text LANGUAGE sql IMMUTABLE
RETURN (ARRAY['event', 'event', 'feedback', 'traits'])[m % 4 + 1];

CREATE FUNCTION load.is_bad(m integer) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN load.kind(m) = 'feedback' AND m % 40 = 38;

CREATE FUNCTION load.identifiers(m integer) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('email', 'p' || load.pick('a', m, 3000) || '@example.com', 'device_id', 'd' || load.pick('b', m, 3000))
       || CASE WHEN m % 5 = 0 THEN jsonb_build_object('phone', '+4930' || 1000000 + load.pick('c', m, 3000)) ELSE '{}' END;

CREATE FUNCTION load.at(m integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE
RETURN timestamptz '2020-01-15 12:00+00' + make_interval(months => m % 30);

CREATE FUNCTION load.record(m integer) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('message_id', 'm' || m, 'at', load.at(m), 'identifiers', load.identifiers(m))
       || CASE load.kind(m)
              WHEN 'event' THEN jsonb_build_object('event', 'event ' || m % 7, 'touchpoint', 'touchpoint ' || load.pick('t', m, 20))
              WHEN 'feedback' THEN jsonb_build_object('metric', 'nps', 'score', CASE WHEN load.is_bad(m) THEN 99 ELSE m % 11 END,
                                                      'product', 'product ' || load.pick('p', m, 50))
              ELSE jsonb_build_object('traits', jsonb_build_object('number', m)) END;

-- one call, one message; the id of its record
CREATE FUNCTION load.send(m integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r jsonb := load.record(m);
BEGIN
    IF load.kind(m) = 'event' THEN
        RETURN cxm.track(r ->> 'event', r -> 'identifiers', at => load.at(m), touchpoint => r ->> 'touchpoint', source => 'load', message_id => 'm' || m);
    ELSIF load.kind(m) = 'feedback' THEN
        RETURN cxm.record_feedback('nps', (r ->> 'score')::numeric, r -> 'identifiers', at => load.at(m), product => r ->> 'product',
                                   source => 'load', message_id => 'm' || m);
    END IF;
    PERFORM cxm.identify(r -> 'identifiers', r -> 'traits', at => load.at(m), source => 'load', message_id => 'm' || m);
    RETURN (SELECT k.record_id FROM cx.message AS k WHERE k.kind = 'traits' AND k.message_id = 'm' || m);
END $$;

-- one call, about size messages of one kind from first on, in an order of its own
CREATE FUNCTION load.send_batch(first integer, size integer, seed integer, OUT sent bigint, OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_kind text := load.kind(first);
    v_batch jsonb;
BEGIN
    SELECT jsonb_agg(load.record(m) ORDER BY md5(seed || ' ' || m)), count(*) INTO v_batch, sent
    FROM generate_series(first, first + 4 * size, 1) AS m WHERE load.kind(m) = v_kind;
    IF v_kind = 'event' THEN
        SELECT b.* INTO accepted, duplicates, rejected FROM cxm.track_batch(v_batch, 'load') AS b;
    ELSIF v_kind = 'feedback' THEN
        SELECT b.* INTO accepted, duplicates, rejected FROM cxm.record_feedback_batch(v_batch, 'load') AS b;
    ELSE
        SELECT b.* INTO accepted, duplicates, rejected FROM cxm.identify_batch(v_batch, 'load') AS b;
    END IF;
END $$;

SELECT cxm.source_id('load');
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6);
SQL

# The groups that pairs of names make, as a hash from each name to the least name of its group
sub components
{
	my ($pairs) = @_;
	my %parent;
	my $root = sub {
		my ($name) = @_;
		$parent{$name} //= $name;
		while ($parent{$name} ne $name)
		{
			$parent{$name} = $parent{ $parent{$name} };
			$name = $parent{$name};
		}
		return $name;
	};
	for my $pair (@$pairs)
	{
		my ($a, $b) = map { $root->($_) } @$pair;
		($a, $b) = ($b, $a) if $b lt $a;
		$parent{$b} = $a;
	}
	return { map { $_ => $root->($_) } keys %parent };
}

# The same shape from lines "name|group"
sub partition_of_store
{
	my ($lines) = @_;
	my (%group, %least);
	for my $line (split /\n/, $lines)
	{
		my ($name, $group) = $line =~ /^(.*)\|(.*)$/ or die "not a pair: $line\n";
		$group{$name} = $group;
		$least{$group} = $name if !defined $least{$group} || $name lt $least{$group};
	}
	return { map { $_ => $least{ $group{$_} } } keys %group };
}

# The first names that two such hashes differ in
sub differences
{
	my ($got, $expected) = @_;
	my %names = map { $_ => 1 } keys %$got, keys %$expected;
	my @wrong = grep { ($got->{$_} // 'none') ne ($expected->{$_} // 'none') } sort keys %names;
	my $shown = @wrong > 5 ? 4 : $#wrong;
	return map { "$_: " . ($got->{$_} // 'none') . ' instead of ' . ($expected->{$_} // 'none') } @wrong[ 0 .. $shown ];
}

1;
