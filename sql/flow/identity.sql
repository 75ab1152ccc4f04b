-- Who it is: from the identifiers on a record to the profiles they belong to.
--
-- The profiles are a function of the live links. cxm.resolve_links() and cxm.resolve_profiles() are the only
-- functions that write that down; whatever else decides who is who changes links and calls them.

CREATE FUNCTION cxm.add_namespace(namespace text, rank integer, description text DEFAULT '',
                                  max_per_profile integer DEFAULT NULL, max_window interval DEFAULT NULL, is_unique boolean DEFAULT false,
                                  form text DEFAULT 'text', options jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_other text;
BEGIN
    PERFORM cxm.store_version();
    IF namespace IS NULL OR namespace !~ '^[a-z][a-z0-9_.]{0,62}$' THEN
        RAISE EXCEPTION 'namespace "%" is not a name', coalesce(namespace, 'NULL')
            USING ERRCODE = 'invalid_name',
                  HINT = 'Use lower-case letters, digits, dots and underscores, beginning with a letter.';
    END IF;
    IF coalesce(rank < 1, true) THEN
        RAISE EXCEPTION 'namespace "%" cannot have rank %', namespace, coalesce(rank::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a whole number from 1, the strongest.';
    END IF;
    SELECT n.namespace INTO v_other FROM cx.namespace AS n WHERE n.rank = add_namespace.rank;
    IF v_other IS NOT NULL THEN
        RAISE EXCEPTION 'rank % cannot be given to namespace "%"', rank, namespace
            USING ERRCODE = 'unique_violation',
                  DETAIL = format('Namespace "%s" has it.', v_other),
                  HINT = 'Ranks are explicit so that a new namespace never reorders the others: see SELECT * FROM cx.namespace ORDER BY rank.';
    END IF;
    PERFORM cxm.check_form(coalesce(form, 'text'), coalesce(options, '{}'));
    INSERT INTO cx.namespace (namespace, rank, description, max_per_profile, max_window, is_unique, form, options)
    VALUES (namespace, rank, coalesce(description, ''), max_per_profile, max_window, coalesce(is_unique, false), coalesce(form, 'text'), coalesce(options, '{}'));
    UPDATE cx.store AS s SET rules_version = s.rules_version + 1;
END
$$;

COMMENT ON FUNCTION cxm.add_namespace(text, integer, text, integer, interval, boolean, text, jsonb) IS
'Adds a kind of identifier. rank: 1 is the strongest, and no two have the same; max_per_profile, max_window, is_unique: rules for identity resolution (see cx.namespace); form, options: how its values are normalised (cxm.normalize_form()). Error on a malformed or known name, a rank below 1 or a taken one, an unknown form or option.';

-- Links change under two advisory locks, held till the end of the transaction.
--
-- cxm.lock_links(): whoever adds identifiers or links shares it, whoever retires links has it alone, and either
-- takes it before anything else. So a profile never falls apart while a link that would hold it together, or an
-- identifier that is being put into it, waits unseen in another transaction.
--
-- cxm.lock_profiles(): merges and splits queue here, last of all locks that a record takes. What they go by is
-- read under it.
--
-- Both go by what a new statement sees, which is what READ COMMITTED gives.

CREATE FUNCTION cxm.lock_links(to_retire boolean) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key constant bigint := hashtextextended('cxm.links', 0);
BEGIN
    IF NOT to_retire THEN
        PERFORM pg_advisory_xact_lock_shared(v_key);
    ELSIF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'identity links cannot be retired at isolation level %', current_setting('transaction_isolation')
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Who is left together depends on links that others have committed since the transaction began.',
                  HINT = 'Change or delete the record in a transaction at READ COMMITTED.';
    ELSE
        PERFORM pg_advisory_xact_lock(v_key);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.lock_links(boolean) IS
'Waits for the right to add identifiers and links (shared) or to retire links (alone), and keeps it till the end of the transaction. Error 0A000 when links are to be retired at REPEATABLE READ or SERIALIZABLE.';

CREATE FUNCTION cxm.lock_profiles() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('cxm.resolve', 0));
$$;

COMMENT ON FUNCTION cxm.lock_profiles() IS 'Waits for the right to merge or split profiles, and keeps it till the end of the transaction.';

CREATE FUNCTION cxm.linked_profiles(link_ids bigint[], OUT profile_a bigint, OUT profile_b bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT pa.canonical_id, pb.canonical_id
    FROM cx.link AS l
    JOIN cx.identifier AS ia ON ia.identifier_id = l.identifier_a
    JOIN cx.profile AS pa ON pa.profile_id = ia.profile_id
    JOIN cx.identifier AS ib ON ib.identifier_id = l.identifier_b
    JOIN cx.profile AS pb ON pb.profile_id = ib.profile_id
    WHERE l.link_id = ANY (link_ids) AND l.retired_at IS NULL AND l.kind <> 'never'
      AND pa.canonical_id <> pb.canonical_id;
END
$$;

COMMENT ON FUNCTION cxm.linked_profiles(bigint[]) IS 'The pairs of profiles that stand today and that the given live links say are one person.';

CREATE FUNCTION cxm.resolve_links(link_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_a bigint[];
    v_b bigint[];
    v_merged bigint;
BEGIN
    -- a snapshot that is older than a merge or split of these profiles must not be gone by: this raises 40001
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM cxm.lock_profiles();
        PERFORM FROM cx.profile AS s
        WHERE s.profile_id IN (SELECT p.canonical_id
                               FROM cx.link AS l
                               JOIN cx.identifier AS i ON i.identifier_id IN (l.identifier_a, l.identifier_b)
                               JOIN cx.profile AS p ON p.profile_id = i.profile_id
                               WHERE l.link_id = ANY (link_ids))
        FOR NO KEY UPDATE;
    END IF;

    IF NOT EXISTS (SELECT FROM cxm.linked_profiles(link_ids)) THEN
        RETURN 0;
    END IF;

    -- what was read without the lock may have been merged meanwhile: read again under it
    PERFORM cxm.lock_profiles();
    SELECT array_agg(p.profile_a), array_agg(p.profile_b) INTO v_a, v_b FROM cxm.linked_profiles(link_ids) AS p;

    WITH moved AS MATERIALIZED (
        SELECT c.member, c.component FROM cxm.components(v_a, v_b) AS c WHERE c.member <> c.component
    ), stub AS (
        SELECT m.member AS profile_id, m.component FROM moved AS m
        UNION ALL
        SELECT p.profile_id, m.component
        FROM moved AS m JOIN cx.profile AS p ON p.canonical_id = m.member AND p.canonical_id <> p.profile_id
        UNION ALL
        -- the profile that stays is touched too, so that a transaction with an older snapshot notices
        SELECT DISTINCT m.component, m.component FROM moved AS m
    )
    UPDATE cx.profile AS p
    SET canonical_id = s.component, changed_at = now()
    FROM stub AS s
    WHERE p.profile_id = s.profile_id;

    SELECT count(*) FILTER (WHERE c.member <> c.component) INTO v_merged FROM cxm.components(v_a, v_b) AS c;
    RETURN v_merged;
END
$$;

COMMENT ON FUNCTION cxm.resolve_links(bigint[]) IS
'Merges the profiles that the given live links (link_id of cx.link) join; the oldest of each group stays. Returns the number of profiles merged away. To be called after links were added. At REPEATABLE READ it may raise 40001 under concurrent merges.';

CREATE FUNCTION cxm.profile_parts(profile_ids bigint[], OUT canonical_id bigint, OUT part bigint, OUT identifier_id bigint, OUT profile_id bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH member AS MATERIALIZED (
        SELECT p.canonical_id, i.identifier_id, i.profile_id
        FROM cx.profile AS p JOIN cx.identifier AS i ON i.profile_id = p.profile_id
        WHERE p.profile_id = ANY (profile_ids) OR (p.canonical_id = ANY (profile_ids) AND p.canonical_id <> p.profile_id)
    ), edge AS (
        SELECT array_agg(l.identifier_a) AS a, array_agg(l.identifier_b) AS b
        FROM member AS m
        JOIN cx.link AS l ON l.identifier_a = m.identifier_id
        WHERE l.retired_at IS NULL AND l.kind <> 'never'
    ), component AS (
        SELECT c.member, c.component FROM edge AS e CROSS JOIN cxm.components(e.a, e.b) AS c
    )
    SELECT m.canonical_id, coalesce(c.component, m.identifier_id), m.identifier_id, m.profile_id
    FROM member AS m LEFT JOIN component AS c ON c.member = m.identifier_id;
END
$$;

COMMENT ON FUNCTION cxm.profile_parts(bigint[]) IS
'The identifiers of the given standing profiles with the part of their profile that the live links put each into. A part is named by its least identifier_id; a profile with more than one part has to be split.';

CREATE FUNCTION cxm.resolve_profiles(profile_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_canonical bigint[];
    v_part record;
    v_label bigint;
    v_split bigint := 0;
BEGIN
    PERFORM cxm.lock_profiles();
    -- by now a given profile may have been merged into another one
    SELECT array_agg(DISTINCT p.canonical_id) INTO v_canonical FROM cx.profile AS p WHERE p.profile_id = ANY (profile_ids);

    -- Of a profile that falls apart each part gets back the stubs that are its own: those whose oldest identifier is
    -- in it. The oldest of them stands again, the others follow it, and identifiers that were put into another
    -- part's stub move. The canonical profile is a stub like any other, so it stays with the part it began with.
    FOR v_part IN
        WITH member AS MATERIALIZED (
            SELECT m.canonical_id, m.part, m.identifier_id, m.profile_id,
                   first_value(m.part) OVER (PARTITION BY m.profile_id ORDER BY m.identifier_id) = m.part AS is_own_stub
            FROM cxm.profile_parts(v_canonical) AS m
        )
        SELECT m.canonical_id, m.part,
               array_agg(DISTINCT m.profile_id) FILTER (WHERE m.is_own_stub) AS stubs,
               array_agg(m.identifier_id) FILTER (WHERE NOT m.is_own_stub) AS strays
        FROM member AS m
        WHERE EXISTS (SELECT FROM member AS o WHERE o.canonical_id = m.canonical_id AND o.part <> m.part)
        GROUP BY m.canonical_id, m.part
        ORDER BY m.canonical_id, m.part
    LOOP
        v_label := (SELECT min(s) FROM unnest(v_part.stubs) AS s);
        IF v_label IS NULL THEN
            v_label := nextval(pg_get_serial_sequence('cx.profile', 'profile_id'));
            INSERT INTO cx.profile (profile_id, canonical_id) VALUES (v_label, v_label);
        ELSE
            UPDATE cx.profile AS p SET canonical_id = v_label, changed_at = now() WHERE p.profile_id = ANY (v_part.stubs);
        END IF;
        UPDATE cx.identifier AS i SET profile_id = v_label WHERE i.identifier_id = ANY (v_part.strays);
        v_split := v_split + (v_label <> v_part.canonical_id)::integer;
    END LOOP;
    RETURN v_split;
END
$$;

COMMENT ON FUNCTION cxm.resolve_profiles(bigint[]) IS
'Splits the given profiles where the live links no longer hold them together: each part gets its own profiles back, the oldest of which stands, or a new one. Returns the number of profiles split off. To be called after links were retired.';

CREATE FUNCTION cxm.retire_links(link_ids bigint[], reason text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.link AS l
    SET retired_at = now(), retired_by = session_user, retired_reason = reason
    WHERE l.link_id = ANY (link_ids) AND l.retired_at IS NULL;

    PERFORM cxm.resolve_profiles(ARRAY(SELECT DISTINCT i.profile_id
                                       FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a
                                       WHERE l.link_id = ANY (link_ids)));
END
$$;

COMMENT ON FUNCTION cxm.retire_links(bigint[], text) IS
'Takes links back, saying why, and splits the profiles that they alone held together. To be called under cxm.lock_links(true).';

CREATE FUNCTION cxm.stale_links(source_id integer, message_ids text[], identifiers jsonb[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH stated AS MATERIALIZED (
            SELECT m.message_id, i.identifier_id
            FROM cxm.expand_identifiers(identifiers) AS e
            JOIN unnest(message_ids) WITH ORDINALITY AS m(message_id, ordinality) ON m.ordinality = e.record
            JOIN cx.identifier AS i ON i.namespace = e.namespace COLLATE "C" AND i.value = e.value COLLATE "C"
        )
        SELECT array_agg(l.link_id)
        FROM cx.link AS l
        WHERE l.source_id = stale_links.source_id AND l.evidence = ANY (message_ids) AND l.evidence <> '' AND l.retired_at IS NULL
          AND (NOT EXISTS (SELECT FROM stated AS s WHERE s.message_id = l.evidence AND s.identifier_id = l.identifier_a)
               OR NOT EXISTS (SELECT FROM stated AS s WHERE s.message_id = l.evidence AND s.identifier_id = l.identifier_b)));
END
$$;

COMMENT ON FUNCTION cxm.stale_links(integer, text[], jsonb[]) IS
'The live links that the given messages of a source stated and, by the identifiers that they carry now, no longer state; all of them when no identifiers are given. NULL when there are none.';

CREATE FUNCTION cxm.retire_stale_links(source_id integer, message_ids text[], identifiers jsonb[], reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stale bigint[];
BEGIN
    IF cxm.stale_links(source_id, message_ids, identifiers) IS NULL THEN
        RETURN 0;
    END IF;

    -- what was read without the lock may have changed meanwhile: read again under it
    PERFORM cxm.lock_links(to_retire => true);
    v_stale := cxm.stale_links(source_id, message_ids, identifiers);
    PERFORM cxm.retire_links(v_stale, reason);
    RETURN coalesce(cardinality(v_stale), 0);
END
$$;

COMMENT ON FUNCTION cxm.retire_stale_links(integer, text[], jsonb[], text) IS
'Retires the links of cxm.stale_links(), splits the profiles that these alone held together, and returns how many there were. To be called before anything else that the records at hand need, for the order of locks.';

CREATE FUNCTION cxm.identity_differences() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- the partition from all live links at once, against the profiles kept link by link
    RETURN (
        WITH edge AS (
            SELECT array_agg(l.identifier_a) AS a, array_agg(l.identifier_b) AS b
            FROM cx.link AS l WHERE l.retired_at IS NULL AND l.kind <> 'never'
        ), component AS (
            SELECT c.member, c.component FROM edge AS e CROSS JOIN cxm.components(e.a, e.b) AS c
        ), labelled AS (
            SELECT i.identifier_id, coalesce(c.component, i.identifier_id) AS part, p.canonical_id
            FROM cx.identifier AS i
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            LEFT JOIN component AS c ON c.member = i.identifier_id
        )
        SELECT count(*)
        FROM (SELECT min(l.canonical_id) OVER (PARTITION BY l.part) <> max(l.canonical_id) OVER (PARTITION BY l.part)
                     OR min(l.part) OVER (PARTITION BY l.canonical_id) <> max(l.part) OVER (PARTITION BY l.canonical_id) AS differs
              FROM labelled AS l) AS d
        WHERE d.differs);
END
$$;

COMMENT ON FUNCTION cxm.identity_differences() IS
'Number of identifiers whose profile is not the one that all live links give when solved at once; 0 when the store is sound. Reads every link.';

CREATE FUNCTION cxm.customer(namespace text, value text) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT p.canonical_id
            FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE i.namespace = customer.namespace AND i.value = cxm.normalize(customer.namespace, customer.value));
END
$$;

COMMENT ON FUNCTION cxm.customer(text, text) IS
'profile_id of the person with this identifier today, for look-ups such as SELECT * FROM cx.customer_360 WHERE profile_id = cxm.customer(''email'', ''ann@example.com''). NULL when nobody has it.';

CREATE FUNCTION cxm.known_identifiers(namespaces text[], vals text[], OUT ordinality bigint, OUT identifier_id bigint, OUT canonical_id bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT k.ordinality, i.identifier_id, p.canonical_id
    FROM unnest(namespaces, vals) WITH ORDINALITY AS k(namespace, value, ordinality)
    LEFT JOIN cx.identifier AS i ON i.namespace = k.namespace COLLATE "C" AND i.value = k.value COLLATE "C"
    LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id;
END
$$;

COMMENT ON FUNCTION cxm.known_identifiers(text[], text[]) IS
'Looks identifiers up: a row a given pair, in its place, with identifier_id and the profile it belongs to today, both NULL when it is not in the store.';

CREATE FUNCTION cxm.add_identifiers(namespaces text[], vals text[], edge_a bigint[], edge_b bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- New identifiers that came with a known one go straight into its profile, and new ones that came together
    -- share a new profile, so that the common case needs no merge. Where two known profiles meet, or where another
    -- session was faster, the links that follow sort it out.
    WITH known AS MATERIALIZED (
        SELECT k.ordinality, k.identifier_id, k.canonical_id FROM cxm.known_identifiers(namespaces, vals) AS k
    ), component AS MATERIALIZED (
        SELECT k.ordinality, k.canonical_id, k.identifier_id IS NULL AS is_new, coalesce(c.component, k.ordinality) AS component
        FROM known AS k LEFT JOIN cxm.components(edge_a, edge_b) AS c ON c.member = k.ordinality
    ), home AS MATERIALIZED (
        SELECT c.component, min(c.canonical_id) AS canonical_id,
               CASE WHEN min(c.canonical_id) IS NULL THEN nextval(pg_get_serial_sequence('cx.profile', 'profile_id')) END AS new_id
        FROM component AS c
        GROUP BY c.component
        HAVING bool_or(c.is_new)
    ), added AS (
        INSERT INTO cx.identifier (namespace, value, profile_id)
        SELECT k.namespace, k.value, coalesce(h.canonical_id, h.new_id)
        FROM component AS c
        JOIN home AS h ON h.component = c.component
        JOIN unnest(namespaces, vals) WITH ORDINALITY AS k(namespace, value, ordinality) ON k.ordinality = c.ordinality
        WHERE c.is_new
        ORDER BY k.namespace COLLATE "C", k.value COLLATE "C"
        ON CONFLICT (namespace, value) DO NOTHING
        RETURNING identifier.profile_id
    )
    INSERT INTO cx.profile (profile_id, canonical_id)
    SELECT h.new_id, h.new_id
    FROM home AS h
    WHERE h.new_id IN (SELECT a.profile_id FROM added AS a);
END
$$;

COMMENT ON FUNCTION cxm.add_identifiers(text[], text[], bigint[], bigint[]) IS
'Adds those of the given identifiers that are not in the store, with profiles. edge_a and edge_b name pairs, by their place, that came on one record.';

CREATE FUNCTION cxm.resolve_identifiers(source_id integer, identifiers jsonb[], times timestamptz[],
                                        evidence text[] DEFAULT NULL, verified boolean[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_record integer[];       -- an entry an identifier on a record: its record ...
    v_place bigint[];         -- ... its place among the distinct identifiers ...
    v_first bigint[];         -- ... and the place of the record's strongest one
    v_namespaces text[];      -- the distinct identifiers
    v_values text[];
    v_is_linked boolean;      -- whether any record carries more than one
    v_ids bigint[];
    v_links bigint[];
BEGIN
    WITH mention AS MATERIALIZED (
        SELECT e.record, e.namespace, e.value, e.rank,
               dense_rank() OVER (ORDER BY e.namespace COLLATE "C", e.value COLLATE "C") AS place
        FROM cxm.expand_identifiers(identifiers) AS e
    ), ranked AS (
        SELECT m.*, first_value(m.place) OVER (PARTITION BY m.record ORDER BY m.rank, m.place) AS first_place FROM mention AS m
    )
    SELECT array_agg(r.record), array_agg(r.place), array_agg(r.first_place), bool_or(r.place <> r.first_place),
           (SELECT array_agg(d.namespace ORDER BY d.place) FROM (SELECT DISTINCT m.place, m.namespace FROM mention AS m) AS d),
           (SELECT array_agg(d.value ORDER BY d.place) FROM (SELECT DISTINCT m.place, m.value FROM mention AS m) AS d)
    INTO v_record, v_place, v_first, v_is_linked, v_namespaces, v_values
    FROM ranked AS r;

    IF v_record IS NULL THEN
        RETURN '{}';
    END IF;

    SELECT array_agg(k.identifier_id ORDER BY k.ordinality) INTO v_ids FROM cxm.known_identifiers(v_namespaces, v_values) AS k;
    IF array_position(v_ids, NULL) IS NOT NULL THEN
        PERFORM cxm.add_identifiers(v_namespaces, v_values, v_first, v_place);
        SELECT array_agg(k.identifier_id ORDER BY k.ordinality) INTO v_ids FROM cxm.known_identifiers(v_namespaces, v_values) AS k;
    END IF;

    IF v_is_linked THEN
        WITH pair AS (
            SELECT least(v_ids[m.first], v_ids[m.place]) AS a, greatest(v_ids[m.first], v_ids[m.place]) AS b,
                   coalesce(t.evidence, '') AS evidence, bool_or(coalesce(t.verified, false)) AS verified, min(t.at) AS at
            FROM unnest(v_record, v_place, v_first) AS m(record, place, first)
            JOIN unnest(times, evidence, verified) WITH ORDINALITY AS t(at, evidence, verified, ordinality) ON t.ordinality = m.record
            WHERE m.place <> m.first
            GROUP BY 1, 2, 3
        ), added AS (
            INSERT INTO cx.link (identifier_a, identifier_b, source_id, evidence, verified, observed_at)
            SELECT p.a, p.b, resolve_identifiers.source_id, p.evidence, p.verified, p.at
            FROM pair AS p
            WHERE NOT EXISTS (SELECT FROM cx.link AS l
                              WHERE l.identifier_a = p.a AND l.identifier_b = p.b AND l.source_id = resolve_identifiers.source_id
                                AND l.kind = 'seen' AND l.evidence = p.evidence COLLATE "C" AND l.retired_at IS NULL
                                AND (l.verified OR NOT p.verified))
            ORDER BY p.a, p.b, p.evidence COLLATE "C"
            ON CONFLICT (identifier_a, identifier_b, source_id, kind, evidence) WHERE retired_at IS NULL
            DO UPDATE SET verified = true WHERE EXCLUDED.verified AND NOT link.verified
            RETURNING link.link_id
        )
        SELECT array_agg(a.link_id) INTO v_links FROM added AS a;
        IF v_links IS NOT NULL THEN
            PERFORM cxm.resolve_links(v_links);
        END IF;
    END IF;

    IF cardinality(identifiers) = 1 THEN
        RETURN ARRAY[v_ids[v_first[1]]];
    END IF;
    RETURN (SELECT array_agg(v_ids[f.first] ORDER BY r.record)
            FROM generate_series(1, cardinality(identifiers)) AS r(record)
            LEFT JOIN (SELECT DISTINCT m.record, m.first FROM unnest(v_record, v_first) AS m(record, first)) AS f USING (record));
END
$$;

COMMENT ON FUNCTION cxm.resolve_identifiers(integer, jsonb[], timestamptz[], text[], boolean[]) IS
'For each record, given by the identifiers that it carries ({"namespace": "value", ...}, already checked), the identifier_id of the strongest one (NULL for none). Adds identifiers that are new, links those that came together, and merges the profiles that this joins: the whole batch in one go, identifiers and links in order, so that batches cannot deadlock. evidence: message_id to note on the links (NULL = seen in passing).';
