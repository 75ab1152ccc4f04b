-- Who is who, under review: undoing and making merges by hand, what was thought at another time, what a rule would
-- change, whether the profiles are what the links say, and why somebody is one person.
--
-- Nothing here decides who is who. What changes it adds or retires links and leaves the rest to cxm.resolve_links().

---- identifiers, profiles and links by name

CREATE FUNCTION cxm.known_identifier(namespace text, value text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what cannot be one of its namespace is kept as it came
    v_value text := coalesce(cxm.normalize(namespace, value), regexp_replace(value, '^[[:space:]]+|[[:space:]]+$', '', 'g'));
    v_id bigint;
BEGIN
    PERFORM cxm.store_version();
    SELECT i.identifier_id INTO v_id FROM cx.identifier AS i
    WHERE i.namespace = known_identifier.namespace COLLATE "C" AND i.value = v_value COLLATE "C";
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'nobody has % "%"', coalesce(namespace, 'NULL'), coalesce(left(v_value, 100), 'NULL')
            USING ERRCODE = 'no_data_found',
                  DETAIL = CASE WHEN EXISTS (SELECT FROM cx.namespace AS n WHERE n.namespace = known_identifier.namespace COLLATE "C")
                                THEN 'The store has not seen this identifier.' ELSE 'There is no such namespace.' END,
                  HINT = 'The identifiers of the store are in cx.identifier.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.known_identifier(text, text) IS
'identifier_id of an identifier, by namespace and value as people write it. Error P0002 when it is not in the store.';

CREATE FUNCTION cxm.standing_profile(profile_id bigint) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM cxm.store_version();
    SELECT p.canonical_id INTO v_id FROM cx.profile AS p WHERE p.profile_id = standing_profile.profile_id;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'there is no profile %', coalesce(profile_id::text, 'NULL')
            USING ERRCODE = 'no_data_found',
                  HINT = 'cxm.customer(namespace, value) gives the profile_id of a person.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.standing_profile(bigint) IS
'The profile that the given one belongs to today: itself unless it was merged away. Error P0002 when there is none of that number.';

CREATE FUNCTION cxm.profile_identifiers(profile_ids bigint[], OUT identifier_id bigint, OUT profile_id bigint, OUT canonical_id bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT i.identifier_id, s.profile_id, s.canonical_id
    FROM (
        SELECT p.profile_id, p.canonical_id FROM cx.profile AS p
        WHERE p.profile_id = ANY (profile_ids) AND p.canonical_id = p.profile_id
        UNION ALL
        SELECT p.profile_id, p.canonical_id FROM cx.profile AS p
        WHERE p.canonical_id = ANY (profile_ids) AND p.canonical_id <> p.profile_id
    ) AS s
    JOIN cx.identifier AS i ON i.profile_id = s.profile_id;
END
$$;

COMMENT ON FUNCTION cxm.profile_identifiers(bigint[]) IS
'The identifiers of the given standing profiles, with the profile (stub) that each is in and the standing one. Each profile is to be named once.';

CREATE FUNCTION cxm.identifier_profiles(identifier_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT DISTINCT p.canonical_id
                 FROM cx.profile AS p
                 WHERE p.profile_id = ANY (ARRAY(SELECT DISTINCT i.profile_id FROM cx.identifier AS i WHERE i.identifier_id = ANY (identifier_ids)))
                 ORDER BY p.canonical_id);
END
$$;

COMMENT ON FUNCTION cxm.identifier_profiles(bigint[]) IS 'The standing profiles that the given identifiers belong to, each once, ascending.';

CREATE FUNCTION cxm.profile_links(profile_ids bigint[],
                                  OUT link_id bigint, OUT place bigint, OUT identifier_a bigint, OUT identifier_b bigint,
                                  OUT profile_a bigint, OUT profile_b bigint, OUT kind text, OUT refused text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- arrays, so that a few identifiers among millions are looked up by index
    v_members bigint[] := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(profile_ids) AS m);
BEGIN
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT l.* FROM cx.link AS l WHERE l.identifier_a = ANY (v_members) AND l.retired_at IS NULL
        UNION ALL
        SELECT l.* FROM cx.link AS l
        WHERE l.identifier_b = ANY (v_members) AND l.retired_at IS NULL AND NOT EXISTS (SELECT FROM unnest(v_members) AS m(id) WHERE m.id = l.identifier_a)
    ), found_end AS MATERIALIZED (
        SELECT i.identifier_id, i.profile_id, n.rank, hashtextextended(i.namespace || ':' || i.value, 0) AS hash
        FROM cx.identifier AS i JOIN cx.namespace AS n ON n.namespace = i.namespace
        WHERE i.identifier_id = ANY (ARRAY(SELECT f.identifier_a FROM found AS f UNION SELECT f.identifier_b FROM found AS f))
    ), profile AS MATERIALIZED (
        SELECT p.profile_id, p.canonical_id FROM cx.profile AS p WHERE p.profile_id = ANY (ARRAY(SELECT DISTINCT e.profile_id FROM found_end AS e))
    )
    SELECT l.link_id,
           CASE WHEN l.kind <> 'never' AND l.identifier_a <> l.identifier_b THEN
               -- the order in which the solver takes links
               row_number() OVER (PARTITION BY l.kind <> 'never' AND l.identifier_a <> l.identifier_b
                                  ORDER BY array_position('{pinned,seen,matched}', l.kind), l.verified DESC,
                                           greatest(a.rank, b.rank), least(a.rank, b.rank),
                                           l.evidence = '', coalesce(l.probability, 1) DESC, l.observed_at,
                                           least(a.hash, b.hash), greatest(a.hash, b.hash), l.link_id)
           END,
           l.identifier_a, l.identifier_b, pa.canonical_id, pb.canonical_id, l.kind, l.refused
    FROM found AS l
    JOIN found_end AS a ON a.identifier_id = l.identifier_a
    JOIN profile AS pa ON pa.profile_id = a.profile_id
    JOIN found_end AS b ON b.identifier_id = l.identifier_b
    JOIN profile AS pb ON pb.profile_id = b.profile_id;
END
$$;

COMMENT ON FUNCTION cxm.profile_links(bigint[]) IS
'The live links that have an end in one of the given standing profiles, with their place in the order in which they are taken (1 = the strongest; NULL for links that keep apart and for those of an identifier to itself), the profiles at their ends today, and why they are refused (NULL = they hold).';

---- why

CREATE FUNCTION cxm.shared_namespaces(profile_a bigint, profile_b bigint,
                                      OUT namespace text, OUT rank integer, OUT is_unique boolean, OUT max_per_profile integer, OUT max_window interval,
                                      OUT count_a bigint, OUT count_b bigint, OUT least_a text, OUT least_b text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n.namespace, n.rank, n.is_unique, n.max_per_profile, n.max_window, c.count_a, c.count_b, c.least_a, c.least_b
    FROM (
        SELECT i.namespace,
               count(*) FILTER (WHERE m.canonical_id = shared_namespaces.profile_a) AS count_a,
               count(*) FILTER (WHERE m.canonical_id = shared_namespaces.profile_b) AS count_b,
               min(i.value) FILTER (WHERE m.canonical_id = shared_namespaces.profile_a) AS least_a,
               min(i.value) FILTER (WHERE m.canonical_id = shared_namespaces.profile_b) AS least_b
        FROM cxm.profile_identifiers(ARRAY[shared_namespaces.profile_a, shared_namespaces.profile_b]) AS m
        JOIN cx.identifier AS i ON i.identifier_id = m.identifier_id
        GROUP BY i.namespace
    ) AS c
    JOIN cx.namespace AS n ON n.namespace = c.namespace
    WHERE c.count_a > 0 AND c.count_b > 0;
END
$$;

COMMENT ON FUNCTION cxm.shared_namespaces(bigint, bigint) IS
'The namespaces of which both of two standing profiles have identifiers, with their rules, how many each has and the least value of each.';

CREATE FUNCTION cxm.link_apart(profile_a bigint, profile_b bigint) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_a bigint[];
    v_b bigint[];
BEGIN
    IF (SELECT count(*) FROM cx.profile AS p WHERE p.profile_id IN (profile_a, profile_b) AND p.is_kept_apart) < 2 THEN
        RETURN NULL;
    END IF;
    v_a := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(ARRAY[profile_a]) AS m);
    v_b := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(ARRAY[profile_b]) AS m);
    RETURN (SELECT min(l.link_id) FROM cx.link AS l
            WHERE l.kind = 'never' AND l.retired_at IS NULL
              AND ((l.identifier_a = ANY (v_a) AND l.identifier_b = ANY (v_b)) OR (l.identifier_a = ANY (v_b) AND l.identifier_b = ANY (v_a))));
END
$$;

COMMENT ON FUNCTION cxm.link_apart(bigint, bigint) IS 'The oldest live link (link_id) of kind never between two standing profiles; NULL when none keeps them apart.';

