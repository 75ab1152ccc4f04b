-- identity resolution: laws that hold for any links and rules, in any order
--
-- Random graphs are put into a store by every way there is, changed, and compared after each step with an oracle
-- that solves all of it at once, slowly, from the definition. PGOPTIONS='-c cxm_test.graphs=2000' runs longer; a
-- failure names its graph, and cxm_test.first_graph begins with that one.
SET client_min_messages = warning;
SET timezone = 'UTC';
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;
CREATE SCHEMA oracle;

-- a number that orders like the bits of the given one without a sign
CREATE FUNCTION oracle.unsigned(bits bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN bits # -9223372036854775808;

-- The definition. The partition, why links do not hold and which identifiers are quarantined, from the live links and
-- the rules. Labels (profiles) are not looked at.
CREATE FUNCTION oracle.solve(OUT ids bigint[], OUT namespaces text[], OUT quarantines text[], OUT clusters integer[], OUT is_known boolean[], OUT at timestamptz[],
                             OUT link_ids bigint[], OUT refusals text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    certain boolean[];
    most integer[];
    span interval[];
    never_a integer[];
    never_b integer[];
    l record;
    x integer;
    y integer;
    v_refused text;
BEGIN
    SELECT array_agg(i.identifier_id ORDER BY i.identifier_id), array_agg(i.namespace ORDER BY i.identifier_id),
           array_agg(n.is_unique ORDER BY i.identifier_id), array_agg(n.max_per_profile ORDER BY i.identifier_id), array_agg(n.max_window ORDER BY i.identifier_id),
           array_agg(CASE WHEN cxm.normalize(i.namespace, i.value) IS NULL THEN 'malformed'
                          WHEN EXISTS (SELECT FROM cx.blocked_value AS b
                                       WHERE coalesce(b.namespace = i.namespace, true)
                                         AND (lower(i.value) = b.value OR lower(i.value) ~ ('^(?:' || b.pattern || ')$'))) THEN 'blocked' END ORDER BY i.identifier_id)
    INTO ids, namespaces, certain, most, span, quarantines
    FROM cx.identifier AS i JOIN cx.namespace AS n USING (namespace);

    -- generic: linked to too many that are themselves proper and of which a person has only some
    SELECT array_agg(CASE WHEN quarantines[o.place] IS NOT NULL THEN quarantines[o.place]
                          WHEN (SELECT count(DISTINCT p.place)
                                FROM unnest(ids) WITH ORDINALITY AS p(id, place)
                                JOIN cx.link AS k ON (k.identifier_a, k.identifier_b) IN ((o.id, p.id), (p.id, o.id))
                                WHERE p.place <> o.place AND k.retired_at IS NULL AND k.kind IN ('seen', 'matched') AND quarantines[p.place] IS NULL
                                  AND (certain[p.place] OR most[p.place] IS NOT NULL)) > n.max_links THEN 'generic' END ORDER BY o.place)
    INTO quarantines
    FROM unnest(ids) WITH ORDINALITY AS o(id, place) JOIN cx.namespace AS n ON n.namespace = namespaces[o.place];

    -- what a quarantined identifier is seen with says nothing of it
    SELECT array_agg(EXISTS (SELECT FROM cx.link AS k WHERE k.retired_at IS NULL AND k.verified AND k.kind = 'seen' AND o.id IN (k.identifier_a, k.identifier_b) AND o.quarantine IS NULL)
                     ORDER BY o.place),
           array_agg((SELECT min(k.observed_at) FROM cx.link AS k WHERE k.retired_at IS NULL AND o.id IN (k.identifier_a, k.identifier_b) AND k.kind <> 'never'
                      AND (k.kind = 'pinned' OR o.quarantine IS NULL)) ORDER BY o.place)
    INTO is_known, at
    FROM unnest(ids, quarantines) WITH ORDINALITY AS o(id, quarantine, place);

    SELECT array_agg(array_position(ids, k.identifier_a)), array_agg(array_position(ids, k.identifier_b)) INTO never_a, never_b
    FROM cx.link AS k WHERE k.retired_at IS NULL AND k.kind = 'never';
    clusters := ARRAY(SELECT generate_subscripts(ids, 1));
    link_ids := '{}';
    refusals := '{}';

    FOR l IN
        SELECT k.link_id, k.kind, k.verified, array_position(ids, k.identifier_a) AS a, array_position(ids, k.identifier_b) AS b
        FROM cx.link AS k
        JOIN cx.identifier AS ia ON ia.identifier_id = k.identifier_a JOIN cx.namespace AS na ON na.namespace = ia.namespace
        JOIN cx.identifier AS ib ON ib.identifier_id = k.identifier_b JOIN cx.namespace AS nb ON nb.namespace = ib.namespace
        CROSS JOIN LATERAL (SELECT oracle.unsigned(hashtextextended(ia.namespace || ':' || ia.value, 0)) AS a, oracle.unsigned(hashtextextended(ib.namespace || ':' || ib.value, 0)) AS b) AS h
        WHERE k.retired_at IS NULL AND k.kind <> 'never' AND k.identifier_a <> k.identifier_b
        ORDER BY array_position('{pinned,seen,matched}', k.kind), k.verified DESC, greatest(na.rank, nb.rank), least(na.rank, nb.rank), k.evidence <> '' DESC,
                 coalesce(k.probability, 1) DESC, k.observed_at, least(h.a, h.b), greatest(h.a, h.b)
    LOOP
        x := clusters[l.a];
        y := clusters[l.b];
        v_refused := CASE
            WHEN l.kind <> 'pinned' AND coalesce(quarantines[l.a], quarantines[l.b]) IS NOT NULL THEN coalesce(quarantines[l.a], quarantines[l.b])
            WHEN x = y THEN NULL
            WHEN EXISTS (SELECT FROM unnest(never_a, never_b) AS n(a, b) WHERE (clusters[n.a], clusters[n.b]) IN ((x, y), (y, x))) THEN 'never'
            WHEN EXISTS (SELECT FROM unnest(clusters, namespaces, certain) AS m(c, n, u) WHERE u GROUP BY n HAVING bool_or(c = x) AND bool_or(c = y)) THEN 'unique'
            WHEN l.kind = 'pinned' THEN NULL
            WHEN EXISTS (SELECT FROM unnest(clusters, namespaces, most) AS m(c, n, m) WHERE span[array_position(namespaces, n)] IS NULL AND c IN (x, y)
                         GROUP BY n, m HAVING bool_or(c = x) AND bool_or(c = y) AND count(*) > m) THEN 'limit'
            WHEN EXISTS (SELECT FROM unnest(clusters, namespaces, most, span, at) AS a(c, n, m, s, t)
                         WHERE c IN (x, y) AND s IS NOT NULL
                           AND EXISTS (SELECT FROM unnest(clusters, namespaces) AS o(c, n) WHERE o.c = x AND o.n = a.n)
                           AND EXISTS (SELECT FROM unnest(clusters, namespaces) AS o(c, n) WHERE o.c = y AND o.n = a.n)
                           -- those of one window that begins with this one
                           AND (SELECT count(*) FROM unnest(clusters, namespaces, at) AS o(c, n, t)
                                WHERE o.c IN (x, y) AND o.n = a.n AND o.t >= a.t AND o.t - a.t < a.s) > a.m) THEN 'limit'
            WHEN NOT l.verified AND (SELECT bool_or(k) FILTER (WHERE c = x) AND bool_or(k) FILTER (WHERE c = y) FROM unnest(clusters, is_known) AS m(c, k)) THEN 'unverified'
        END;
        IF v_refused IS NULL AND x <> y THEN
            clusters := array_replace(clusters, y, x);
        END IF;
        link_ids := link_ids || l.link_id;
        refusals := refusals || v_refused;
    END LOOP;

    -- what is one in the end is not refused, whatever it was in its turn
    SELECT array_agg(CASE WHEN r.refused NOT IN ('blocked', 'malformed', 'generic')
                           AND clusters[array_position(ids, k.identifier_a)] = clusters[array_position(ids, k.identifier_b)] THEN NULL ELSE r.refused END ORDER BY r.place)
    INTO refusals
    FROM unnest(link_ids, refusals) WITH ORDINALITY AS r(id, refused, place) JOIN cx.link AS k ON k.link_id = r.id;
END
$$;

-- Whether and by what a link is refused. Of two quarantined ends either may give the reason; of several rules, the one
-- that was met when the link was last looked at.
CREATE FUNCTION oracle.kind_of(refused text, quarantined_a text, quarantined_b text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN refused IN (quarantined_a, quarantined_b) THEN 'quarantine' WHEN refused IN ('never', 'unique', 'limit', 'unverified') THEN 'rule' ELSE refused END;
$$;

-- All that must hold of the store now; a row a breach.
CREATE FUNCTION oracle.breaches() RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    s record;
BEGIN
    s := oracle.solve();

    -- the profiles are the clusters
    RETURN QUERY
    WITH labelled AS (
        SELECT i.namespace || ':' || i.value AS who, c.cluster, p.canonical_id, i.quarantined, c.quarantine
        FROM unnest(s.ids, s.clusters, s.quarantines) AS c(id, cluster, quarantine)
        JOIN cx.identifier AS i ON i.identifier_id = c.id LEFT JOIN cx.profile AS p USING (profile_id)
    )
    SELECT format('%s and %s are %s', a.who, b.who, CASE WHEN a.cluster = b.cluster THEN 'split' ELSE 'overmerged' END)
    FROM labelled AS a JOIN labelled AS b ON a.who < b.who WHERE (a.cluster = b.cluster) IS DISTINCT FROM (a.canonical_id = b.canonical_id)
    UNION ALL
    SELECT format('%s is quarantined as %s instead of %s', l.who, coalesce(l.quarantined, 'nothing'), coalesce(l.quarantine, 'nothing'))
    FROM labelled AS l WHERE l.quarantined IS DISTINCT FROM l.quarantine;

    -- each link says why it does not hold
    RETURN QUERY
    SELECT format('link %s (%s, %s to %s) is refused as %s instead of %s', k.link_id, k.kind, a.namespace || ':' || a.value, b.namespace || ':' || b.value,
                  coalesce(k.refused, 'nothing'), coalesce(o.refused, 'nothing'))
    FROM cx.link AS k
    LEFT JOIN unnest(s.link_ids, s.refusals) AS o(id, refused) ON o.id = k.link_id
    JOIN cx.identifier AS a ON a.identifier_id = k.identifier_a JOIN cx.identifier AS b ON b.identifier_id = k.identifier_b
    WHERE k.retired_at IS NULL AND k.identifier_a <> k.identifier_b
      AND oracle.kind_of(k.refused, a.quarantined, b.quarantined) IS DISTINCT FROM oracle.kind_of(o.refused, a.quarantined, b.quarantined);

    -- what the profiles that stand keep, and those merged away do not
    RETURN QUERY
    WITH expected AS (
        SELECT p.canonical_id, jsonb_object_agg(c.namespace_id, c.n) AS counts, bool_or(c.known) AS is_known, bool_or(c.apart) AS is_kept_apart
        FROM (SELECT p.canonical_id, n.namespace_id, count(*) AS n, bool_or(m.known) AS known,
                     bool_or(EXISTS (SELECT FROM cx.link AS k WHERE k.retired_at IS NULL AND k.kind = 'never' AND m.id IN (k.identifier_a, k.identifier_b))) AS apart
              FROM unnest(s.ids, s.namespaces, s.is_known) AS m(id, namespace, known)
              JOIN cx.identifier AS i ON i.identifier_id = m.id JOIN cx.profile AS p USING (profile_id) JOIN cx.namespace AS n ON n.namespace = m.namespace
              GROUP BY 1, 2) AS c
        JOIN cx.profile AS p ON p.canonical_id = c.canonical_id AND p.profile_id = c.canonical_id
        GROUP BY 1
    )
    SELECT format('profile %s keeps (%s, %s, %s) instead of (%s, %s, %s)', p.profile_id, p.counts, p.is_known, p.is_kept_apart, e.counts, e.is_known, e.is_kept_apart)
    FROM cx.profile AS p LEFT JOIN expected AS e USING (canonical_id)
    WHERE CASE WHEN p.profile_id <> p.canonical_id THEN p.counts <> '{}' OR p.is_known OR p.is_kept_apart
               ELSE (SELECT jsonb_object_agg(u.place, u.n) FROM unnest(p.counts) WITH ORDINALITY AS u(n, place) WHERE u.n <> 0) IS DISTINCT FROM e.counts
                    OR p.is_known IS DISTINCT FROM e.is_known OR p.is_kept_apart IS DISTINCT FROM e.is_kept_apart END
    UNION ALL
    SELECT format('profile %s is led to %s, and %s is the oldest there', p.profile_id, p.canonical_id, o.oldest)
    FROM cx.profile AS p LEFT JOIN (SELECT q.canonical_id, min(q.profile_id) AS oldest FROM cx.profile AS q GROUP BY 1) AS o USING (canonical_id)
    WHERE p.canonical_id IS DISTINCT FROM o.oldest OR NOT EXISTS (SELECT FROM cx.profile AS q WHERE q.profile_id = p.canonical_id AND q.canonical_id = q.profile_id);

    -- the promises by themselves, whatever the oracle says
    RETURN QUERY
    WITH labelled AS (
        SELECT i.*, p.canonical_id, n.is_unique, n.max_per_profile, n.max_window,
               EXISTS (SELECT FROM cx.link AS k WHERE k.retired_at IS NULL AND k.kind = 'pinned' AND i.identifier_id IN (k.identifier_a, k.identifier_b)) AS is_pinned
        FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) JOIN cx.namespace AS n USING (namespace)
    )
    SELECT format('profile %s has %s of unique %s', l.canonical_id, count(*), l.namespace) FROM labelled AS l WHERE l.is_unique GROUP BY l.canonical_id, l.namespace HAVING count(*) > 1
    UNION ALL
    SELECT format('profile %s has %s of limited %s', l.canonical_id, count(*), l.namespace)
    FROM labelled AS l
    WHERE l.max_window IS NULL AND NOT EXISTS (SELECT FROM labelled AS o WHERE o.canonical_id = l.canonical_id AND o.is_pinned)
    GROUP BY l.canonical_id, l.namespace, l.max_per_profile HAVING count(*) > l.max_per_profile
    UNION ALL
    SELECT format('never %s - %s are one', k.identifier_a, k.identifier_b)
    FROM cx.link AS k JOIN labelled AS a ON a.identifier_id = k.identifier_a JOIN labelled AS b ON b.identifier_id = k.identifier_b
    WHERE k.kind = 'never' AND k.retired_at IS NULL AND a.canonical_id = b.canonical_id
    UNION ALL
    SELECT format('%s %s:%s is not alone', l.quarantined, l.namespace, l.value) FROM labelled AS l
    WHERE l.quarantined IS NOT NULL AND NOT l.is_pinned AND EXISTS (SELECT FROM labelled AS o WHERE o.canonical_id = l.canonical_id AND o.identifier_id <> l.identifier_id)
    UNION ALL
    SELECT 'identity_differences()' WHERE cxm.identity_differences() <> 0
    UNION ALL
    SELECT format('identity_check() says %s', c) FROM cxm.identity_check() AS c;
END
$$;

-- What the log of changes says of the change since the labels were last noted: a row a breach.
CREATE TABLE oracle.noted_identifier (identifier_id bigint, profile_id bigint);
CREATE TABLE oracle.noted_profile (profile_id bigint, canonical_id bigint);
CREATE TABLE oracle.noted_change (change_id bigint);
CREATE FUNCTION oracle.note() RETURNS void LANGUAGE sql AS $$
    TRUNCATE oracle.noted_identifier, oracle.noted_profile, oracle.noted_change;
    INSERT INTO oracle.noted_identifier SELECT i.identifier_id, i.profile_id FROM cx.identifier AS i;
    INSERT INTO oracle.noted_profile SELECT p.profile_id, p.canonical_id FROM cx.profile AS p;
    INSERT INTO oracle.noted_change SELECT coalesce(max(c.change_id), 0) FROM cx.identity_change AS c;
$$;
CREATE FUNCTION oracle.log_breaches() RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH change AS (SELECT c.* FROM cx.identity_change AS c WHERE c.change_id > (SELECT n.change_id FROM oracle.noted_change AS n))
    SELECT format('profile %s went from %s to %s, the log says %s', n.profile_id, n.canonical_id, p.canonical_id, coalesce(c.to_profile::text, 'nothing'))
    FROM oracle.noted_profile AS n JOIN cx.profile AS p USING (profile_id)
    LEFT JOIN LATERAL (SELECT c.to_profile FROM change AS c WHERE c.profile_id = n.profile_id AND c.identifier_id IS NULL ORDER BY c.change_id DESC LIMIT 1) AS c ON true
    WHERE p.canonical_id <> coalesce(c.to_profile, n.canonical_id)
    UNION ALL
    SELECT format('identifier %s went from %s to %s, the log says %s', n.identifier_id, n.profile_id, i.profile_id, coalesce(c.to_profile::text, 'nothing'))
    FROM oracle.noted_identifier AS n JOIN cx.identifier AS i USING (identifier_id)
    LEFT JOIN LATERAL (SELECT c.to_profile FROM change AS c WHERE c.identifier_id = n.identifier_id ORDER BY c.change_id DESC LIMIT 1) AS c ON true
    WHERE i.profile_id <> coalesce(c.to_profile, n.profile_id)
    UNION ALL
    SELECT format('change %s of profile %s from %s to itself', c.change_id, c.profile_id, c.from_profile) FROM change AS c WHERE c.identifier_id IS NULL AND c.from_profile = c.to_profile;
$$;

CREATE FUNCTION oracle.pick(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(n * random())::integer $$;
CREATE FUNCTION oracle.toss(probability float8) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < probability $$;

-- about 20 identifiers of five namespaces
CREATE FUNCTION oracle.identifier(OUT namespace text, OUT value text) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    namespace := (ARRAY['user_id', 'loyalty_id', 'email', 'phone', 'device_id'])[1 + oracle.pick(5)];
    value := CASE namespace WHEN 'email' THEN format('e%s@x.org', oracle.pick(5)) WHEN 'phone' THEN format('+4930%s', 100 + oracle.pick(4)) ELSE left(namespace, 1) || oracle.pick(4) END;
END
$$;
CREATE FUNCTION oracle.identifiers(n integer) RETURNS TABLE (namespace text, value text) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        SELECT * INTO namespace, value FROM oracle.identifier();
        RETURN NEXT;
    END LOOP;
END
$$;

-- In late graphs links come in the order of their times, mostly one by one and not verified, and there are no windows:
-- so that what comes is often weaker than all that holds already, and counts alone decide on it.
CREATE SEQUENCE oracle.clock;
CREATE FUNCTION oracle.is_late() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT coalesce(current_setting('cxm_test.is_late', true) = 'true', false) $$;
CREATE FUNCTION oracle.time() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN oracle.is_late() AND oracle.toss(0.95) THEN timestamptz '2024-03-01' + nextval('oracle.clock') * interval '1 minute'
                ELSE timestamptz '2024-01-25' + oracle.pick(40) * interval '6 hours' END
$$;

-- a record that carries two or three identifiers
CREATE FUNCTION oracle.record(message_id text DEFAULT NULL) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('identifiers', jsonb_object_agg(n.namespace, n.vals), 'at', oracle.time(), 'verified', oracle.toss(0.3), 'message_id', message_id)
    FROM (SELECT i.namespace, jsonb_agg(DISTINCT i.value) AS vals
          FROM oracle.identifiers(2 + oracle.pick(2)) AS i GROUP BY i.namespace) AS n;
$$;

CREATE FUNCTION oracle.empty() RETURNS void LANGUAGE sql AS $$
    TRUNCATE cx.link, cx.identifier, cx.profile, cx.identity_change, cx.trait, cx.message CASCADE;
$$;

-- rules at random, by the way that a change of rules takes
CREATE FUNCTION oracle.rules(density float8) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    UPDATE cx.namespace AS n SET max_per_profile = NULL, max_window = NULL, is_unique = false, max_links = NULL;
    UPDATE cx.namespace AS n
    SET max_per_profile = CASE WHEN oracle.toss(density) THEN 1 + oracle.pick(3) END,
        is_unique = oracle.toss(density / (CASE n.namespace WHEN 'user_id' THEN 1 ELSE 6 END)),
        max_links = CASE WHEN oracle.toss(density) THEN 2 + oracle.pick(4) END;
    UPDATE cx.namespace AS n SET max_window = (ARRAY['1 day', '2 days 12:00', '1 mon'])[1 + oracle.pick(3)]::interval
    WHERE n.max_per_profile IS NOT NULL AND NOT oracle.is_late() AND oracle.toss(0.4);
    DELETE FROM cx.blocked_value;
    INSERT INTO cx.blocked_value (namespace, value, pattern)
    SELECT * FROM (VALUES ('email', 'e0@x.org', NULL), ('phone', NULL, '\+49(30)?1.2'), (NULL, NULL, 'd|d1'), ('device_id', 'e1@x.org', NULL)) AS b WHERE oracle.toss(density / 4);
    UPDATE cx.store SET rules_version = rules_version + 1;
    PERFORM cxm.resolve_all();
END
$$;

-- links by hand: matched, pinned, never, and seen ones
CREATE FUNCTION oracle.add_links() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_links bigint[];
BEGIN
    WITH pair AS MATERIALIZED (
        SELECT a.identifier_id AS a, b.identifier_id AS b, (ARRAY['matched', 'matched', 'pinned', 'never', 'seen'])[1 + oracle.pick(5)] AS kind
        FROM (SELECT i.identifier_id FROM cx.identifier AS i ORDER BY random() LIMIT 3) AS a
        CROSS JOIN (SELECT i.identifier_id FROM cx.identifier AS i ORDER BY random() LIMIT 3) AS b
        WHERE a.identifier_id < b.identifier_id
    ), added AS (
        INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, evidence, probability, verified, observed_at)
        SELECT p.a, p.b, p.kind, cxm.source_id('hand'), CASE WHEN oracle.toss(0.5) THEN 'sheet' ELSE '' END,
               CASE WHEN p.kind = 'matched' THEN (ARRAY[0.9, 0.95, 0.9500001, 0.99])[1 + oracle.pick(4)] END, p.kind = 'seen' AND oracle.toss(0.5), oracle.time()
        FROM pair AS p
        ON CONFLICT DO NOTHING
        RETURNING link.link_id
    )
    SELECT array_agg(a.link_id) INTO v_links FROM added AS a;
    PERFORM cxm.resolve_links(coalesce(v_links, '{}'));
END
$$;

CREATE FUNCTION oracle.some_links(n integer) RETURNS bigint[] LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(array_agg(l.link_id), '{}') FROM (SELECT k.link_id FROM cx.link AS k WHERE k.retired_at IS NULL ORDER BY random() LIMIT n) AS l;
$$;

-- links that are no longer what they were
CREATE FUNCTION oracle.change_links(ids bigint[]) RETURNS bigint[] LANGUAGE sql VOLATILE AS $$
    WITH changed AS (
        UPDATE cx.link AS k
        SET verified = CASE WHEN k.kind = 'seen' AND k.identifier_a <> k.identifier_b THEN random() < 0.5 ELSE k.verified END, observed_at = oracle.time(),
            retired_at = c.retired_at, retired_by = CASE WHEN c.retired_at IS NOT NULL THEN 'test' END, retired_reason = CASE WHEN c.retired_at IS NOT NULL THEN 'test' END
        FROM (SELECT u.id, CASE WHEN random() < 0.2 THEN now() END AS retired_at FROM unnest(ids) AS u(id)) AS c
        WHERE k.link_id = c.id
        RETURNING k.link_id
    )
    SELECT coalesce(array_agg(c.link_id), '{}') FROM changed AS c;
$$;

-- one step; what it was
CREATE FUNCTION oracle.step(density float8) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    r jsonb := oracle.record();
    a record;
    b record;
    n integer := 1 + oracle.pick(6);
    v_names text[];
    v_values text[];
BEGIN
    CASE (CASE WHEN oracle.is_late() AND oracle.toss(0.5) THEN 5 ELSE oracle.pick(14) END)
        WHEN 0, 1, 2 THEN
            PERFORM cxm.identify(r -> 'identifiers', at => (r ->> 'at')::timestamptz, verified => (r ->> 'verified')::boolean,
                                 source => 's' || oracle.pick(2), message_id => CASE WHEN oracle.toss(0.5) THEN 'm' || oracle.pick(1000000) END);
            RETURN format('identify %s', r);
        WHEN 3, 4 THEN
            r := (SELECT jsonb_agg(oracle.record('b' || oracle.pick(1000000))) FROM generate_series(1, n));
            PERFORM cxm.identify_batch(r, 's' || oracle.pick(2));
            RETURN format('identify_batch %s', r);
        WHEN 5, 6 THEN
            a := oracle.identifier();
            b := oracle.identifier();
            PERFORM cxm.link(namespace_a => a.namespace, value_a => a.value, namespace_b => b.namespace, value_b => b.value,
                             source => 's' || oracle.pick(2), observed_at => oracle.time(),
                             verified => oracle.toss(CASE WHEN oracle.is_late() THEN 0.1 ELSE 0.3 END), evidence => CASE WHEN oracle.toss(0.2) THEN 'l' ELSE '' END)
            WHERE (a.namespace, a.value) <> (b.namespace, b.value);
            RETURN format('link %s %s', a, b);
        WHEN 7 THEN
            -- the distinct identifiers of some pairs, one of them malformed now and then
            SELECT array_agg(d.namespace), array_agg(d.value) INTO v_names, v_values
            FROM (SELECT DISTINCT * FROM (SELECT * FROM oracle.identifiers(n + 1)
                                          UNION ALL SELECT * FROM (VALUES ('email', 'nobody'), ('phone', '0')) AS x(namespace, value) WHERE oracle.toss(0.3)) AS i) AS d;
            -- records of one to three of them, in any order
            PERFORM cxm.link_identifiers(cxm.source_id('set'), v_names, v_values, (SELECT array_agg(cxm.normalize(u.n, u.v) IS NULL) FROM unnest(v_names, v_values) AS u(n, v)),
                                         e.records, e.places, r.times, r.evidence, r.verified)
            FROM (SELECT array_agg(p.record ORDER BY p.record, p.place % 3, p.place) AS records, array_agg(p.place ORDER BY p.record, p.place % 3, p.place) AS places
                  FROM (SELECT DISTINCT g AS record, 1 + oracle.pick(cardinality(v_names)) AS place FROM generate_series(1, n) AS g, generate_series(1, 3)) AS p) AS e,
                 (SELECT array_agg(oracle.time()) AS times, array_agg(CASE WHEN oracle.toss(0.3) THEN 'e' ELSE '' END) AS evidence, array_agg(oracle.toss(0.2)) AS verified
                  FROM generate_series(1, n)) AS r;
            RETURN format('link_identifiers %s %s', v_names, v_values);
        WHEN 8, 9 THEN
            PERFORM oracle.add_links();
            RETURN 'links by hand';
        WHEN 10, 11 THEN
            PERFORM cxm.retire_links(oracle.some_links(1 + oracle.pick(4)), 'test');
            RETURN 'retire_links';
        WHEN 12 THEN
            PERFORM cxm.resolve_links(oracle.change_links(oracle.some_links(2)));
            RETURN 'changed links';
        ELSE
            PERFORM oracle.rules(density);
            RETURN 'rules';
    END CASE;
END
$$;

CREATE FUNCTION oracle.first_graph() RETURNS integer LANGUAGE sql AS $$
    SELECT coalesce(nullif(current_setting('cxm_test.first_graph', true), '')::integer, 1);
$$;
CREATE FUNCTION oracle.last_graph(usual integer) RETURNS integer LANGUAGE sql AS $$
    SELECT oracle.first_graph() - 1 + coalesce(nullif(current_setting('cxm_test.graphs', true), '')::integer, usual);
$$;

-- what was met on the way, lest a law hold for want of cases
CREATE TABLE oracle.met (what text);

-- after every step of any kind the store is what its live links and rules say
DO $$
DECLARE
    v_density float8;
    v_trail text[];
    v_breaches text[];
BEGIN
    FOR g IN oracle.first_graph() .. oracle.last_graph(60) LOOP
        PERFORM setseed(g * 0.6180339887 % 1);
        PERFORM set_config('cxm_test.is_late', (g % 4 = 3)::text, true);
        v_density := (ARRAY[0, 0.3, 0.6])[1 + g % 3];
        IF oracle.is_late() THEN
            v_density := (ARRAY[0.3, 0.6, 0.9])[1 + g % 3];
        END IF;
        v_trail := '{}';
        PERFORM oracle.empty();
        PERFORM oracle.rules(v_density);
        FOR i IN 1 .. CASE WHEN oracle.is_late() THEN 24 ELSE 12 END LOOP
            PERFORM oracle.note();
            v_trail := v_trail || oracle.step(v_density);
            v_breaches := ARRAY(SELECT oracle.breaches() UNION ALL SELECT oracle.log_breaches());
            IF v_breaches <> '{}' THEN
                RAISE EXCEPTION 'graph %, step %: %', g, i, array_to_string(v_breaches[1:8], '; ')
                    USING DETAIL = array_to_string(v_trail, E'\n');
            END IF;
        END LOOP;
        INSERT INTO oracle.met SELECT 'refused: ' || k.refused FROM cx.link AS k WHERE k.retired_at IS NULL AND k.refused IS NOT NULL
                     UNION ALL SELECT 'held: ' || k.kind FROM cx.link AS k WHERE k.retired_at IS NULL AND k.refused IS NULL
                     UNION ALL SELECT 'quarantined: ' || i.quarantined FROM cx.identifier AS i WHERE i.quarantined IS NOT NULL
                     UNION ALL SELECT 'changed: ' || c.cause || CASE WHEN c.identifier_id IS NULL THEN ', profile' ELSE ', identifier' END FROM cx.identity_change AS c;
    END LOOP;
END $$;
SELECT what, count(*) > 4 AS often FROM oracle.met GROUP BY what ORDER BY what COLLATE "C";
SET cxm_test.is_late = false;

-- Statements: records, and links by hand as {kind, a, b, at, probability}
CREATE FUNCTION oracle.statements(prefix text, n integer) RETURNS SETOF jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN g % 4 = 0
                THEN (SELECT jsonb_build_object('kind', (ARRAY['matched', 'pinned', 'never'])[1 + oracle.pick(3)], 'a', to_jsonb(a), 'b', to_jsonb(b), 'at', oracle.time(),
                                                'probability', (ARRAY[0.9, 0.95, 0.9500001, 0.99])[1 + oracle.pick(4)], 'message_id', prefix || g)
                      FROM oracle.identifier() AS a, oracle.identifier() AS b)
                ELSE oracle.record(prefix || g) END
    FROM generate_series(1, n) AS g;
$$;

CREATE FUNCTION oracle.state(statements jsonb[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_links bigint[];
BEGIN
    PERFORM cxm.identify_batch((SELECT jsonb_agg(s) FROM unnest(statements) AS s WHERE s ? 'identifiers'), 'statements') WHERE EXISTS (SELECT FROM unnest(statements) AS s WHERE s ? 'identifiers');
    PERFORM cxm.track('view', jsonb_build_object(x ->> 'namespace', x ->> 'value'), at => '2024-02-01')
    FROM unnest(statements) AS s, LATERAL (VALUES (s -> 'a'), (s -> 'b')) AS e(x) WHERE s ? 'kind';
    WITH added AS (
        INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, evidence, probability, observed_at)
        SELECT least(a.identifier_id, b.identifier_id), greatest(a.identifier_id, b.identifier_id), s ->> 'kind', cxm.source_id('statements'), s ->> 'message_id',
               CASE WHEN s ->> 'kind' = 'matched' THEN (s ->> 'probability')::float8 END, (s ->> 'at')::timestamptz
        FROM unnest(statements) AS s
        JOIN cx.identifier AS a ON a.namespace = s -> 'a' ->> 'namespace' AND a.value = s -> 'a' ->> 'value'
        JOIN cx.identifier AS b ON b.namespace = s -> 'b' ->> 'namespace' AND b.value = s -> 'b' ->> 'value'
        WHERE a.identifier_id <> b.identifier_id
        RETURNING link_id
    )
    SELECT array_agg(added.link_id) INTO v_links FROM added;
    PERFORM cxm.resolve_links(v_links) WHERE v_links IS NOT NULL;
END
$$;

-- the same in any order, in batches of any size
CREATE FUNCTION oracle.state_shuffled(statements jsonb[], size integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_batch jsonb[];
BEGIN
    FOR v_batch IN
        SELECT array_agg(b.s ORDER BY b.place)
        FROM (SELECT u.s, row_number() OVER (ORDER BY random()) AS place FROM unnest(statements) AS u(s)) AS b GROUP BY b.place / size ORDER BY b.place / size
    LOOP
        PERFORM oracle.state(v_batch);
    END LOOP;
END
$$;

-- who is who and why not, by names alone; identifiers that nothing is said of are left out
CREATE FUNCTION oracle.picture() RETURNS text[] LANGUAGE sql STABLE AS $$
    WITH name AS (
        SELECT i.identifier_id, i.namespace || ':' || i.value AS who, p.canonical_id, i.quarantined
        FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
        WHERE EXISTS (SELECT FROM cx.link AS k WHERE k.retired_at IS NULL AND i.identifier_id IN (k.identifier_a, k.identifier_b))
    )
    SELECT array_agg(x.line ORDER BY x.line COLLATE "C")
    FROM (SELECT string_agg(n.who || coalesce(' ' || n.quarantined, ''), ', ' ORDER BY n.who COLLATE "C") FROM name AS n GROUP BY n.canonical_id
          UNION ALL
          SELECT format('%s of %s and %s from %s does not hold: %s', k.kind, least(a.who, b.who), greatest(a.who, b.who), k.evidence,
                        oracle.kind_of(k.refused, a.quarantined, b.quarantined))
          FROM cx.link AS k JOIN name AS a ON a.identifier_id = k.identifier_a JOIN name AS b ON b.identifier_id = k.identifier_b
          WHERE k.retired_at IS NULL AND k.refused IS NOT NULL) AS x(line);
$$;
CREATE FUNCTION oracle.must_be_same(graph integer, what text, a text[], b text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF a IS DISTINCT FROM b THEN
        RAISE EXCEPTION 'graph %: % differs', graph, what
            USING DETAIL = format(E'before, not after: %s\nafter, not before: %s',
                                  ARRAY(SELECT unnest(a) EXCEPT SELECT unnest(b)), ARRAY(SELECT unnest(b) EXCEPT SELECT unnest(a)));
    END IF;
END
$$;

DO $$
DECLARE
    v_density float8;
    v_said jsonb[];
    v_merging jsonb[];
    v_later jsonb[];
    v_ids text[];
    v_before text[];
    v_labels bigint[];
    v_breaches text[];
BEGIN
    FOR g IN oracle.first_graph() .. oracle.last_graph(18) LOOP
        PERFORM setseed(g * 0.6180339887 % 1);
        v_density := (ARRAY[0, 0.3, 0.6])[1 + g % 3];
        PERFORM oracle.empty();
        PERFORM oracle.rules(v_density);
        v_said := ARRAY(SELECT oracle.statements('s', 14));
        v_merging := ARRAY(SELECT oracle.statements('m', 1 + oracle.pick(5)));
        v_later := ARRAY(SELECT oracle.statements('l', oracle.pick(6)));
        IF v_density = 0 THEN
            -- nothing that could be refused
            v_said := ARRAY(SELECT s || '{"verified": true}' FROM unnest(v_said) AS s WHERE coalesce(s ->> 'kind' = 'pinned', true));
            v_merging := ARRAY(SELECT s || '{"verified": true}' FROM unnest(v_merging) AS s WHERE coalesce(s ->> 'kind' = 'pinned', true));
        END IF;

        -- any order gives the same people and the same reasons
        PERFORM oracle.state_shuffled(v_said, 1);
        v_before := oracle.picture();
        PERFORM oracle.empty();
        PERFORM oracle.state_shuffled(v_said, 1);
        PERFORM oracle.must_be_same(g, 'one by one in another order', v_before, oracle.picture());
        PERFORM oracle.empty();
        PERFORM oracle.state_shuffled(v_said, 2 + oracle.pick(6));
        PERFORM oracle.must_be_same(g, 'in batches', v_before, oracle.picture());
        PERFORM oracle.empty();
        PERFORM oracle.state(v_said);
        PERFORM oracle.must_be_same(g, 'all at once', v_before, oracle.picture());

        -- merged and unmerged is never merged
        v_ids := ARRAY(SELECT m ->> 'message_id' FROM unnest(v_merging) AS m);
        v_labels := ARRAY(SELECT p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) ORDER BY i.identifier_id);
        PERFORM oracle.state_shuffled(v_merging, 1 + oracle.pick(3));
        INSERT INTO oracle.met SELECT 'merged and unmerged' WHERE v_before IS DISTINCT FROM oracle.picture();
        PERFORM cxm.retire_stale_links(cxm.source_id('statements'), v_ids, NULL, 'test');
        PERFORM oracle.must_be_same(g, 'merged and unmerged', v_before, oracle.picture());
        IF v_density = 0 THEN
            -- where nothing was refused, each has its number back
            ASSERT v_labels = (ARRAY(SELECT p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) ORDER BY i.identifier_id))[1:cardinality(v_labels)],
                   format('graph %s: labels after the unmerge', g);
        END IF;

        -- and later writes stay where they would have gone
        PERFORM oracle.state_shuffled(v_later, 3);
        v_before := oracle.picture();
        PERFORM oracle.empty();
        PERFORM oracle.state(v_said);
        PERFORM oracle.state(v_merging);
        PERFORM oracle.state_shuffled(v_later, 1);
        PERFORM cxm.retire_links(ARRAY(SELECT k.link_id FROM cx.link AS k WHERE k.evidence = ANY (v_ids)), 'test');
        PERFORM oracle.must_be_same(g, 'merged, written to and unmerged', v_before, oracle.picture());

        v_breaches := ARRAY(SELECT oracle.breaches());
        ASSERT v_breaches = '{}', format('graph %s: %s', g, v_breaches);
    END LOOP;
END $$;
SELECT what, count(*) > 4 AS often FROM oracle.met WHERE what = 'merged and unmerged' GROUP BY what;
ROLLBACK;
