#!/bin/sh
# test/bench/identity.sh: what does it cost to say that two identifiers are one person, and to take it back?
#
# Beside single links stands what people write by hand: identifiers with the number of their profile, an edge kept of
# each call with its time, profiles locked in order (FOR UPDATE), labels read again under the locks, everything rolled
# back and tried again when they changed, the smaller profile relabelled row by row. It has no sources and evidence, no
# limits, no links that are taken back, no reasons and no log of changes; for the comparison the limits of the store are
# off, so that both join the same people, which is looked at, and then on, in turn with the same way by hand, which still
# joins everybody. The bare insert of the edge is the ceiling.
#
# People are of all sizes (a power law), loaded each in one statement. A tenth of the calls joins those of two random
# identifiers, 45 % bring a new identifier, 45 % say what is known. Each run begins with a new copy of the store and
# makes the same calls, one for 30 identifiers: after many more merges nearly everybody would be one person, and what is
# called a merge would join nobody. Ways take turns; what is compared are the medians. Commits do not wait for the disk,
# and a copy is read into the server's memory before (by pg_prewarm, where the server has it), for a run is over before
# the half of it would have come there.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and pgbench. Makes databases of its own
# and drops them. RUNS (3) runs of each way; SIZE (3000000) identifiers in the largest store, which takes 8 GB.
# SCALE=full adds 10 million links in one database, a chain of 1 million and a device of 100,000 people in place of
# a tenth of these: some minutes.
set -eu
RUNS=${RUNS:-3}
SIZE=${SIZE:-3000000}
SCALE=${SCALE:-}
DB=cxm_bench_identity_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
TEMP=$(mktemp -d)
drop() { psql -XqAt -d "${PGDATABASE:-postgres}" -c 'SET client_min_messages = error' -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)"; }
trap 'rm -rf "$TEMP"; drop ${DB}_run; drop $DB' EXIT
trap 'exit 1' HUP INT TERM
export PGOPTIONS='-c synchronous_commit=off -c client_min_messages=warning'

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$DB" "$@"; }

# verdict TEXT VALUE UNIT [OPERATOR GOAL]: a line that ends in ok or MISS when there is a goal
verdict()
{
	awk -v text="$1" -v value="$2" -v unit="$3" -v operator="${4:-}" -v goal="${5:-}" 'BEGIN {
		good = operator == "<=" ? value <= goal : value >= goal
		printf "%-62s %11.2f %-8s", text, value, unit
		if (operator != "") printf " goal %s %-6s %s", operator, goal, good ? "ok" : "MISS"
		print ""
	}' | tee -a "$TEMP/lines"
}

quotient() { awk -v a="$1" -v b="$2" 'BEGIN { print a / b }'; }

sql >/dev/null <<'SQL'
CREATE EXTENSION cxm;
CREATE SCHEMA bench;

-- what people write by hand
CREATE TABLE bench.profile (profile_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, size integer NOT NULL);
CREATE TABLE bench.identifier (namespace text NOT NULL COLLATE "C", value text NOT NULL COLLATE "C", profile_id bigint NOT NULL, PRIMARY KEY (namespace, value));
CREATE INDEX ON bench.identifier (profile_id);
CREATE TABLE bench.edge (edge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace_a text NOT NULL, value_a text NOT NULL, namespace_b text NOT NULL, value_b text NOT NULL,
                         at timestamptz NOT NULL DEFAULT now());

CREATE FUNCTION bench.link(namespace_a text, value_a text, namespace_b text, value_b text) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    v_a bigint;
    v_b bigint;
    v_size_a integer;
    v_size_b integer;
    v_locked bigint;
    n integer;
