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
our @EXPORT_OK = qw(components partition_of_store differences identity_breaches);

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

-- whatever came together is one person here: what follows from messages alone must not need the rules
DO $$ BEGIN
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    UPDATE cx.namespace SET max_per_profile = NULL, is_unique = false, max_links = NULL;
    UPDATE cx.store SET rules_version = rules_version + 1;
    PERFORM cxm.resolve_all();
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

# Who is who from the live links and rules of a store, solved here from the definition: strongest link first, each
# joins its two clusters unless a rule forbids it. Malformed and blocked identifiers are taken as the store marks them.
# ask: a code that runs a query. Returns a hash from identifier_id to its cluster and one from link_id to the reason.
sub solve_identity
{
	my ($ask) = @_;
	my (%space, %of, %cluster, %member, %never, %others, %refused);
	for (split /\n/, $ask->(<<'SQL'))
SELECT namespace, rank, max_per_profile, extract(epoch FROM max_window) * 1000000, is_unique::integer, max_links FROM cx.namespace
SQL
	{
		my ($name, @rule) = split /\|/, $_, -1;
		@{ $space{$name} }{qw(rank most window unique links)} = @rule;
	}
	for (split /\n/, $ask->(<<'SQL'))
SELECT identifier_id, namespace, hashtextextended(namespace || ':' || value, 0), CASE WHEN quarantined <> 'generic' THEN quarantined END FROM cx.identifier
SQL
	{
		my ($id, $name, $hash, $quarantine) = split /\|/, $_, -1;
		$of{$id} = { space => $name, hash => $hash, quarantine => $quarantine };
		$cluster{$id} = $id;
		$member{$id} = [$id];
	}
	my @links;
	for (split /\n/, $ask->(<<'SQL'))
SELECT link_id, identifier_a, identifier_b, kind, verified::integer, (evidence <> '')::integer, coalesce(probability, 1), (extract(epoch FROM observed_at) * 1000000)::bigint
FROM cx.link WHERE retired_at IS NULL
SQL
	{
		my %l;
		@l{qw(id a b kind verified evidence probability at)} = split /\|/;
		my @ends = @of{ @l{qw(a b)} };
		if ($l{kind} eq 'never')
		{
			push @{ $never{ $l{a} } }, $l{b};
			push @{ $never{ $l{b} } }, $l{a};
			next;
		}
		for (@ends)
		{
			$_->{at} = $l{at} if !defined $_->{at} || $l{at} < $_->{at};
			$_->{known} = 1 if $l{verified} && $l{kind} eq 'seen';
		}
		next if $l{a} == $l{b};
		if ($l{kind} ne 'pinned')
		{
			for ([ @ends, $l{b} ], [ reverse(@ends), $l{a} ])
			{
				my ($x, $y, $id) = @$_;
				my $rule = $space{ $y->{space} };
				$others{$x}{$id} = 1 if !$y->{quarantine} && ($rule->{unique} || $rule->{most} ne '');
			}
		}
		my @rank = sort { $b <=> $a } map { $space{ $_->{space} }{rank} } @ends;
		my @hash = sort { $a <=> $b } map { $_->{hash} } @ends;
		$l{key} = [ { pinned => 0, seen => 1, matched => 2 }->{ $l{kind} }, -$l{verified}, @rank, -$l{evidence}, -$l{probability}, $l{at}, @hash ];
		push @links, \%l;
	}
	for my $x (values %of)
	{
		my $most = $space{ $x->{space} }{links};
		$x->{quarantine} ||= 'generic' if $most ne '' && scalar(keys %{ $others{$x} // {} }) > $most;
	}
	my $stronger = sub {
		my ($x, $y) = map { $_->{key} } @_;
		for my $i (0 .. $#$x)
		{
			my $order = $x->[$i] <=> $y->[$i];
			return $order if $order;
		}
		return 0;
	};
	my $reason = sub {
		my ($l, $x, $y) = @_;
		my ($few, $many) = @{ $member{$x} } < @{ $member{$y} } ? ($x, $y) : ($y, $x);
		my (%in, %spaces);
		for my $id (@{ $member{$few} })
		{
			return 'never' if grep { $cluster{$_} == $many } @{ $never{$id} // [] };
			push @{ $spaces{ $of{$id}{space} } }, $id;
		}
		for my $id (@{ $member{$many} })
		{
			push @{ $in{ $of{$id}{space} } }, $id if $spaces{ $of{$id}{space} };
		}
		return 'unique' if grep { $space{$_}{unique} } keys %in;
		return '' if $l->{kind} eq 'pinned';
		for my $name (keys %in)
		{
			my ($most, $window) = @{ $space{$name} }{qw(most window)};
			next if $most eq '' || @{ $in{$name} } + @{ $spaces{$name} } <= $most;
			return 'limit' if $window eq '';
			my @at = sort { $a <=> $b } map { $of{$_}{at} } @{ $in{$name} }, @{ $spaces{$name} };
			return 'limit' if grep { $at[ $_ + $most ] - $at[$_] < $window } 0 .. $#at - $most;
		}
		return 'unverified' if !$l->{verified} && 2 == grep { my $c = $_; grep { $of{$_}{known} } @{ $member{$c} } } $x, $y;
		return '';
	};
	for my $l (sort { $stronger->($a, $b) } @links)
	{
		my ($x, $y) = @cluster{ @$l{qw(a b)} };
		my $quarantine = $of{ $l->{a} }{quarantine} || $of{ $l->{b} }{quarantine};
		my $why = $quarantine && $l->{kind} ne 'pinned' ? 'quarantine' : $x == $y ? '' : $reason->($l, $x, $y);
		$refused{ $l->{id} } = $why;
		next if $why || $x == $y;
		($x, $y) = ($y, $x) if @{ $member{$x} } < @{ $member{$y} };
		$cluster{$_} = $x for @{ $member{$y} };
		push @{ $member{$x} }, @{ delete $member{$y} };
	}
	for my $l (@links)
	{
		$refused{ $l->{id} } = '' if $refused{ $l->{id} } ne 'quarantine' && $cluster{ $l->{a} } == $cluster{ $l->{b} };
	}
	return (\%cluster, \%refused);
}

# What is wrong with the identities of a store: the first few of each kind, and how many
sub identity_breaches
{
	my ($ask) = @_;
	my ($cluster, $refused) = solve_identity($ask);
	my (@wrong, %label, %parts, %labels);
	for (split /\n/, $ask->('SELECT i.identifier_id, p.canonical_id FROM cx.identifier AS i LEFT JOIN cx.profile AS p USING (profile_id)'))
	{
		my ($id, $label) = split /\|/, $_, -1;
		$label = 'nobody' if $label eq '';
		$label{$id} = $label;
		$parts{$label}{ $cluster->{$id} } = 1;
		$labels{ $cluster->{$id} }{$label} = 1;
	}
	my @overmerged = grep { keys %{ $parts{$_} } > 1 } sort keys %parts;
	my @split = grep { keys %{ $labels{$_} } > 1 } sort keys %labels;
	my @links;
	for (split /\n/, $ask->(<<'SQL'))
SELECT link_id, CASE WHEN refused IN ('blocked', 'malformed', 'generic') THEN 'quarantine' ELSE refused END
FROM cx.link WHERE retired_at IS NULL AND kind <> 'never' AND identifier_a <> identifier_b
SQL
	{
		my ($id, $why) = split /\|/, $_, -1;
		push @links, "link $id is refused for '$why' instead of '$refused->{$id}'" if $why ne ($refused->{$id} // 'no link');
	}
	my %counts = map { split /\|/ } split /\n/, $ask->(<<'SQL');
SELECT 'orphan identifiers', count(*) FROM cx.identifier AS i LEFT JOIN cx.profile AS p USING (profile_id) LEFT JOIN cx.profile AS c ON c.profile_id = p.canonical_id AND c.canonical_id = c.profile_id WHERE c.profile_id IS NULL
UNION ALL
SELECT 'profiles of nobody', count(*) FROM cx.profile AS p WHERE NOT EXISTS (SELECT FROM cx.identifier AS i WHERE i.profile_id = p.profile_id)
UNION ALL
SELECT 'profiles whose canonical one is not the oldest', count(*) FROM (SELECT canonical_id FROM cx.profile GROUP BY canonical_id HAVING min(profile_id) <> canonical_id) AS x
UNION ALL
SELECT 'profiles that miscount', count(*)
FROM (SELECT p.profile_id, n.namespace_id, coalesce(p.counts[n.namespace_id], 0) AS kept FROM cx.profile AS p CROSS JOIN cx.namespace AS n) AS k
LEFT JOIN (SELECT p.canonical_id, n.namespace_id, count(*) AS n FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) JOIN cx.namespace AS n USING (namespace) GROUP BY 1, 2) AS x
    ON x.canonical_id = k.profile_id AND x.namespace_id = k.namespace_id
WHERE k.kept <> coalesce(x.n, 0)
UNION ALL
SELECT 'profiles with a wrong is_known or is_kept_apart', count(*)
FROM cx.profile AS p
LEFT JOIN (SELECT q.canonical_id, bool_or(l.verified AND l.kind = 'seen') AS known, bool_or(l.kind = 'never') AS apart
           FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id IN (l.identifier_a, l.identifier_b) JOIN cx.profile AS q USING (profile_id)
           WHERE l.retired_at IS NULL GROUP BY 1) AS x ON x.canonical_id = p.profile_id
WHERE p.is_known <> coalesce(x.known, false) OR p.is_kept_apart <> coalesce(x.apart, false)
UNION ALL
SELECT 'identity_differences()', cxm.identity_differences()
SQL
	$counts{'profiles overmerged'} = @overmerged;
	$counts{'people split'} = @split;
	$counts{'links with a wrong reason'} = @links;
	push @wrong, "$counts{$_} $_" for grep { $counts{$_} } sort keys %counts;
	push @wrong, @links[ 0 .. ($#links > 4 ? 4 : $#links) ];
	return @wrong;
}

1;