CREATE FUNCTION cxm.explain_links(link_ids bigint[],
                                  OUT link_id bigint, OUT namespace_a text, OUT value_a text, OUT namespace_b text, OUT value_b text,
                                  OUT kind text, OUT verified boolean, OUT source text, OUT evidence text, OUT observed_at timestamptz, OUT refused text,
                                  OUT why text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT l.link_id, ia.namespace, ia.value, ib.namespace, ib.value, l.kind, l.verified, s.source, l.evidence, l.observed_at, l.refused,
           CASE
               WHEN l.retired_at IS NOT NULL THEN format('retired by %s: %s', l.retired_by, l.retired_reason)
               WHEN l.kind = 'never' THEN format('kept apart by %s: %s', l.created_by, l.reason)
               WHEN l.refused IN ('blocked', 'malformed', 'generic') THEN (
                   SELECT string_agg(format(CASE q.quarantined
                                                WHEN 'blocked' THEN '%1$s "%2$s" is a blocked value'
                                                WHEN 'malformed' THEN '%2$s cannot be a value of namespace %1$s'
                                                ELSE '%1$s "%2$s" is linked to more than %3$s others' END,
                                            q.namespace, q.value, n.max_links), ', ' ORDER BY q.identifier_id)
                   FROM (SELECT ia.* UNION SELECT ib.*) AS q
                   JOIN cx.namespace AS n ON n.namespace = q.namespace
                   WHERE q.quarantined IS NOT NULL)
               WHEN l.refused = 'never' THEN (
                   SELECT format('link %s keeps the two apart: %s', k.link_id, k.reason)
                   FROM cx.link AS k WHERE k.link_id = cxm.link_apart(pa.canonical_id, pb.canonical_id))
               WHEN l.refused = 'unique' THEN (
                   SELECT string_agg(format('%s "%s" and "%s" are two people', t.namespace, t.least_a, t.least_b), ', ' ORDER BY t.rank)
                   FROM cxm.shared_namespaces(pa.canonical_id, pb.canonical_id) AS t
                   WHERE t.is_unique)
               WHEN l.refused = 'limit' THEN (
                   SELECT string_agg(format('a person has at most %s %s%s, these two have %s together',
                                            t.max_per_profile, t.namespace, ' within ' || t.max_window, t.count_a + t.count_b), ', ' ORDER BY t.rank)
                   FROM cxm.shared_namespaces(pa.canonical_id, pb.canonical_id) AS t
                   WHERE t.count_a + t.count_b > t.max_per_profile)
               WHEN l.refused = 'unverified' THEN 'each of the two is known by a verified link, and this one is not verified'
               WHEN l.identifier_a = l.identifier_b THEN 'verified'
               WHEN l.kind = 'pinned' THEN format('pinned by %s: %s', l.created_by, l.reason)
               WHEN l.kind = 'matched' THEN 'records that are alike' || coalesce(format(', probability %s', round(l.probability::numeric, 4)), '')
               ELSE 'both on one record'
           END
    FROM cx.link AS l
    JOIN cx.identifier AS ia ON ia.identifier_id = l.identifier_a
    JOIN cx.profile AS pa ON pa.profile_id = ia.profile_id
    JOIN cx.identifier AS ib ON ib.identifier_id = l.identifier_b
    JOIN cx.profile AS pb ON pb.profile_id = ib.profile_id
    LEFT JOIN cx.source AS s ON s.source_id = l.source_id
    WHERE l.link_id = ANY (link_ids);
END
$$;

COMMENT ON FUNCTION cxm.explain_links(bigint[]) IS
'Links by their link_id, a row a link: the identifiers at the ends, the statement with its source, evidence and time, and in words why it holds, does not hold, keeps apart or was retired.';

CREATE FUNCTION cxm.explain_profile(profile_id bigint,
                                    OUT place bigint, OUT link_id bigint, OUT namespace_a text, OUT value_a text, OUT namespace_b text, OUT value_b text,
                                    OUT kind text, OUT verified boolean, OUT source text, OUT evidence text, OUT observed_at timestamptz,
                                    OUT verdict text, OUT why text, OUT is_bridge boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_profile bigint := cxm.standing_profile(profile_id);
BEGIN
    RETURN QUERY
    WITH here AS MATERIALIZED (
        SELECT l.* FROM cxm.profile_links(ARRAY[v_profile]) AS l
    ), edge AS MATERIALIZED (
        SELECT coalesce(array_agg(h.link_id ORDER BY h.place), '{}') AS ids, coalesce(array_agg(h.identifier_a ORDER BY h.place), '{}') AS a,
               coalesce(array_agg(h.identifier_b ORDER BY h.place), '{}') AS b
        FROM here AS h
        WHERE h.place IS NOT NULL AND h.refused IS NULL
    ), marked AS (
        -- grouped, not joined: what the planner knows of the sizes of arrays would be a guess
        SELECT m.link_id, min(m.place) AS place, bool_or(m.joins) AS joins, bool_or(m.is_bridge) AS is_bridge
        FROM (SELECT h.link_id, h.place, false AS joins, false AS is_bridge FROM here AS h
              UNION ALL
              SELECT e.ids[f.place], NULL, true, false FROM edge AS e CROSS JOIN unnest(cxm.spanning_forest(e.a, e.b)) AS f(place)
              UNION ALL
              SELECT e.ids[b.place], NULL, false, true FROM edge AS e CROSS JOIN cxm.bridges(e.a, e.b) AS b) AS m
        GROUP BY m.link_id
    )
    SELECT m.place, e.link_id, e.namespace_a, e.value_a, e.namespace_b, e.value_b, e.kind, e.verified, e.source, e.evidence, e.observed_at,
           CASE WHEN e.kind = 'never' THEN 'kept apart'
                WHEN e.refused IS NOT NULL THEN 'refused'
                WHEN m.place IS NULL THEN 'verified'
                WHEN m.joins THEN 'joined'
                ELSE 'redundant' END,
           CASE WHEN e.refused IS NOT NULL THEN e.refused || ': ' ELSE '' END || e.why, m.is_bridge
    FROM cxm.explain_links(ARRAY(SELECT h.link_id FROM here AS h)) AS e
    JOIN marked AS m ON m.link_id = e.link_id
    ORDER BY m.place, e.link_id;
END
$$;

COMMENT ON FUNCTION cxm.explain_profile(bigint) IS
'Why this is one person: a row a live link that ends in the profile (or in the one that it was merged into), the strongest first. place: in the order in which links are taken, NULL for a link that keeps apart or of an identifier to itself. verdict: joined (two parts that stronger links had not joined), redundant (stronger links join the two already), refused, kept apart or verified. why: the same in words, beginning with the reason of a refusal. is_bridge: whether the profile falls apart without the link. Error P0002 on an unknown profile; no rows for NULL.';

CREATE FUNCTION cxm.link_path(identifier_a bigint, identifier_b bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        WITH edge AS (
            SELECT coalesce(array_agg(l.link_id ORDER BY l.place), '{}') AS ids, coalesce(array_agg(l.identifier_a ORDER BY l.place), '{}') AS a,
                   coalesce(array_agg(l.identifier_b ORDER BY l.place), '{}') AS b
            FROM cx.identifier AS i
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            CROSS JOIN LATERAL cxm.profile_links(ARRAY[p.canonical_id]) AS l
            WHERE i.identifier_id = link_path.identifier_a AND l.place IS NOT NULL AND l.refused IS NULL
        )
        SELECT array_agg(e.ids[s.place] ORDER BY s.ordinality)
        FROM edge AS e
        CROSS JOIN unnest(cxm.shortest_path(e.a, e.b, link_path.identifier_a, link_path.identifier_b)) WITH ORDINALITY AS s(place, ordinality));
END
$$;

COMMENT ON FUNCTION cxm.link_path(bigint, bigint) IS
'The links (link_id) that make two identifiers one person, in order from the first to the second: as few as possible, and of those the strongest. NULL when the two are not one, or are the same.';

CREATE FUNCTION cxm.explain_pair(namespace_a text, value_a text, namespace_b text, value_b text,
                                 OUT step bigint, OUT link_id bigint, OUT from_namespace text, OUT from_value text, OUT to_namespace text, OUT to_value text,
                                 OUT kind text, OUT verified boolean, OUT source text, OUT evidence text, OUT observed_at timestamptz,
                                 OUT verdict text, OUT why text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_a bigint := cxm.known_identifier(explain_pair.namespace_a, explain_pair.value_a);
    v_b bigint := cxm.known_identifier(explain_pair.namespace_b, explain_pair.value_b);
    v_profile_a bigint;
    v_profile_b bigint;
    v_path bigint[];
BEGIN
    SELECT p.canonical_id INTO v_profile_a FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id WHERE i.identifier_id = v_a;
    SELECT p.canonical_id INTO v_profile_b FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id WHERE i.identifier_id = v_b;

    IF v_profile_a = v_profile_b THEN
        v_path := cxm.link_path(v_a, v_b);
        RETURN QUERY
        WITH RECURSIVE way AS (
            SELECT 0::bigint AS step, v_a AS at
            UNION ALL
            SELECT w.step + 1, l.identifier_a + l.identifier_b - w.at
            FROM way AS w JOIN cx.link AS l ON l.link_id = v_path[w.step + 1]
        )
        SELECT w.step + 1, e.link_id, f.namespace, f.value, t.namespace, t.value,
               e.kind, e.verified, e.source, e.evidence, e.observed_at, 'joined', e.why
        FROM way AS w
        JOIN cxm.explain_links(v_path) AS e ON e.link_id = v_path[w.step + 1]
        JOIN cx.link AS l ON l.link_id = e.link_id
        JOIN cx.identifier AS f ON f.identifier_id = w.at
        JOIN cx.identifier AS t ON t.identifier_id = l.identifier_a + l.identifier_b - w.at
        ORDER BY 1;
        RETURN;
    END IF;

    RETURN QUERY
    SELECT row_number() OVER (ORDER BY l.kind <> 'never', l.place), e.link_id,
           CASE WHEN l.profile_a = v_profile_a THEN e.namespace_a ELSE e.namespace_b END, CASE WHEN l.profile_a = v_profile_a THEN e.value_a ELSE e.value_b END,
           CASE WHEN l.profile_a = v_profile_a THEN e.namespace_b ELSE e.namespace_a END, CASE WHEN l.profile_a = v_profile_a THEN e.value_b ELSE e.value_a END,
           e.kind, e.verified, e.source, e.evidence, e.observed_at,
           CASE WHEN l.kind = 'never' THEN 'kept apart' ELSE 'refused' END, CASE WHEN l.kind = 'never' THEN '' ELSE l.refused || ': ' END || e.why
    FROM cxm.profile_links(ARRAY[v_profile_a]) AS l
    CROSS JOIN LATERAL cxm.explain_links(ARRAY[l.link_id]) AS e
    WHERE (l.profile_a, l.profile_b) IN ((v_profile_a, v_profile_b), (v_profile_b, v_profile_a))
    ORDER BY 1;

    IF NOT FOUND THEN
        RETURN QUERY
        SELECT 1::bigint, NULL::bigint, a.namespace, a.value, b.namespace, b.value, NULL::text, NULL::boolean, NULL::text, NULL::text, NULL::timestamptz, 'apart',
               concat_ws('; ', format('no live link leads from profile %s to profile %s', v_profile_a, v_profile_b),
                               format('%s "%s" is quarantined', a.namespace, a.value) || ' (' || a.quarantined || ')',
                               format('%s "%s" is quarantined', b.namespace, b.value) || ' (' || b.quarantined || ')')
        FROM cx.identifier AS a CROSS JOIN cx.identifier AS b
        WHERE a.identifier_id = v_a AND b.identifier_id = v_b;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.explain_pair(text, text, text, text) IS
'Why two identifiers are one person, or are not. Of one person: the links that lead from the first to the second, a row a step, as few as possible and of those the strongest, with verdict joined. Of two: the live links between the two profiles with verdict kept apart or refused, those that keep apart first; one row with verdict apart and no link when there are none. No rows for an identifier and itself. Error P0002 when an identifier is not in the store.';

---- merging and splitting by hand

CREATE FUNCTION cxm.check_reason(reason text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(reason, '') !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'a reason is needed'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Say why in a few words: whoever reviews the profile next reads it.';
    END IF;
    RETURN reason;
END
$$;

COMMENT ON FUNCTION cxm.check_reason(text) IS 'The argument, when it says something; error 22023 when it is NULL or blank.';

CREATE FUNCTION cxm.check_merge(profile_a bigint, profile_b bigint) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict record;
BEGIN
    SELECT l.link_id, l.created_by, l.reason INTO v_conflict FROM cx.link AS l WHERE l.link_id = cxm.link_apart(profile_a, profile_b);
    IF FOUND THEN
        RAISE EXCEPTION 'profiles % and % are kept apart', profile_a, profile_b
            USING ERRCODE = 'integrity_constraint_violation',
                  DETAIL = format('Link %s, made by %s, says that they are two people: %s', v_conflict.link_id, v_conflict.created_by, v_conflict.reason),
                  HINT = format('If they are one all the same, take that back first: SELECT cxm.retire_links(ARRAY[%s], ''why'').', v_conflict.link_id);
    END IF;

    SELECT s.namespace, s.least_a, s.least_b INTO v_conflict
    FROM cxm.shared_namespaces(profile_a, profile_b) AS s WHERE s.is_unique ORDER BY s.rank LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'profiles % and % cannot be one: % is unique to a person', profile_a, profile_b, v_conflict.namespace
            USING ERRCODE = 'integrity_constraint_violation',
                  DETAIL = format('Profile %s has %s "%s", profile %s has "%s".', profile_a, v_conflict.namespace, v_conflict.least_a, profile_b, v_conflict.least_b),
                  HINT = format('Where one of the two came there by a wrong link, retire that one with cxm.unmerge() (see cxm.explain_profile()). '
                                'Where a person can have several, %s must not be unique.', v_conflict.namespace);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_merge(bigint, bigint) IS
'Error 23000 when two standing profiles may not even be merged by hand: because a link keeps them apart, or because both have a value of a namespace that is unique to a person.';

CREATE FUNCTION cxm.pin_identifiers(identifier_a bigint, identifier_b bigint, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_source integer := cxm.source_id('manual');
    v_before bigint[];     -- whoever is one person with either before
    v_link bigint;
    v_why text;
    v_left bigint;
BEGIN
    v_before := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(cxm.identifier_profiles(ARRAY[identifier_a, identifier_b])) AS m);

    INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, observed_at, reason)
    VALUES (least(identifier_a, identifier_b), greatest(identifier_a, identifier_b), 'pinned', v_source, now(), reason)
    ON CONFLICT DO NOTHING
    RETURNING link_id INTO v_link;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the two identifiers are pinned together already'
            USING ERRCODE = 'unique_violation',
                  DETAIL = (SELECT format('Link %s: %s', e.link_id, e.why)
                            FROM cxm.explain_links(ARRAY(SELECT l.link_id FROM cx.link AS l
                                                         WHERE l.identifier_a = least(identifier_a, identifier_b) AND l.identifier_b = greatest(identifier_a, identifier_b)
                                                           AND l.source_id = v_source AND l.kind = 'pinned' AND l.retired_at IS NULL)) AS e);
    END IF;
    PERFORM cxm.resolve_links(ARRAY[v_link]);

    -- what came in between, from another session
    SELECT l.refused || ': ' || e.why INTO v_why
    FROM cx.link AS l JOIN cxm.explain_links(ARRAY[v_link]) AS e ON e.link_id = l.link_id
    WHERE l.refused IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the two cannot be one person'
            USING ERRCODE = 'integrity_constraint_violation',
                  DETAIL = v_why;
    END IF;

    SELECT count(*) INTO v_left
    FROM unnest(v_before) AS b(identifier_id)
    WHERE b.identifier_id NOT IN (SELECT m.identifier_id FROM cxm.profile_identifiers(cxm.identifier_profiles(ARRAY[identifier_a])) AS m);
    IF v_left > 0 THEN
        RAISE WARNING '% of the identifiers of the two did not come along', v_left
            USING DETAIL = 'Together they would be more than a person can have, and weaker links gave way.',
                  HINT = 'The refused rows of cxm.explain_profile() say which.';
    END IF;
    RETURN v_link;
END
$$;

COMMENT ON FUNCTION cxm.pin_identifiers(bigint, bigint, text) IS
'Makes two identifiers one person by a pinned link of source "manual", and returns its link_id. Error 23505 when there is such a link, 23000 when the rules refuse it. Warns when identifiers of either profile do not come along, since the limits of the merged one are exceeded. To be called by cxm.merge().';

CREATE FUNCTION cxm.merge(profile_id bigint, other_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_a bigint;
    v_b bigint;
    v_strongest bigint[];
BEGIN
    PERFORM cxm.check_reason(reason);
    v_a := cxm.standing_profile(merge.profile_id);
    v_b := cxm.standing_profile(merge.other_id);
    IF v_a = v_b THEN
        RAISE EXCEPTION 'profiles % and % are one person already', merge.profile_id, merge.other_id
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The profile that stands is %s.', v_a),
                  HINT = 'To hold it together whatever else is retired, pin two identifiers of it: cxm.merge(namespace_a, value_a, namespace_b, value_b, reason).';
    END IF;
    PERFORM cxm.check_merge(v_a, v_b);

    v_strongest := ARRAY(SELECT DISTINCT ON (m.canonical_id) m.identifier_id
                         FROM cxm.profile_identifiers(ARRAY[v_a, v_b]) AS m
                         JOIN cx.identifier AS i ON i.identifier_id = m.identifier_id
                         JOIN cx.namespace AS n ON n.namespace = i.namespace
                         ORDER BY m.canonical_id, i.quarantined IS NOT NULL, n.rank, m.identifier_id);
    IF cardinality(v_strongest) < 2 THEN
        RAISE EXCEPTION 'profiles % and % cannot be merged: one has no identifier', v_a, v_b
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A profile without identifiers has no records either; there is nothing to merge.';
    END IF;
    RETURN cxm.pin_identifiers(v_strongest[1], v_strongest[2], reason);
END
$$;

COMMENT ON FUNCTION cxm.merge(bigint, bigint, text) IS
'Makes two profiles one by hand: a pinned link between the strongest identifier of each (by rank, not quarantined before quarantined, of equals the oldest), which no limit refuses. Returns its link_id; cxm.unmerge(ARRAY[link_id], reason) takes it back. reason: why, required. Error P0002 for an unknown profile, 22023 when they are one already or reason is blank, 23000 when a link keeps them apart or both have a value of a namespace that is unique to a person; such a link has to be retired first, for a person has made it.';

CREATE FUNCTION cxm.merge(namespace_a text, value_a text, namespace_b text, value_b text, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_a bigint;
    v_b bigint;
    v_profiles bigint[];
BEGIN
    PERFORM cxm.check_reason(reason);
    v_a := cxm.known_identifier(namespace_a, value_a);
    v_b := cxm.known_identifier(namespace_b, value_b);
    IF v_a = v_b THEN
        RAISE EXCEPTION '% "%" and % "%" are one identifier', namespace_a, left(value_a, 100), namespace_b, left(value_b, 100)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    v_profiles := cxm.identifier_profiles(ARRAY[v_a, v_b]);
    IF cardinality(v_profiles) = 2 THEN
        PERFORM cxm.check_merge(v_profiles[1], v_profiles[2]);
    END IF;
    RETURN cxm.pin_identifiers(v_a, v_b, reason);
END
$$;

COMMENT ON FUNCTION cxm.merge(text, text, text, text, text) IS
'Makes the people who have two identifiers one by hand: a pinned link between these two, also when they are one already, so that they stay one whatever else is retired. Returns its link_id. Error P0002 for an unknown identifier, 22023 for the same one or a blank reason, 23505 when they are pinned already, 23000 as of cxm.merge(profile_id, other_id, reason).';

CREATE FUNCTION cxm.retire_and_report(link_ids bigint[], reason text, identifier_a bigint, identifier_b bigint, apart bigint DEFAULT NULL,
                                      OUT retired bigint[], OUT kept_apart bigint, OUT split_off bigint, OUT profiles bigint[],
                                      OUT still_linked bigint[], OUT outcome text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_before bigint[];
    v_members bigint[];
    v_end_a text;
    v_end_b text;
BEGIN
    retired := ARRAY(SELECT l FROM unnest(link_ids) AS l ORDER BY l);
    kept_apart := apart;

    v_before := cxm.identifier_profiles(ARRAY(SELECT l.identifier_a FROM cx.link AS l WHERE l.link_id = ANY (link_ids)
                                              UNION SELECT l.identifier_b FROM cx.link AS l WHERE l.link_id = ANY (link_ids)
                                              UNION SELECT identifier_a
                                              UNION SELECT identifier_b));
    v_members := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(v_before) AS m);

    -- in one go: with the locks of the first, the second could wait in a circle
    PERFORM cxm.retire_links(retired, reason, resolved_links => ARRAY[apart]);

    profiles := cxm.identifier_profiles(v_members);
    split_off := cardinality(profiles) - cardinality(v_before);

    IF identifier_a IS NOT NULL AND identifier_a <> identifier_b THEN
        IF cardinality(cxm.identifier_profiles(ARRAY[identifier_a, identifier_b])) = 1 THEN
            still_linked := cxm.link_path(identifier_a, identifier_b);
        END IF;
        SELECT format('%s "%s"', i.namespace, i.value) INTO v_end_a FROM cx.identifier AS i WHERE i.identifier_id = identifier_a;
        SELECT format('%s "%s"', i.namespace, i.value) INTO v_end_b FROM cx.identifier AS i WHERE i.identifier_id = identifier_b;
    END IF;
    outcome := CASE
        WHEN still_linked IS NOT NULL THEN format('%s and %s are still linked through link%s %s', v_end_a, v_end_b,
                                                  CASE WHEN cardinality(still_linked) > 1 THEN 's' ELSE '' END, array_to_string(still_linked, ', '))
        WHEN split_off > 0 THEN format('%s profile%s split off', split_off, CASE WHEN split_off > 1 THEN 's' ELSE '' END)
        WHEN v_end_a IS NOT NULL THEN format('%s and %s were not one person', v_end_a, v_end_b)
        ELSE 'nothing was split'
    END;
END
$$;

COMMENT ON FUNCTION cxm.retire_and_report(bigint[], text, bigint, bigint, bigint) IS
'Retires links, resolves the link that keeps two identifiers apart (apart; NULL = none), and says what came of it, as cxm.unmerge() does. identifier_a, identifier_b: the two that should be two people now. To be called by cxm.unmerge().';

CREATE FUNCTION cxm.unmerge(link_ids bigint[], reason text,
                            OUT retired bigint[], OUT kept_apart bigint, OUT split_off bigint, OUT profiles bigint[],
                            OUT still_linked bigint[], OUT outcome text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_bad record;
    v_a bigint;
    v_b bigint;
    r record;
BEGIN
    PERFORM cxm.check_reason(reason);
    PERFORM cxm.store_version();
    IF coalesce(cardinality(link_ids), 0) = 0 THEN
        RAISE EXCEPTION 'no link is given'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'cxm.explain_profile(profile_id) lists the links of a profile with their link_id.';
    END IF;

    SELECT g.link_id AS given, l.link_id, l.kind, l.retired_by, l.retired_reason INTO v_bad
    FROM unnest(link_ids) AS g(link_id) LEFT JOIN cx.link AS l ON l.link_id = g.link_id
    WHERE l.link_id IS NULL OR l.retired_at IS NOT NULL OR l.kind = 'never'
    ORDER BY g.link_id
    LIMIT 1;
    IF v_bad.kind = 'never' AND v_bad.retired_by IS NULL THEN
        RAISE EXCEPTION 'link % keeps two identifiers apart', v_bad.given
            USING ERRCODE = 'wrong_object_type',
                  HINT = format('To let them be one person again: SELECT cxm.retire_links(ARRAY[%s], ''why'').', v_bad.given);
    ELSIF v_bad.link_id IS NOT NULL THEN
        RAISE EXCEPTION 'link % is retired already', v_bad.given
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Retired by %s: %s', v_bad.retired_by, v_bad.retired_reason);
    ELSIF FOUND THEN
        RAISE EXCEPTION 'there is no link %', coalesce(v_bad.given::text, 'NULL')
            USING ERRCODE = 'no_data_found',
                  HINT = 'cxm.explain_profile(profile_id) lists the links of a profile with their link_id.';
    END IF;

    -- whether they are two people now is asked of the two ends of the first link that held
    SELECT l.identifier_a, l.identifier_b INTO v_a, v_b
    FROM cx.link AS l WHERE l.link_id = ANY (link_ids) ORDER BY l.refused IS NOT NULL, l.identifier_a = l.identifier_b, l.link_id LIMIT 1;
    r := cxm.retire_and_report(ARRAY(SELECT DISTINCT g FROM unnest(link_ids) AS g), reason, v_a, v_b);
    retired := r.retired;
    split_off := r.split_off;
    profiles := r.profiles;
    still_linked := r.still_linked;
    outcome := r.outcome;
END
$$;

COMMENT ON FUNCTION cxm.unmerge(bigint[], text) IS
'Takes links back: the profiles become what they would be had these links never come, later records included. One row: retired (their link_id), kept_apart (NULL here), split_off (how many people more there are), profiles (those that stand now, of all whom the links touched), still_linked (when the ends of the first link are one person all the same: the links that lead from one to the other, each of them to be looked at in turn; otherwise NULL), outcome (the same in words). A source that says the same again joins them again: cxm.unmerge(namespace_a, value_a, namespace_b, value_b, reason) keeps two apart from now on. Error P0002 for an unknown link, 55000 for a retired one, 42809 for one of kind never, 22023 for none or a blank reason.';

CREATE FUNCTION cxm.merge_links(profile_id bigint, OUT link_id bigint, OUT own_id bigint, OUT other_id bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_standing bigint := cxm.standing_profile(profile_id);
    v_last cx.identity_change;       -- how the profile ceased to stand
    v_from bigint;                   -- the first change of that merge, and ...
    v_others bigint[];               -- ... whom it brought together with the profile
    v_started timestamptz;
    v_link bigint;
    v_members bigint[] := ARRAY(SELECT m.identifier_id FROM cxm.profile_identifiers(ARRAY[v_standing]) AS m);
    v_own_ids bigint[];
    v_other_ids bigint[];
BEGIN
    SELECT c.* INTO v_last FROM cx.identity_change AS c
    WHERE c.profile_id = merge_links.profile_id AND c.identifier_id IS NULL AND c.from_profile = merge_links.profile_id
    ORDER BY c.change_id DESC
    LIMIT 1;
    -- one step of the solver writes its changes with one time
    SELECT min(c.change_id), array_agg(c.from_profile) || v_last.to_profile, max(c.link_id) INTO v_from, v_others, v_link
    FROM cx.identity_change AS c
    WHERE c.transaction_id = v_last.transaction_id AND c.changed_at = v_last.changed_at AND c.to_profile = v_last.to_profile AND c.identifier_id IS NULL;
    SELECT l.created_at INTO v_started FROM cx.link AS l WHERE l.link_id = v_last.link_id;

    -- where the identifiers were just before the merge: the first change since then says from where they went
    WITH moved AS (
        SELECT DISTINCT ON (c.identifier_id) c.identifier_id, c.profile_id
        FROM cx.identity_change AS c
        WHERE c.identifier_id = ANY (v_members) AND c.change_id >= v_from
        ORDER BY c.identifier_id, c.change_id
    ), placed AS MATERIALIZED (
        SELECT i.identifier_id, i.created_at, coalesce(m.profile_id, i.profile_id) AS profile_id
        FROM cx.identifier AS i LEFT JOIN moved AS m ON m.identifier_id = i.identifier_id
        WHERE i.identifier_id = ANY (v_members)
    ), stub AS MATERIALIZED (
        SELECT p.profile_id, p.canonical_id FROM cx.profile AS p WHERE p.profile_id = ANY (ARRAY(SELECT DISTINCT o.profile_id FROM placed AS o))
    ), relabelled AS (
        SELECT DISTINCT ON (c.profile_id) c.profile_id, c.from_profile
        FROM cx.identity_change AS c
        WHERE c.profile_id = ANY (ARRAY(SELECT s.profile_id FROM stub AS s)) AND c.identifier_id IS NULL AND c.change_id >= v_from
        ORDER BY c.profile_id, c.change_id
    ), side AS (
        -- without a log the profile that an identifier was put into is all that is known
        SELECT p.identifier_id, p.created_at, CASE WHEN v_from IS NULL THEN p.profile_id ELSE coalesce(r.from_profile, s.canonical_id) END AS label
        FROM placed AS p
        JOIN stub AS s ON s.profile_id = p.profile_id
        LEFT JOIN relabelled AS r ON r.profile_id = p.profile_id
    )
    SELECT array_agg(s.identifier_id) FILTER (WHERE s.label = merge_links.profile_id),
           array_agg(s.identifier_id) FILTER (
               WHERE s.label <> merge_links.profile_id
                 AND (v_from IS NULL
                      OR (s.label = ANY (v_others)
                          -- who came after the merge was never on the other side; within its own transaction the links tell
                          AND (s.created_at < coalesce(v_started, v_last.changed_at)
                               OR (s.created_at <= v_last.changed_at
                                   AND (EXISTS (SELECT FROM cx.link AS e WHERE e.identifier_a = s.identifier_id AND e.retired_at IS NULL AND e.link_id <= v_link)
                                        OR EXISTS (SELECT FROM cx.link AS e WHERE e.identifier_b = s.identifier_id AND e.retired_at IS NULL AND e.link_id <= v_link)))))))
    INTO v_own_ids, v_other_ids
    FROM side AS s;

    -- by one end alone: an index scan for each pair of ends would be many times the links
    RETURN QUERY
    WITH own AS MATERIALIZED (
        SELECT l.link_id, l.identifier_a AS own_id, l.identifier_b AS other_id FROM cx.link AS l
        WHERE l.identifier_a = ANY (v_own_ids) AND l.retired_at IS NULL AND l.kind <> 'never'
        UNION ALL
        SELECT l.link_id, l.identifier_b, l.identifier_a FROM cx.link AS l
        WHERE l.identifier_b = ANY (v_own_ids) AND l.retired_at IS NULL AND l.kind <> 'never'
    )
    SELECT o.link_id, o.own_id, o.other_id FROM own AS o WHERE o.other_id IN (SELECT u FROM unnest(v_other_ids) AS u);
END
$$;

COMMENT ON FUNCTION cxm.merge_links(bigint) IS
'The live links between the identifiers that a profile had when it was last merged into another one, and those of the profiles that this merge brought it together with. Later identifiers, and people who were merged with it by other merges, are on neither side. Empty for a profile that stands.';

CREATE FUNCTION cxm.unmerge(profile_id bigint, reason text,
                            OUT retired bigint[], OUT kept_apart bigint, OUT split_off bigint, OUT profiles bigint[],
                            OUT still_linked bigint[], OUT outcome text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_standing bigint;
    v_links bigint[];
    v_a bigint;
    v_b bigint;
    v_merged text;
    r record;
BEGIN
    PERFORM cxm.check_reason(reason);
    PERFORM cxm.store_version();
    v_standing := cxm.standing_profile(profile_id);
    IF v_standing = profile_id THEN
        SELECT string_agg(s.profile_id::text, ', ' ORDER BY s.profile_id) INTO v_merged
        FROM (SELECT p.profile_id FROM cx.profile AS p WHERE p.canonical_id = v_standing AND p.canonical_id <> p.profile_id ORDER BY 1 LIMIT 20) AS s;
        RAISE EXCEPTION 'profile % stands: it was not merged into another one', profile_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce('Merged into it: ' || v_merged || '.', 'Nor was another one merged into it.'),
                  HINT = 'Name the profile that was merged away, or the links: cxm.explain_profile(profile_id) lists them.';
    END IF;

    SELECT coalesce(array_agg(DISTINCT l.link_id), '{}'), min(l.own_id), (array_agg(l.other_id ORDER BY l.own_id, l.other_id))[1]
    INTO v_links, v_a, v_b
    FROM cxm.merge_links(profile_id) AS l;
    IF cardinality(v_links) = 0 THEN
        RAISE EXCEPTION 'no link holds profile % directly to the profile that it was merged into', profile_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'What merged them has been retired; links that came later hold them together.',
                  HINT = 'cxm.explain_pair() says which; retire those with cxm.unmerge(link_ids, reason), or keep two identifiers apart with cxm.unmerge(namespace_a, value_a, namespace_b, value_b, reason).';
    END IF;
    r := cxm.retire_and_report(v_links, reason, v_a, v_b);
    retired := r.retired;
    split_off := r.split_off;
    profiles := r.profiles;
    still_linked := r.still_linked;
    outcome := r.outcome;
END
$$;

COMMENT ON FUNCTION cxm.unmerge(bigint, text) IS
'Undoes the merge by which a profile was last merged into another one: retires every live link between the identifiers that were its own then and those that it was brought together with. What either has been linked to since goes along with it. One row, as of cxm.unmerge(link_ids, reason). Error P0002 for an unknown profile, 55000 for one that stands or that no direct link holds, 22023 for a blank reason.';

CREATE FUNCTION cxm.unmerge(namespace_a text, value_a text, namespace_b text, value_b text, reason text,
                            OUT retired bigint[], OUT kept_apart bigint, OUT split_off bigint, OUT profiles bigint[],
                            OUT still_linked bigint[], OUT outcome text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_source integer;
    v_a bigint;
    v_b bigint;
    v_pinned bigint[];
    r record;
BEGIN
    PERFORM cxm.check_reason(reason);
    PERFORM cxm.store_version();
    v_source := cxm.source_id('manual');
    v_a := cxm.known_identifier(namespace_a, value_a);
    v_b := cxm.known_identifier(namespace_b, value_b);
    IF v_a = v_b THEN
        RAISE EXCEPTION '% "%" and % "%" are one identifier', namespace_a, left(value_a, 100), namespace_b, left(value_b, 100)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'An identifier that several people share can be blocked: see cx.blocked_value.';
    END IF;

    -- a person who pinned them together has been overruled; what sources say stays, and is refused where it must be
    v_pinned := ARRAY(SELECT l.link_id FROM cx.link AS l
                      WHERE l.identifier_a = least(v_a, v_b) AND l.identifier_b = greatest(v_a, v_b) AND l.kind = 'pinned' AND l.retired_at IS NULL);
    INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, observed_at, reason)
    VALUES (least(v_a, v_b), greatest(v_a, v_b), 'never', v_source, now(), reason)
    ON CONFLICT DO NOTHING
    RETURNING link_id INTO kept_apart;
    SELECT l.link_id, l.created_by, l.reason INTO r FROM cx.link AS l
    WHERE l.identifier_a = least(v_a, v_b) AND l.identifier_b = greatest(v_a, v_b) AND l.kind = 'never' AND l.retired_at IS NULL
      AND l.link_id IS DISTINCT FROM kept_apart
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% "%" and % "%" are kept apart already', namespace_a, left(value_a, 100), namespace_b, left(value_b, 100)
            USING ERRCODE = 'unique_violation',
                  DETAIL = format('Link %s, made by %s: %s', r.link_id, r.created_by, r.reason);
    END IF;

    r := cxm.retire_and_report(v_pinned, reason, v_a, v_b, kept_apart);
    retired := r.retired;
    split_off := r.split_off;
    profiles := r.profiles;
    still_linked := r.still_linked;
    outcome := r.outcome;
END
$$;

COMMENT ON FUNCTION cxm.unmerge(text, text, text, text, text) IS
'Keeps two identifiers apart from now on, whatever links them: a link of kind never, which only cxm.retire_links() takes back. Pinned links between the two are retired; of the others on the way from one to the other the weakest gives way and is refused. One row, as of cxm.unmerge(link_ids, reason), with the link_id of the new link in kept_apart. Works as well when the two are not one person yet. Error P0002 for an unknown identifier, 22023 for the same one or a blank reason, 23505 when they are kept apart already.';

---- what was thought at another time

CREATE FUNCTION cxm.identity_as_of(at timestamptz, OUT identifier_id bigint, OUT namespace text, OUT value text, OUT profile_id bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    -- the first change after that time says what was before it
    RETURN QUERY
    WITH moved AS (
        SELECT DISTINCT ON (c.identifier_id) c.identifier_id, c.profile_id
        FROM cx.identity_change AS c
        WHERE c.changed_at > identity_as_of.at AND c.identifier_id IS NOT NULL
        ORDER BY c.identifier_id, c.change_id
    ), relabelled AS (
        SELECT DISTINCT ON (c.profile_id) c.profile_id, c.from_profile
        FROM cx.identity_change AS c
        WHERE c.changed_at > identity_as_of.at AND c.identifier_id IS NULL
        ORDER BY c.profile_id, c.change_id
    )
    SELECT i.identifier_id, i.namespace, i.value, coalesce(r.from_profile, p.canonical_id)
    FROM cx.identifier AS i
    LEFT JOIN moved AS m ON m.identifier_id = i.identifier_id
    JOIN cx.profile AS p ON p.profile_id = coalesce(m.profile_id, i.profile_id)
    LEFT JOIN relabelled AS r ON r.profile_id = p.profile_id
    WHERE i.created_at <= identity_as_of.at;
END
$$;

COMMENT ON FUNCTION cxm.identity_as_of(timestamptz) IS
'Who the store took each identifier for at a time: a row an identifier that it knew then, with the profile that stood for the person then. What the store learnt later, also of earlier times, does not count. For one identifier cxm.customer_as_of() is faster. No rows for NULL.';

CREATE FUNCTION cxm.customer_as_of(namespace text, value text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stub bigint;
BEGIN
    -- the arrays keep the planner from walking the whole log in the order of its key
    SELECT coalesce((SELECT (array_agg(c.profile_id ORDER BY c.change_id))[1] FROM cx.identity_change AS c
                     WHERE c.identifier_id = i.identifier_id AND c.changed_at > at), i.profile_id)
    INTO v_stub
    FROM cx.identifier AS i
    WHERE i.namespace = customer_as_of.namespace COLLATE "C" AND i.created_at <= at
      AND i.value = coalesce(cxm.normalize(customer_as_of.namespace, customer_as_of.value),
                             regexp_replace(customer_as_of.value, '^[[:space:]]+|[[:space:]]+$', '', 'g')) COLLATE "C";
    RETURN coalesce((SELECT (array_agg(c.from_profile ORDER BY c.change_id))[1] FROM cx.identity_change AS c
                     WHERE c.profile_id = v_stub AND c.identifier_id IS NULL AND c.changed_at > at),
                    (SELECT p.canonical_id FROM cx.profile AS p WHERE p.profile_id = v_stub));
END
$$;

COMMENT ON FUNCTION cxm.customer_as_of(text, text, timestamptz) IS
'profile_id of the person whom the store took an identifier for at a time; NULL when it did not know it then, or for a NULL argument. cxm.customer() as of now.';

---- what this transaction did

CREATE FUNCTION cxm.identity_diff(OUT identifier_id bigint, OUT namespace text, OUT value text, OUT from_profile bigint, OUT to_profile bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    RETURN QUERY
    WITH change AS MATERIALIZED (
        SELECT c.* FROM cx.identity_change AS c WHERE c.transaction_id = pg_current_xact_id_if_assigned()
    ), moved AS MATERIALIZED (
        SELECT DISTINCT ON (c.identifier_id) c.identifier_id, c.profile_id
        FROM change AS c WHERE c.identifier_id IS NOT NULL
        ORDER BY c.identifier_id, c.change_id
    ), relabelled AS MATERIALIZED (
        SELECT DISTINCT ON (c.profile_id) c.profile_id, c.from_profile
        FROM change AS c WHERE c.identifier_id IS NULL
        ORDER BY c.profile_id, c.change_id
    ), touched AS (
        SELECT m.identifier_id FROM moved AS m
        UNION
        SELECT i.identifier_id FROM relabelled AS r JOIN cx.identifier AS i ON i.profile_id = r.profile_id
    )
    SELECT i.identifier_id, i.namespace, i.value, coalesce(r.from_profile, b.canonical_id), p.canonical_id
    FROM touched AS t
    JOIN cx.identifier AS i ON i.identifier_id = t.identifier_id
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    LEFT JOIN moved AS m ON m.identifier_id = i.identifier_id
    JOIN cx.profile AS b ON b.profile_id = coalesce(m.profile_id, i.profile_id)
    LEFT JOIN relabelled AS r ON r.profile_id = b.profile_id
    WHERE p.canonical_id <> coalesce(r.from_profile, b.canonical_id);
END
$$;

COMMENT ON FUNCTION cxm.identity_diff() IS
'What the current transaction has done so far to who is who: a row an identifier that belongs to another profile than before, with that and the present one. Net: what was undone again is not there. For rules tried out between BEGIN and ROLLBACK. An identifier that the transaction has added itself is there only when it has changed since.';

CREATE FUNCTION cxm.identity_diff_summary(OUT profiles_before bigint, OUT profiles_after bigint, OUT merged bigint, OUT split bigint,
                                          OUT identifiers_moved bigint, OUT customers_affected bigint)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    WITH diff AS MATERIALIZED (
        SELECT d.identifier_id, d.from_profile, d.to_profile FROM cxm.identity_diff() AS d
    ), concerned AS (
        SELECT d.from_profile AS profile_id FROM diff AS d UNION SELECT d.to_profile FROM diff AS d
    ), label AS MATERIALIZED (
        -- who stayed where they were show that a profile was there before, and is there still
        SELECT d.identifier_id, d.from_profile, d.to_profile FROM diff AS d
        UNION ALL
        SELECT m.identifier_id, m.canonical_id, m.canonical_id
        FROM cxm.profile_identifiers(ARRAY(SELECT c.profile_id FROM concerned AS c)) AS m
        WHERE m.identifier_id NOT IN (SELECT d.identifier_id FROM diff AS d)
    ), before AS (
        SELECT DISTINCT l.from_profile AS profile_id FROM label AS l
    ), after AS (
        SELECT DISTINCT l.to_profile AS profile_id FROM label AS l
    )
    SELECT (SELECT count(*) FROM before), (SELECT count(*) FROM after),
           (SELECT count(*) FROM before AS b WHERE NOT EXISTS (SELECT FROM after AS a WHERE a.profile_id = b.profile_id)),
           (SELECT count(*) FROM after AS a WHERE NOT EXISTS (SELECT FROM before AS b WHERE b.profile_id = a.profile_id)),
           (SELECT count(*) FROM diff),
           (SELECT count(DISTINCT l.to_profile) FROM label AS l WHERE EXISTS (SELECT FROM cx.purchase AS b WHERE b.identifier_id = l.identifier_id))
    INTO profiles_before, profiles_after, merged, split, identifiers_moved, customers_affected;
END
$$;

COMMENT ON FUNCTION cxm.identity_diff_summary() IS
'cxm.identity_diff() in one row: how many people the profiles concerned were before the transaction and are now, how many profiles no longer stand (merged) and stand anew (split), how many identifiers belong to another profile, and how many of the people concerned, as they are now, have bought something (customers_affected).';

---- is it what the links say?

CREATE FUNCTION cxm.identity_check(OUT kind text, OUT profile_id bigint, OUT identifier_id bigint, OUT link_id bigint, OUT stored text, OUT expected text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();

    -- references
    RETURN QUERY
    SELECT 'orphan', i.profile_id, i.identifier_id, NULL::bigint, format('profile_id %s', i.profile_id), 'a row of cx.profile'
    FROM cx.identifier AS i WHERE NOT EXISTS (SELECT FROM cx.profile AS p WHERE p.profile_id = i.profile_id)
    UNION ALL
    SELECT 'orphan', i.profile_id, i.identifier_id, NULL, format('namespace %s', i.namespace), 'a row of cx.namespace'
    FROM cx.identifier AS i WHERE NOT EXISTS (SELECT FROM cx.namespace AS n WHERE n.namespace = i.namespace)
    UNION ALL
    SELECT 'orphan', NULL, e.id, l.link_id, format('%s %s', e.name, e.id), 'a row of cx.identifier'
    FROM cx.link AS l CROSS JOIN LATERAL (VALUES ('identifier_a', l.identifier_a), ('identifier_b', l.identifier_b)) AS e(name, id)
    WHERE NOT EXISTS (SELECT FROM cx.identifier AS i WHERE i.identifier_id = e.id)
    UNION ALL
    SELECT 'orphan', p.profile_id, NULL, NULL, format('canonical_id %s', p.canonical_id), 'a profile that stands'
    FROM cx.profile AS p WHERE NOT EXISTS (SELECT FROM cx.profile AS c WHERE c.profile_id = p.canonical_id AND c.canonical_id = c.profile_id)
    UNION ALL
    SELECT 'label', p.profile_id, NULL, NULL, format('canonical_id %s', p.canonical_id), 'the oldest profile of the person'
    FROM cx.profile AS p WHERE p.canonical_id > p.profile_id;

    -- what all live links give, against what is kept
    RETURN QUERY
    SELECT c.* FROM cxm.identity_compare() AS c
    UNION ALL
    SELECT 'counts', p.profile_id, NULL, NULL, p.counts::text, '{}, for it does not stand' FROM cx.profile AS p
    WHERE p.canonical_id <> p.profile_id AND p.counts <> '{}'
    UNION ALL
    SELECT v.kind, p.profile_id, NULL, NULL, 'true', 'false, for it does not stand'
    FROM cx.profile AS p CROSS JOIN LATERAL (VALUES ('is_known', p.is_known), ('is_kept_apart', p.is_kept_apart)) AS v(kind, is_set)
    WHERE p.canonical_id <> p.profile_id AND (p.is_known OR p.is_kept_apart) AND v.is_set;

    -- the log ends where the profiles are, so that it can be gone back by
    RETURN QUERY
    SELECT 'log', c.profile_id, NULL::bigint, NULL::bigint, format('change %s to profile %s', c.change_id, c.to_profile), format('profile %s', p.canonical_id)
    FROM (SELECT DISTINCT ON (g.profile_id) g.profile_id, g.change_id, g.to_profile FROM cx.identity_change AS g
          WHERE g.identifier_id IS NULL ORDER BY g.profile_id, g.change_id DESC) AS c
    JOIN cx.profile AS p ON p.profile_id = c.profile_id
    WHERE p.canonical_id <> c.to_profile
    UNION ALL
    SELECT 'log', i.profile_id, i.identifier_id, NULL, format('change %s to profile %s', c.change_id, c.to_profile), format('profile %s', i.profile_id)
    FROM (SELECT DISTINCT ON (g.identifier_id) g.identifier_id, g.change_id, g.to_profile FROM cx.identity_change AS g
          WHERE g.identifier_id IS NOT NULL ORDER BY g.identifier_id, g.change_id DESC) AS c
    JOIN cx.identifier AS i ON i.identifier_id = c.identifier_id
    WHERE i.profile_id <> c.to_profile;
END
$$;

COMMENT ON FUNCTION cxm.identity_check() IS
'Solves all live links at once, under the rules of today, and compares: a row a difference, none in a sound store. kind: partition (an identifier is not with those that it is one person with), refused, quarantined, counts, is_known, is_kept_apart, weakest (what is kept besides), label (the profile that stands is not the oldest), log (cx.identity_change does not end where the profiles are), orphan (a reference that leads nowhere). stored: what the table holds; expected: what it should. Reads everything.';

---- is it plausible?

CREATE FUNCTION cxm.identity_health(OUT measure text, OUT class text, OUT profiles bigint, OUT identifiers bigint, OUT links bigint, OUT density double precision)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    RETURN QUERY
    WITH profile AS (
        SELECT p.canonical_id AS profile_id, count(*) AS identifiers
        FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id
        GROUP BY p.canonical_id
    ), pair AS (
        SELECT p.canonical_id AS profile_id, count(*) AS pairs, sum(l.links)::bigint AS links
        FROM (SELECT l.identifier_a, l.identifier_b, count(*) AS links FROM cx.link AS l
              WHERE l.retired_at IS NULL AND l.refused IS NULL AND l.kind <> 'never' AND l.identifier_a <> l.identifier_b
              GROUP BY l.identifier_a, l.identifier_b) AS l
        JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        GROUP BY p.canonical_id
    ), sized AS (
        SELECT f.identifiers, g.links, 2.0::double precision * coalesce(g.pairs, 0) / nullif(f.identifiers * (f.identifiers - 1), 0) AS density,
               width_bucket(f.identifiers, '{2,3,6,11,51,201,1001}') AS bucket
        FROM profile AS f LEFT JOIN pair AS g ON g.profile_id = f.profile_id
    )
    SELECT 'size', ('{1,2,3 to 5,6 to 10,11 to 50,51 to 200,201 to 1000,over 1000}'::text[])[s.bucket + 1],
           count(*), sum(s.identifiers)::bigint, coalesce(sum(s.links), 0)::bigint, avg(s.density)
    FROM sized AS s
    GROUP BY s.bucket
    ORDER BY s.bucket;

    RETURN QUERY
    SELECT 'quarantined', i.quarantined, count(DISTINCT p.canonical_id), count(*), sum(r.links)::bigint, NULL::double precision
    FROM cx.identifier AS i
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    CROSS JOIN LATERAL (
        SELECT (SELECT count(*) FROM cx.link AS l WHERE l.identifier_a = i.identifier_id AND l.retired_at IS NULL AND l.refused IS NOT NULL)
               + (SELECT count(*) FROM cx.link AS l WHERE l.identifier_b = i.identifier_id AND l.identifier_a <> i.identifier_id
                  AND l.retired_at IS NULL AND l.refused IS NOT NULL) AS links
    ) AS r
    WHERE i.quarantined IS NOT NULL
    GROUP BY i.quarantined
    ORDER BY i.quarantined COLLATE "C";

    RETURN QUERY
    SELECT CASE l.kind WHEN 'never' THEN 'kept apart' ELSE 'refused' END, coalesce(l.refused, 'never'),
           count(DISTINCT p.canonical_id), count(DISTINCT e.identifier_id), count(DISTINCT l.link_id), NULL::double precision
    FROM cx.link AS l
    CROSS JOIN LATERAL (VALUES (l.identifier_a), (l.identifier_b)) AS e(identifier_id)
    JOIN cx.identifier AS i ON i.identifier_id = e.identifier_id
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    WHERE l.retired_at IS NULL AND (l.refused IS NOT NULL OR l.kind = 'never')
    GROUP BY 1, 2
    ORDER BY 1, 2;
END
$$;

COMMENT ON FUNCTION cxm.identity_health() IS
'The state of identity resolution in numbers. measure size: a row a class of profiles by their number of identifiers, with how many profiles, identifiers and holding links there are and the mean density (pairs that are linked, of all pairs of the profile; NULL for single identifiers). quarantined: a row a reason, links = refused links at them. refused: a row a reason; profiles and identifiers are those at the ends of the refused links. kept apart: the links of kind never. Reads everything. See cxm.identity_bridges() and cxm.quarantined_identifiers() for what to look at first.';

CREATE FUNCTION cxm.quarantined_identifiers(max_rows integer DEFAULT 100,
                                            OUT identifier_id bigint, OUT namespace text, OUT value text, OUT quarantined text, OUT profile_id bigint,
                                            OUT fan_out bigint, OUT max_links integer, OUT refused_links bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    RETURN QUERY
    SELECT i.identifier_id, i.namespace, i.value, i.quarantined, p.canonical_id, f.fan_out, n.max_links, f.refused_links
    FROM cx.identifier AS i
    JOIN cx.namespace AS n ON n.namespace = i.namespace
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT o.identifier_id) FILTER (WHERE l.kind IN ('seen', 'matched') AND o.quarantined IS DISTINCT FROM 'malformed' AND o.quarantined IS DISTINCT FROM 'blocked'
                                                         AND (m.max_per_profile IS NOT NULL OR m.is_unique)) AS fan_out,
               count(*) FILTER (WHERE l.refused IS NOT NULL) AS refused_links
        FROM (SELECT a.kind, a.refused, a.identifier_b AS other_id FROM cx.link AS a WHERE a.identifier_a = i.identifier_id AND a.retired_at IS NULL
              UNION ALL
              SELECT b.kind, b.refused, b.identifier_a FROM cx.link AS b WHERE b.identifier_b = i.identifier_id AND b.retired_at IS NULL) AS l
        JOIN cx.identifier AS o ON o.identifier_id = l.other_id AND o.identifier_id <> i.identifier_id
        JOIN cx.namespace AS m ON m.namespace = o.namespace
    ) AS f
    WHERE i.quarantined IS NOT NULL
    ORDER BY f.refused_links DESC, f.fan_out DESC, i.identifier_id
    LIMIT quarantined_identifiers.max_rows;
END
$$;

COMMENT ON FUNCTION cxm.quarantined_identifiers(integer) IS
'The identifiers that join nobody, those with most refused links first, at most max_rows: why (quarantined), how many others they are linked to of which a person can have only some (fan_out, against the namespace''s max_links), and how many of their links are refused. No rows for NULL.';

CREATE FUNCTION cxm.count_namespaces(identifier_ids bigint[]) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(c.namespace, c.count), '{}')
            FROM (SELECT i.namespace, count(*) AS count FROM cx.identifier AS i WHERE i.identifier_id = ANY (identifier_ids) GROUP BY i.namespace) AS c);
END
$$;

COMMENT ON FUNCTION cxm.count_namespaces(bigint[]) IS 'How many of the given identifiers are of which namespace, as {"email": 2}.';

CREATE FUNCTION cxm.name_of(identifier_ids bigint[]) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(nullif(r.traits ->> 'name', ''), nullif(concat_ws(' ', r.traits ->> 'first_name', r.traits ->> 'last_name'), ''))
            FROM (SELECT cxm.profile_merge(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())) AS traits
                  FROM cx.trait AS t LEFT JOIN cx.source AS s ON s.source_id = t.source_id
                  WHERE t.identifier_id = ANY (identifier_ids)) AS r);
END
$$;

COMMENT ON FUNCTION cxm.name_of(bigint[]) IS
'The name that the traits of the given identifiers give together, by the trait policies: trait name, or first_name and last_name; NULL when there is none.';

CREATE FUNCTION cxm.identity_bridges(min_claims integer DEFAULT 2, max_rows integer DEFAULT 100,
                                     OUT score double precision, OUT profile_id bigint, OUT link_id bigint,
                                     OUT namespace_a text, OUT value_a text, OUT namespace_b text, OUT value_b text,
                                     OUT kind text, OUT verified boolean, OUT source text, OUT evidence text, OUT observed_at timestamptz,
                                     OUT size_a bigint, OUT size_b bigint, OUT claims_a bigint, OUT claims_b bigint,
                                     OUT namespaces_a jsonb, OUT namespaces_b jsonb, OUT name_a text, OUT name_b text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    IF min_claims < 1 THEN
        RAISE EXCEPTION 'min_claims must be at least 1, not %', min_claims
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH held AS (
        SELECT l.link_id, l.identifier_a, l.identifier_b FROM cx.link AS l
        WHERE l.retired_at IS NULL AND l.refused IS NULL AND l.kind <> 'never' AND l.identifier_a <> l.identifier_b
    ), edge AS (
        SELECT coalesce(array_agg(h.link_id), '{}') AS ids, coalesce(array_agg(h.identifier_a), '{}') AS a, coalesce(array_agg(h.identifier_b), '{}') AS b
        FROM held AS h
    ), claim AS (
        -- a claim is an identifier of which a person has only some; a verified link counts two of them at either end
        SELECT coalesce(array_agg(c.identifier_id), '{}') AS marked
        FROM (SELECT i.identifier_id FROM cx.identifier AS i
              WHERE i.quarantined IS NULL
                AND i.namespace IN (SELECT n.namespace FROM cx.namespace AS n WHERE n.max_per_profile IS NOT NULL OR n.is_unique)
              UNION ALL
              SELECT e.identifier_id
              FROM cx.link AS l
              CROSS JOIN LATERAL (VALUES (l.identifier_a), (l.identifier_a), (l.identifier_b), (l.identifier_b)) AS e(identifier_id)
              WHERE l.retired_at IS NULL AND l.verified AND l.kind <> 'never') AS c
    ), bridge AS (
        SELECT e.ids[b.place] AS link_id, b.size_a, b.size_b, b.marked_a, b.marked_b
        FROM edge AS e CROSS JOIN claim AS c CROSS JOIN LATERAL cxm.bridges(e.a, e.b, c.marked) AS b
        WHERE least(b.marked_a, b.marked_b) >= identity_bridges.min_claims
    ), candidate AS (
        SELECT l.*, b.size_a, b.size_b,
               -- what the bridge itself proves does not count against it
               b.marked_a - 2 * l.verified::integer AS claims_a, b.marked_b - 2 * l.verified::integer AS claims_b,
               CASE l.kind WHEN 'matched' THEN 1.0 WHEN 'pinned' THEN 0.1
                           ELSE CASE WHEN l.verified THEN 0.3 WHEN l.evidence <> '' THEN 0.6 ELSE 0.8 END END::double precision AS doubt
        FROM bridge AS b JOIN cx.link AS l ON l.link_id = b.link_id
    ), best AS MATERIALIZED (
        SELECT c.*, c.doubt * ln((1 + least(c.claims_a, c.claims_b))::double precision) AS score
        FROM candidate AS c
        WHERE least(c.claims_a, c.claims_b) >= identity_bridges.min_claims
        ORDER BY score DESC, least(c.size_a, c.size_b) DESC, c.link_id
        LIMIT identity_bridges.max_rows
    )
    SELECT b.score, p.canonical_id, b.link_id, ia.namespace, ia.value, ib.namespace, ib.value,
           b.kind, b.verified, s.source, b.evidence, b.observed_at, b.size_a, b.size_b, b.claims_a, b.claims_b,
           side.namespaces_a, side.namespaces_b, side.name_a, side.name_b
    FROM best AS b
    JOIN cx.identifier AS ia ON ia.identifier_id = b.identifier_a
    JOIN cx.identifier AS ib ON ib.identifier_id = b.identifier_b
    JOIN cx.profile AS p ON p.profile_id = ia.profile_id
    LEFT JOIN cx.source AS s ON s.source_id = b.source_id
    CROSS JOIN LATERAL (
        WITH part AS MATERIALIZED (
            -- the profile without the bridge; two edges of no length keep its ends in the graph
            SELECT c.member, c.component
            FROM (SELECT coalesce(array_agg(l.identifier_a), '{}') AS a, coalesce(array_agg(l.identifier_b), '{}') AS b
                  FROM cxm.profile_identifiers(ARRAY[p.canonical_id]) AS m
                  JOIN cx.link AS l ON l.identifier_a = m.identifier_id
                  WHERE l.retired_at IS NULL AND l.refused IS NULL AND l.kind <> 'never' AND l.link_id <> b.link_id) AS e
            CROSS JOIN LATERAL cxm.components(e.a || b.identifier_a || b.identifier_b, e.b || b.identifier_a || b.identifier_b) AS c
        ), member AS MATERIALIZED (
            SELECT m.member AS identifier_id, m.component = (SELECT x.component FROM part AS x WHERE x.member = b.identifier_a) AS is_a FROM part AS m
        )
        SELECT cxm.count_namespaces(ARRAY(SELECT m.identifier_id FROM member AS m WHERE m.is_a)) AS namespaces_a,
               cxm.count_namespaces(ARRAY(SELECT m.identifier_id FROM member AS m WHERE NOT m.is_a)) AS namespaces_b,
               cxm.name_of(ARRAY(SELECT m.identifier_id FROM member AS m WHERE m.is_a)) AS name_a,
               cxm.name_of(ARRAY(SELECT m.identifier_id FROM member AS m WHERE NOT m.is_a)) AS name_b
    ) AS side
    ORDER BY b.score DESC, least(b.size_a, b.size_b) DESC, b.link_id;
END
$$;

COMMENT ON FUNCTION cxm.identity_bridges(integer, integer) IS
'The links to review: those without which a profile falls into two parts that are each a person in their own right, at most max_rows. Each part has at least min_claims claims: an identifier that is not quarantined, of a namespace of which a person has only some, is one claim, a verified link is two at either of its ends (the bridge itself proves nothing). score = doubt * ln(1 + the lesser of claims_a and claims_b), where doubt is 1 for a matched link, 0.8 for one seen in passing, 0.6 with evidence, 0.3 when verified and 0.1 when pinned by a person; highest first, of equals that with the larger lesser part. size: identifiers on either side; namespaces: how many of each, as {"email": 2}; name: trait name, or first_name and last_name, by the trait policies, NULL when there is none. A pair of identifiers that two links connect is no bridge. cxm.unmerge(ARRAY[link_id], reason) cuts one. Reads all links. Error 22023 when min_claims is below 1; no rows for NULL.';