BEGIN
    INSERT INTO bench.edge (namespace_a, value_a, namespace_b, value_b) VALUES (namespace_a, value_a, namespace_b, value_b);
    LOOP
        SELECT i.profile_id INTO v_a FROM bench.identifier AS i WHERE i.namespace = namespace_a AND i.value = value_a;
        SELECT i.profile_id INTO v_b FROM bench.identifier AS i WHERE i.namespace = namespace_b AND i.value = value_b;
        IF v_a = v_b THEN
            RETURN v_a;
        END IF;
        BEGIN
            IF v_a IS NULL AND v_b IS NULL THEN
                INSERT INTO bench.profile (size) VALUES (2) RETURNING profile_id INTO v_a;
                INSERT INTO bench.identifier (namespace, value, profile_id)
                SELECT u.namespace, u.value, v_a FROM (VALUES (namespace_a, value_a), (namespace_b, value_b)) AS u(namespace, value)
                ORDER BY u.namespace COLLATE "C", u.value COLLATE "C" ON CONFLICT DO NOTHING;
                GET DIAGNOSTICS n = ROW_COUNT;
                IF n = 2 THEN
                    RETURN v_a;
                END IF;
            ELSIF v_a IS NULL OR v_b IS NULL THEN
                UPDATE bench.profile AS p SET size = p.size + 1 WHERE p.profile_id = coalesce(v_a, v_b);
                IF FOUND THEN
                    INSERT INTO bench.identifier (namespace, value, profile_id)
                    VALUES (CASE WHEN v_a IS NULL THEN namespace_a ELSE namespace_b END, CASE WHEN v_a IS NULL THEN value_a ELSE value_b END, coalesce(v_a, v_b))
                    ON CONFLICT DO NOTHING;
                    IF FOUND THEN
                        RETURN coalesce(v_a, v_b);
                    END IF;
                END IF;
            ELSE
                SELECT count(*) INTO n FROM (SELECT FROM bench.profile AS p WHERE p.profile_id IN (v_a, v_b) ORDER BY p.profile_id FOR UPDATE) AS locked;
                SELECT count(*) INTO v_locked FROM bench.identifier AS i
                WHERE (i.namespace = namespace_a AND i.value = value_a AND i.profile_id = v_a) OR (i.namespace = namespace_b AND i.value = value_b AND i.profile_id = v_b);
                IF n = 2 AND v_locked = 2 THEN
                    SELECT p.size INTO v_size_a FROM bench.profile AS p WHERE p.profile_id = v_a;
                    SELECT p.size INTO v_size_b FROM bench.profile AS p WHERE p.profile_id = v_b;
                    IF v_size_a < v_size_b THEN
                        SELECT v_b, v_a INTO v_a, v_b;
                    END IF;
                    UPDATE bench.identifier AS i SET profile_id = v_a WHERE i.profile_id = v_b;
                    DELETE FROM bench.profile AS p WHERE p.profile_id = v_b;
                    UPDATE bench.profile AS p SET size = v_size_a + v_size_b WHERE p.profile_id = v_a;
                    RETURN v_a;
                END IF;
            END IF;
            -- somebody was faster: give back the locks and look again
            RAISE SQLSTATE 'R0001';
        EXCEPTION WHEN SQLSTATE 'R0001' THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- the limits of a new store, on or off
CREATE FUNCTION bench.limits(are_on boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    UPDATE cx.namespace
    SET max_per_profile = CASE WHEN are_on AND namespace <> 'anonymous_id' THEN CASE WHEN namespace IN ('user_id', 'customer_id') THEN 1 ELSE 5 END END,
        is_unique = are_on AND namespace IN ('user_id', 'customer_id');
    UPDATE cx.store SET rules_version = rules_version + 1;
    RETURN cxm.resolve_all();
END
$$;

-- milliseconds that one call takes: identifiers v of namespaces n, records of two of them each, by their places
CREATE FUNCTION bench.link_set(n text[], v text[], a integer[], b integer[], source text DEFAULT 'bench') RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    v_no boolean[] := array_fill(false, ARRAY[cardinality(n)]);
    v_at timestamptz[] := array_fill(timestamptz '2024-01-01', ARRAY[cardinality(a)]);
    v_records integer[] := ARRAY(SELECT 1 + g / 2 FROM generate_series(0, 2 * cardinality(a) - 1) AS g);
    v_places integer[] := ARRAY(SELECT p.place FROM unnest(a, b) WITH ORDINALITY AS e(a, b, o), LATERAL (VALUES (1, e.a), (2, e.b)) AS p(i, place) ORDER BY e.o, p.i);
    v_source integer := cxm.source_id(source);
    v_began timestamptz := clock_timestamp();
BEGIN
    PERFORM cxm.link_identifiers(v_source, n, v, v_no, v_records, v_places, v_at);
    RETURN 1000 * extract(epoch FROM clock_timestamp() - v_began);
END
$$;
-- A store of addresses with two visitors each, which links between the addresses make people of all sizes: a discrete
-- power law with exponent 2.3, 3 to 2,100 identifiers, so that a random identifier is often one of a large person.
CREATE TABLE bench.address (address integer PRIMARY KEY, person integer NOT NULL, parent integer);
CREATE PROCEDURE bench.fill(identifiers integer) LANGUAGE plpgsql AS $$
DECLARE
    v_first integer;
    v_last integer;
BEGIN
    IF to_regnamespace('cx') IS NOT NULL THEN
        DROP SCHEMA cx CASCADE;
    END IF;
    PERFORM cxm.create_store('UTC');
    PERFORM bench.limits(false);
    TRUNCATE bench.profile, bench.identifier, bench.edge, bench.address;
    PERFORM setseed(0.4);
    INSERT INTO bench.address
    SELECT m.address, s.person, CASE WHEN m.address > s.begins THEN s.begins + floor(random() * (m.address - s.begins))::integer END
    FROM (SELECT r.person, r.n, sum(r.n) OVER (ORDER BY r.person) - r.n AS begins
          FROM (SELECT g AS person, least(700, floor(power(1 - random(), -1 / 1.3)))::integer AS n FROM generate_series(1, identifiers / 3) AS g) AS r) AS s,
         LATERAL generate_series(s.begins::integer, least(s.begins + s.n, identifiers / 3)::integer - 1) AS m(address);
    FOR v_first, v_last IN SELECT min(a.address), max(a.address) FROM bench.address AS a
                           JOIN (SELECT p.person, min(p.address) / 3000 AS part FROM bench.address AS p GROUP BY p.person) AS b USING (person)
                           GROUP BY b.part ORDER BY 1 LOOP
        PERFORM bench.link_set(array_agg(CASE WHEN n.o = 0 THEN 'email' ELSE 'anonymous_id' END ORDER BY a.address, n.o),
                               array_agg(CASE n.o WHEN 0 THEN 'e' || a.address || '@x' WHEN 1 THEN 'a' || a.address ELSE 'b' || a.address END ORDER BY a.address, n.o),
                               array_agg(1 + 3 * (CASE WHEN n.o = 0 THEN a.parent ELSE a.address END - v_first) ORDER BY a.address, n.o) FILTER (WHERE n.o > 0 OR a.parent IS NOT NULL),
                               array_agg(1 + 3 * (a.address - v_first) + n.o ORDER BY a.address, n.o) FILTER (WHERE n.o > 0 OR a.parent IS NOT NULL), 'app')
        FROM bench.address AS a, generate_series(0, 2) AS n(o)
        WHERE a.address BETWEEN v_first AND v_last;
        COMMIT;
    END LOOP;
    INSERT INTO bench.profile (profile_id, size) OVERRIDING SYSTEM VALUE SELECT a.person, 3 * count(*) FROM bench.address AS a GROUP BY a.person;
    PERFORM setval(pg_get_serial_sequence('bench.profile', 'profile_id'), max(p.profile_id)) FROM bench.profile AS p;
    INSERT INTO bench.identifier SELECT n.namespace, n.value, a.person
    FROM bench.address AS a, LATERAL (VALUES ('email', 'e' || a.address || '@x'), ('anonymous_id', 'a' || a.address), ('anonymous_id', 'b' || a.address)) AS n(namespace, value);
    INSERT INTO bench.edge (namespace_a, value_a, namespace_b, value_b)
    SELECT 'email', 'e' || a.address || '@x', 'anonymous_id', x || a.address FROM bench.address AS a, unnest(ARRAY['a', 'b']) AS x
    UNION ALL SELECT 'email', 'e' || a.address || '@x', 'email', 'e' || a.parent || '@x' FROM bench.address AS a WHERE a.parent IS NOT NULL;
END
$$;

-- so many different links among a third as many identifiers: rings of eight, an address and seven visitors each
CREATE FUNCTION bench.link_groups(prefix text, links integer) RETURNS float8 LANGUAGE sql AS $$
    SELECT bench.link_set(i.n, i.v, e.a, e.b)
    FROM (SELECT links / 24 * 8 AS n) AS size,
         LATERAL (SELECT array_agg(CASE WHEN g % 8 = 0 THEN 'email' ELSE 'anonymous_id' END ORDER BY g) AS n, array_agg(prefix || g || CASE WHEN g % 8 = 0 THEN '@x' ELSE '' END ORDER BY g) AS v
                  FROM generate_series(0, size.n - 1) AS g) AS i,
         LATERAL (SELECT array_agg(1 + x ORDER BY hashint4(g)) AS a, array_agg(1 + x - x % 8 + (x + 1 + g / size.n) % 8 ORDER BY hashint4(g)) AS b
                  FROM (SELECT g, g % size.n AS x FROM generate_series(0, 3 * size.n - 1) AS g) AS r) AS e;
$$;

-- two stars of half the size and a bridge between them; milliseconds to take back the bridge, a spoke, or what is said twice
CREATE FUNCTION bench.unmerge(size integer, what text, OUT ms float8, OUT apart integer) LANGUAGE plpgsql AS $$
DECLARE
    v_half integer := size / 2;
    v_prefix text := format('u%s-%s-%s-', size, what, floor(1000000 * random()));
    v_link bigint;
    v_began timestamptz;
    v_after bigint;
BEGIN
    PERFORM bench.link_set(array_agg(CASE WHEN g IN (1, v_half + 1) THEN 'email' ELSE 'anonymous_id' END ORDER BY g), array_agg(v_prefix || g || CASE WHEN g IN (1, v_half + 1) THEN '@x' ELSE '' END ORDER BY g),
                           array_agg(CASE WHEN g <= v_half THEN 1 ELSE v_half + 1 END ORDER BY g) FILTER (WHERE g NOT IN (1, v_half + 1)), array_agg(g ORDER BY g) FILTER (WHERE g NOT IN (1, v_half + 1)))
    FROM generate_series(1, size) AS g;
    PERFORM cxm.link('email', v_prefix || '1@x', 'email', v_prefix || v_half + 1 || '@x', source => 'bench');
    IF what = 'nothing' THEN
        PERFORM cxm.link('anonymous_id', v_prefix || '2', 'anonymous_id', v_prefix || size, source => 'bench');
    END IF;
    SELECT l.link_id INTO STRICT v_link
    FROM cx.link AS l JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b
    WHERE l.retired_at IS NULL AND v_prefix || CASE what WHEN 'spoke' THEN '2' ELSE v_half + 1 || '@x' END IN (a.value, b.value) AND v_prefix || '1@x' IN (a.value, b.value);
    v_began := clock_timestamp();
    PERFORM cxm.retire_links(ARRAY[v_link], 'bench');
    ms := 1000 * extract(epoch FROM clock_timestamp() - v_began);
    SELECT count(DISTINCT p.canonical_id) INTO apart FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value COLLATE "C" LIKE v_prefix || '%';
END
$$;

-- milliseconds of a single link, the median of so many; the last identifier is a new one each time when new
CREATE FUNCTION bench.next_link(namespace_a text, value_a text, namespace_b text, value_b text, is_new boolean, times integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    v_began timestamptz;
    v_took float8[];
BEGIN
    FOR i IN 1 .. times LOOP
        v_began := clock_timestamp();
        PERFORM cxm.link(namespace_a, value_a, namespace_b, value_b || CASE WHEN is_new THEN i::text ELSE '' END, source => 'bench');
        v_took := v_took || (1000 * extract(epoch FROM clock_timestamp() - v_began))::float8;
    END LOOP;
    RETURN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(v_took) AS t);
END
$$;
SQL

# ---- single links

# script FUNCTION PEOPLE
script()
{
	cat <<SQL
\\set r random(1, 100)
\\set a random(0, $2 - 1)
\\set b random(0, $2 - 1)
\\set n random(1, 1000000000)
\\if :r <= 10
SELECT $1('anonymous_id', 'a' || :a, 'email', 'e' || :b || '@x');
\\elif :r <= 55
SELECT $1('anonymous_id', 'n' || :n, 'email', 'e' || :b || '@x');
\\else
SELECT $1('anonymous_id', 'b' || :a, 'email', 'e' || :a || '@x');
\\endif
SQL
}

# send NAME SIZE CLIENTS CALLS: links a second, appended to $TEMP/NAME.SIZE.CLIENTS; DATABASE is where
send()
{
	pgbench -n -M prepared -c "$3" -j 2 -t $(($4 / $3)) --random-seed="$round" -f "$TEMP/$1.sql" "${DATABASE:-$DB}" 2>"$TEMP/err" | awk '/^tps/ { print $3 }' >> "$TEMP/$1.$2.$3"
	if [ "$(wc -l < "$TEMP/$1.$2.$3")" -ne "$round" ]; then
		cat "$TEMP/err" >&2
		exit 1
	fi
}

# turn NAME SIZE PEOPLE: a run on a copy of the store, and how many people it leaves, into $TEMP/NAME.people
turn()
{
	drop "${DB}_run"
	psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE ${DB}_run TEMPLATE $DB" -c CHECKPOINT
	DATABASE=${DB}_run
	[ -z "$prewarm" ] || psql -XqAt -d "$DATABASE" -c 'CREATE EXTENSION pg_prewarm' -c "$prewarm" >/dev/null
	send "$1" "$2" 8 $(($2 / 30))
	psql -XqAt -d "$DATABASE" -c "$3" > "$TEMP/$1.people"
	[ "$2" -ne "$SIZE" ] || send "$1" "$2" 1 $(($2 / 120))
	DATABASE=
}

median() { sort -n "$TEMP/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

prewarm=$(sql <<'SQL'
SELECT 'SELECT pg_prewarm(c.oid) FROM pg_class AS c WHERE c.relkind IN (''r'', ''i'') AND c.relnamespace IN (''cx''::regnamespace, ''bench''::regnamespace)'
FROM pg_available_extensions AS e WHERE e.name = 'pg_prewarm';
SQL
)
sql -c "CREATE FUNCTION bench.insert_edge(namespace_a text, value_a text, namespace_b text, value_b text) RETURNS bigint LANGUAGE sql AS
        'INSERT INTO bench.edge (namespace_a, value_a, namespace_b, value_b) VALUES (\$1, \$2, \$3, \$4) RETURNING edge_id'"
for size in $((SIZE / 4)) $((SIZE / 2)) "$SIZE"; do
	echo "identity: single links, $size identifiers" >&2
	sql -c "CALL bench.fill($size)" -c 'VACUUM ANALYZE'
	for way in ours:cxm.link by_hand:bench.link insert:bench.insert_edge; do
		script "${way#*:}" $((size / 3)) > "$TEMP/${way%:*}.sql"
	done
	round=0
	differences=0
	while [ $round -lt "$RUNS" ]; do
		round=$((round + 1))
		turn ours "$size" 'SELECT count(*) FROM cx.profile WHERE canonical_id = profile_id'
		[ $round -ne "$RUNS" ] || wrong=$(psql -XqAt -d "${DB}_run" -c 'SELECT cxm.identity_differences()')
		turn by_hand "$size" 'SELECT count(*) FROM bench.profile'
		more=$(($(cat "$TEMP/ours.people") - $(cat "$TEMP/by_hand.people")))
		differences=$((differences + ${more#-}))
		[ "$size" -ne "$SIZE" ] || send insert "$size" 8 $((size / 30))
	done
	verdict "$size identifiers, 8 clients: ours" "$(median "ours.$size.8")" links/s
	verdict "$size identifiers, 8 clients: row locks by hand" "$(median "by_hand.$size.8")" links/s
	verdict "$size identifiers, 8 clients: ours to by hand" "$(quotient "$(median "ours.$size.8")" "$(median "by_hand.$size.8")")" times '>=' 2
	verdict '  people more or fewer than by hand' "$differences" people '<=' 0
	verdict '  people who are not whom the links say' "$wrong" people '<=' 0
done
drop "${DB}_run"
verdict "$SIZE identifiers, 1 client: ours" "$(median "ours.$SIZE.1")" links/s
verdict "$SIZE identifiers, 1 client: row locks by hand" "$(median "by_hand.$SIZE.1")" links/s
verdict "$SIZE identifiers, 1 client: ours to by hand" "$(quotient "$(median "ours.$SIZE.1")" "$(median "by_hand.$SIZE.1")")" times
verdict '8 clients: bare insert of the edge' "$(median "insert.$SIZE.8")" links/s
verdict "growth: rate at $SIZE to rate at $((SIZE / 4)), 8 clients" "$(quotient "$(median "ours.$SIZE.8")" "$(median "ours.$((SIZE / 4)).8")")" times '>=' 0.67

ms=$(sql -c '\timing on' -c 'SELECT bench.limits(true)' | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
verdict 'limits put on: all people worked out again' "$ms" ms
sql -c 'VACUUM ANALYZE'
refused=$(sql -c 'SELECT count(*) FROM cx.link WHERE refused IS NOT NULL')
cp "$TEMP/ours.sql" "$TEMP/limited.sql"
cp "$TEMP/by_hand.sql" "$TEMP/beside.sql"
round=0
while [ $round -lt "$RUNS" ]; do
	round=$((round + 1))
	turn limited "$SIZE" 'SELECT count(*) FROM cx.link WHERE refused IS NOT NULL'
	[ $round -ne "$RUNS" ] || wrong=$(psql -XqAt -d "${DB}_run" -c 'SELECT cxm.identity_differences()')
	turn beside "$SIZE" 'SELECT count(*) FROM bench.profile'
done
drop "${DB}_run"
verdict "$SIZE identifiers, 8 clients: ours with limits" "$(median "limited.$SIZE.8")" links/s
verdict "$SIZE identifiers, 8 clients: by hand without, in turn with these" "$(median "beside.$SIZE.8")" links/s
verdict "$SIZE identifiers, 8 clients: ours with limits to by hand without" "$(quotient "$(median "limited.$SIZE.8")" "$(median "beside.$SIZE.8")")" times '>=' 2
verdict '  links that the limits refused in a run' $(($(cat "$TEMP/limited.people") - refused)) links '>=' 1
verdict '  people who are not whom the links say' "$wrong" people '<=' 0

# ---- many links in one statement

first=
for links in 10000 100000 1000000; do
	echo "identity: $links links in one statement" >&2
	ms=$(sql -c "SELECT bench.link_groups('g$links-', $links)")
	rate=$(awk -v n="$links" -v ms="$ms" 'BEGIN { print n / ms * 1000 }')
	verdict "$links links in one statement" "$rate" links/s '>=' 30000
	ms=$(sql -c "SELECT bench.link_groups('g$links-', $links)")
	verdict "  the same said again" "$(awk -v n="$links" -v ms="$ms" 'BEGIN { print n / ms * 1000 }')" links/s
	first=${first:-$rate}
done
verdict 'growth: rate of the largest statement to that of the smallest' "$(quotient "$rate" "$first")" times '>=' 0.5

# ---- taken back

for size in 10 100 2000; do
	for what in bridge spoke nothing; do
		sql -c "SELECT ms, apart FROM generate_series(1, 7), LATERAL bench.unmerge($size + 0 * generate_series, '$what')" | tr '|' ' ' > "$TEMP/unmerge"
		parts=$(awk '{ print $2 }' "$TEMP/unmerge" | sort -u)
		if [ "$parts" != "$([ $what = nothing ] && echo 1 || echo 2)" ]; then
			echo "taking back the $what left $parts people" >&2
			exit 1
		fi
		ms=$(awk '{ print $1 }' "$TEMP/unmerge" | sort -n | sed -n 4p)
		case $size in
			2000) verdict "unmerge of a profile of $size: $what" "$ms" ms '<=' 50 ;;
			*) verdict "unmerge of a profile of $size: $what" "$ms" ms '<=' 5 ;;
		esac
	done
done

# ---- hostile graphs

chain=100000
people=10000
if [ "$SCALE" = full ]; then
	chain=1000000
	people=100000
fi
echo "identity: a chain of $chain, a device of $people people" >&2
plain=$(sql -c "SELECT bench.next_link('email', 'e1@x', 'anonymous_id', 'plain', true, 50)")
verdict 'single link to a new identifier, an ordinary profile' "$plain" ms
ms=$(sql -c "SELECT bench.link_set(array_agg('anonymous_id'::text), array_agg('chain' || g ORDER BY g), (array_agg(g ORDER BY g))[1:$chain - 1], (array_agg(g ORDER BY g))[2:]) FROM generate_series(1, $chain) AS g")
verdict "a chain of $chain in one statement" "$(awk -v n="$chain" -v ms="$ms" 'BEGIN { print n / ms * 1000 }')" links/s '>=' 30000
verdict '  people in it' "$(sql -c "SELECT count(DISTINCT canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value LIKE 'chain%'")" people '<=' 1
verdict '  a new identifier at its end' "$(sql -c "SELECT bench.next_link('anonymous_id', 'chain$chain', 'anonymous_id', 'end', true, 50)")" ms '<=' 5
verdict '  an address at its middle' "$(sql -c "SELECT bench.next_link('anonymous_id', 'chain$((chain / 2))', 'email', 'middle@x', false, 1)")" ms
verdict '  a merge with an ordinary profile' "$(sql -c "SELECT bench.next_link('anonymous_id', 'chain7', 'email', 'e77@x', false, 1)")" ms
verdict '  said again' "$(sql -c "SELECT bench.next_link('anonymous_id', 'chain7', 'email', 'e77@x', false, 50)")" ms '<=' 5
cut="SELECT cxm.retire_links(ARRAY(SELECT l.link_id FROM cx.link AS l JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b
     WHERE l.retired_at IS NULL AND a.value IN ('chain$((chain / 2))', 'chain$((chain / 2 + 1))') AND b.value IN ('chain$((chain / 2))', 'chain$((chain / 2 + 1))')), 'bench')"
verdict '  cut in its midst' "$(sql -c '\timing on' -c "$cut" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')" ms
verdict '  people in it then' "$(sql -c "SELECT count(DISTINCT canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value LIKE 'chain%'")" people '>=' 2
verdict '  joined again' "$(sql -c "SELECT bench.next_link('anonymous_id', 'chain$((chain / 2))', 'anonymous_id', 'chain$((chain / 2 + 1))', false, 1)")" ms

for size in 3 2; do
	for prefix in large other; do
		prefix=$prefix$size-
		sql -c "SELECT bench.link_set(array_agg(CASE WHEN g <= $size THEN 'email' ELSE 'anonymous_id' END ORDER BY g), array_agg('$prefix' || CASE WHEN g <= $size THEN g || '@x' ELSE g::text END ORDER BY g), array_agg(1) FILTER (WHERE g > 1), array_agg(g ORDER BY g) FILTER (WHERE g > 1)) FROM generate_series(1, $people + 10) AS g" >/dev/null
	done
done
verdict "a link that counts refuse between two people of $people" "$(sql -c "SELECT bench.next_link('email', 'other3-1@x', 'anonymous_id', 'large3-1', true, 9)")" ms '<=' 5
verdict '  people in them' "$(sql -c "SELECT count(DISTINCT canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value IN ('large3-10', 'other3-10')")" people '>=' 2
verdict "a merge of two people of $people that is allowed" "$(sql -c "SELECT bench.next_link('email', 'e1@x', 'anonymous_id', 'warm', true, 5)" -c "SELECT bench.next_link('email', 'other2-1@x', 'anonymous_id', 'large2-10', false, 1)" | tail -1)" ms '<=' 5
verdict '  people in them' "$(sql -c "SELECT count(DISTINCT canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value IN ('large2-10', 'other2-10')")" people '<=' 1

ms=$(sql -c "SELECT bench.link_set(array_agg(CASE WHEN g = 1 THEN 'device_id' ELSE 'email' END ORDER BY g), array_agg(CASE WHEN g = 1 THEN 'till' ELSE 'person' || g || '@x' END ORDER BY g), (array_agg(1))[1:$people], (array_agg(g ORDER BY g))[2:]) FROM generate_series(1, $people + 1) AS g")
verdict "a device of $people people in one statement" "$(awk -v n="$people" -v ms="$ms" 'BEGIN { print n / ms * 1000 }')" links/s '>=' 30000
verdict '  people in it' "$(sql -c "SELECT count(DISTINCT canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value LIKE 'person%'")" people '>=' "$people"
verdict '  the next person at it' "$(sql -c "SELECT bench.next_link('device_id', 'till', 'email', 'next@x', true, 50)")" ms '<=' 5
verdict '  an address of a person at it' "$(sql -c "SELECT bench.next_link('email', 'person7@x', 'phone', '+49305550', true, 50)")" ms '<=' 5
sql -c "UPDATE cx.namespace SET max_links = NULL" -c "UPDATE cx.store SET rules_version = rules_version + 1" -c '\timing on' -c "SELECT cxm.resolve_all()" > "$TEMP/all"
verdict '  not generic, five people hold: working out all of the store again' "$(sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$TEMP/all" | tail -1)" ms
verdict '  the next person at it then' "$(sql -c "SELECT bench.next_link('device_id', 'till', 'email', 'then@x', true, 5)")" ms
verdict '  people who are not whom the links say' "$(sql -c 'SELECT cxm.identity_differences()')" people '<=' 0

# ---- ten million

if [ "$SCALE" = full ]; then
	sql -c 'DROP SCHEMA cx CASCADE' -c "SELECT cxm.create_store('UTC')" >/dev/null
	batch=0
	began=$(date +%s)
	while [ $batch -lt 50 ]; do
		batch=$((batch + 1))
		sql -c "SELECT bench.link_groups('t$batch-', 200000)" >> "$TEMP/ten"
		[ $((batch % 10)) -ne 0 ] || echo "identity: $batch of 50 batches of 200,000 links" >&2
	done
	verdict '10 million links in batches of 200,000' "$(awk '{ ms += $1 } END { print NR * 200000 / ms * 1000 }' "$TEMP/ten")" links/s '>=' 30000
	verdict '  growth: rate of the last five batches to that of the first five' "$(awk '{ ms[NR] = $1 } END { print (ms[1] + ms[2] + ms[3] + ms[4] + ms[5]) / (ms[46] + ms[47] + ms[48] + ms[49] + ms[50]) }' "$TEMP/ten")" times '>=' 0.67
	verdict '  all told' $(($(date +%s) - began)) s
	sql -c 'VACUUM ANALYZE'
	verdict '  live links' "$(sql -c 'SELECT count(*) FROM cx.link WHERE retired_at IS NULL')" links
	verdict '  bytes a link, tables and indexes' "$(sql -c "SELECT sum(pg_total_relation_size(t))::float8 / (SELECT count(*) FROM cx.link) FROM unnest(ARRAY['cx.link', 'cx.identifier', 'cx.profile', 'cx.identity_change']::regclass[]) AS t")" bytes
	began=$(date +%s)
	verdict '  people who are not whom the links say' "$(sql -c 'SELECT cxm.identity_differences()')" people '<=' 0
	verdict '  finding that out' $(($(date +%s) - began)) s
	# the same calls, of the rings of all batches: an address is the first of eight
	{
		printf '\\set k random(1, 50)\n\\set j random(1, 50)\n'
		script cxm.link 66664 | sed "s/'e' || :\([ab]\) || '@x'/'t' || :k || '-' || 8 * (:\1 \/ 8) || '@x'/; s/'[ab]' || :a/'t' || :j || '-' || 8 * (:a \/ 8) + 1/; /else/,\$ s/:j/:k/"
	} > "$TEMP/ours.sql"
	round=1
	send ours 10000000 8 100000
	verdict '  single links, 8 clients' "$(median ours.10000000.8)" links/s
fi

! grep -q 'MISS$' "$TEMP/lines"
