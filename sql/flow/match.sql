-- Records that are alike become links, or wait for somebody to decide.
--
-- What a matching says is a function of the records, the settings and the thresholds: a run replaces what the run
-- before it said. A link whose pair is no longer alike enough is retired, one that still is stays as it was.

----- a run

-- no setting of its own, so that it gives the caller's; what it calls is bound when it is created
CREATE FUNCTION cxm.caller_search_path() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.current_setting('search_path');
END;

COMMENT ON FUNCTION cxm.caller_search_path() IS 'search_path of the caller.';

CREATE FUNCTION cxm.match_threshold(probabilities double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- With n pairs taken, S the sum of their probabilities and T that of all, 2 * S / (n + T) is what F1 is expected to
    -- be. Nobody should be merged on the toss of a coin, whatever that gains in recall.
    RETURN (SELECT coalesce(least(greatest(s.probability, 0.8), 0.999), 0.95)
            FROM (SELECT p.probability, sum(p.probability) OVER w AS found, count(*) OVER w AS taken, sum(p.probability) OVER () AS total
                  FROM unnest(probabilities) AS p(probability)
                  WINDOW w AS (ORDER BY p.probability DESC)) AS s
            ORDER BY s.found / (s.taken + s.total) DESC, s.probability DESC
            LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.match_threshold(double precision[]) IS
'A threshold from scores alone: the probability above which, if the probabilities are right, the harmonic mean of precision and recall is greatest; from 0.8 to 0.999. NULL without probabilities.';

CREATE FUNCTION cxm.drop_match_tables() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- IF EXISTS would say that there are none
    IF to_regclass('pg_temp.cxm_match_input') IS NOT NULL THEN
        DROP TABLE pg_temp.cxm_match_input;
    END IF;
    IF to_regclass('pg_temp.cxm_match_pair') IS NOT NULL THEN
        DROP TABLE pg_temp.cxm_match_pair, pg_temp.cxm_match_record;
    END IF;
    IF to_regclass('pg_temp.cxm_match_new') IS NOT NULL THEN
        DROP TABLE pg_temp.cxm_match_profile, pg_temp.cxm_match_new;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.drop_match_tables() IS 'Drops the temporary tables of a matching.';

-- What a run works on, in temporary tables: a million records fit in no argument.
CREATE FUNCTION cxm.read_match_input(query text, search_path text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_path constant text := current_setting('search_path');
BEGIN
    PERFORM cxm.drop_match_tables();
    -- once, so that an expensive query is not run for each step, and each step sees the same records; the query is the
    -- caller's, and on a line of its own, for it may end in a comment
    PERFORM set_config('search_path', search_path, true);
    EXECUTE pg_catalog.format(E'CREATE TEMPORARY TABLE cxm_match_input ON COMMIT DROP AS SELECT q.* FROM (%s\n) AS q', query);
    PERFORM pg_catalog.set_config('search_path', v_path, true);

    CREATE TEMPORARY TABLE cxm_match_pair (
        record_a text NOT NULL,
        record_b text NOT NULL,
        weight double precision NOT NULL,
        probability double precision NOT NULL,
        held_back text,
        accepted boolean NOT NULL DEFAULT false,
        identifier_a bigint,
        identifier_b bigint
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE cxm_match_record (
        record text NOT NULL,
        namespace text,
        value text,
        identifier_id bigint
    ) ON COMMIT DROP;
END
$$;

COMMENT ON FUNCTION cxm.read_match_input(text, text) IS
'Runs the query of a matching under the given search_path into pg_temp.cxm_match_input, and makes the other temporary tables. A step of cxm.run_matching().';

CREATE FUNCTION cxm.score_records(model jsonb, namespace text, review double precision, one_to_one boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id constant text := coalesce(model ->> 'id', 'id');
    v_bad text;
BEGIN
    INSERT INTO pg_temp.cxm_match_pair (record_a, record_b, weight, probability)
    SELECT s.record_a, s.record_b, s.weight, s.probability
    FROM cxm.linkage_score('TABLE pg_temp.cxm_match_input', model, review, one_to_one) AS s;
    SELECT c.name INTO v_bad
    FROM unnest(CASE WHEN namespace IS NULL THEN ARRAY['namespace', 'value'] END) WITH ORDINALITY AS c(name, place)
    WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = 'pg_temp.cxm_match_input'::regclass AND a.attname = c.name)
    ORDER BY c.place LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'query has no column "%"', v_bad
            USING ERRCODE = 'undefined_column',
                  DETAIL = 'Links are between identifiers, and columns namespace and value say which one a record has.',
                  HINT = 'Where the ids of the records are values of one namespace, name that: namespace => ''crm_id''.';
    END IF;
    EXECUTE format('INSERT INTO pg_temp.cxm_match_record (record, namespace, value) SELECT q.%1$I::text, %2$s, %3$s::text FROM pg_temp.cxm_match_input AS q '
                   'WHERE EXISTS (SELECT FROM pg_temp.cxm_match_pair AS p WHERE p.record_a = q.%1$I::text) '
                   'OR EXISTS (SELECT FROM pg_temp.cxm_match_pair AS p WHERE p.record_b = q.%1$I::text)',
                   v_id,
                   CASE WHEN namespace IS NULL THEN 'q.namespace::text' ELSE quote_literal(namespace) END,
                   CASE WHEN namespace IS NULL THEN 'q.value' ELSE format('q.%I', v_id) END);
    ANALYZE pg_temp.cxm_match_pair;
    ANALYZE pg_temp.cxm_match_record;

    SELECT r.record INTO v_bad FROM pg_temp.cxm_match_record AS r GROUP BY r.record HAVING count(*) > 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'record id "%" is not unique', v_bad
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'Two sources of records may use the same id for linkage, but not where links are to be written.',
                  HINT = 'Make the id of each record of the query unique, with the name of its source before it, say.';
    END IF;
    SELECT coalesce(r.namespace, 'NULL') INTO v_bad FROM pg_temp.cxm_match_record AS r
    WHERE r.value IS NOT NULL AND NOT EXISTS (SELECT FROM cx.namespace AS n WHERE n.namespace = r.namespace COLLATE "C")
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unknown namespace "%"', v_bad
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'See SELECT * FROM cx.namespace ORDER BY rank; add one with cxm.add_namespace().';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.score_records(jsonb, text, double precision, boolean) IS
'Scores pg_temp.cxm_match_input and leaves the pairs in pg_temp.cxm_match_pair and the identifiers of their records in pg_temp.cxm_match_record. A step of cxm.run_matching().';

CREATE FUNCTION cxm.hold_back_bridges(accept double precision, max_size integer, min_density double precision) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH cluster AS MATERIALIZED (
        SELECT c.member, c.cluster, c.size
        FROM (SELECT array_agg(p.record_a) AS a, array_agg(p.record_b) AS b, array_agg(p.weight) AS weight
              FROM pg_temp.cxm_match_pair AS p WHERE p.probability >= accept) AS l
        CROSS JOIN cxm.clusters(l.a, l.b, l.weight, max_size, min_density) AS c
    )
    UPDATE pg_temp.cxm_match_pair AS p
    SET accepted = x.cluster = y.cluster,
        held_back = CASE WHEN x.cluster = y.cluster THEN NULL WHEN x.size + y.size > max_size THEN 'size' ELSE 'density' END
    FROM cluster AS x, cluster AS y
    WHERE p.probability >= accept AND x.member = p.record_a AND y.member = p.record_b;
END
$$;

COMMENT ON FUNCTION cxm.hold_back_bridges(double precision, integer, double precision) IS
'Accepts the pairs of pg_temp.cxm_match_pair that are probable enough and that cxm.clusters() lets join, and says of the others what held them back. A step of cxm.run_matching().';

CREATE FUNCTION cxm.identify_records(source_id integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_records text[];
    v_objects jsonb[];
    v_ids bigint[];
    v_without bigint;
BEGIN
    UPDATE pg_temp.cxm_match_record AS r
    SET identifier_id = i.identifier_id
    FROM cx.identifier AS i
    WHERE i.namespace = r.namespace COLLATE "C" AND i.value = cxm.normalize(r.namespace, r.value) COLLATE "C";

    SELECT array_agg(r.record ORDER BY r.namespace, r.value, r.record), array_agg(jsonb_build_object(r.namespace, r.value) ORDER BY r.namespace, r.value, r.record)
    INTO v_records, v_objects
    FROM pg_temp.cxm_match_record AS r
    WHERE r.identifier_id IS NULL AND r.value IS NOT NULL;
    IF v_records IS NOT NULL THEN
        v_ids := cxm.resolve_identifiers(source_id, v_objects, array_fill(now(), ARRAY[cardinality(v_records)]));
        UPDATE pg_temp.cxm_match_record AS r
        SET identifier_id = n.identifier_id
        FROM unnest(v_records, v_ids) AS n(record, identifier_id)
        WHERE n.record = r.record;
    END IF;

    UPDATE pg_temp.cxm_match_pair AS p
    SET identifier_a = x.identifier_id, identifier_b = y.identifier_id
    FROM pg_temp.cxm_match_record AS x, pg_temp.cxm_match_record AS y
    WHERE x.record = p.record_a AND y.record = p.record_b;
    -- the record goes where its identifier goes
    UPDATE pg_temp.cxm_match_pair AS p
    SET identifier_a = p.identifier_b, identifier_b = p.identifier_a, record_a = p.record_b, record_b = p.record_a
    WHERE p.identifier_a > p.identifier_b;

    SELECT count(*) INTO v_without FROM pg_temp.cxm_match_pair AS p WHERE p.identifier_a IS NULL OR p.identifier_b IS NULL;
    -- one record or several of one identifier: nothing to link; and of several pairs the most probable
    DELETE FROM pg_temp.cxm_match_pair AS p WHERE p.identifier_a IS NULL OR p.identifier_b IS NULL OR p.identifier_a = p.identifier_b;
    DELETE FROM pg_temp.cxm_match_pair AS p
    USING (SELECT r.ctid AS place, row_number() OVER (PARTITION BY r.identifier_a, r.identifier_b
                                                     ORDER BY r.accepted DESC, r.probability DESC, r.record_a, r.record_b) AS n
           FROM pg_temp.cxm_match_pair AS r) AS d
    WHERE p.ctid = d.place AND d.n > 1;
    -- every later step joins by the identifiers, of which the planner would think that there are none
    ANALYZE pg_temp.cxm_match_pair;
    RETURN v_without;
END
$$;

COMMENT ON FUNCTION cxm.identify_records(integer) IS
'Gives the pairs of pg_temp.cxm_match_pair the identifiers of their records, adding those that the store does not know; one pair of identifiers each. Returns how many pairs had a record without one. A step of cxm.run_matching().';

CREATE FUNCTION cxm.drop_settled_pairs(source_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- a link of ours that somebody else retired was rejected
    UPDATE cx.match AS m
    SET state = 'rejected', decided_at = l.retired_at, decided_by = l.retired_by, reason = l.retired_reason
    FROM cx.link AS l
    WHERE m.source_id = drop_settled_pairs.source_id AND m.state = 'linked' AND l.link_id = m.link_id AND l.retired_at IS NOT NULL;

    DELETE FROM pg_temp.cxm_match_pair AS p
    USING cx.match AS m JOIN cx.link AS l ON l.link_id = m.link_id
    WHERE m.source_id = drop_settled_pairs.source_id AND m.state = 'rejected'
      AND m.identifier_a = p.identifier_a AND m.identifier_b = p.identifier_b
      AND (l.kind = 'matched' OR l.retired_at IS NULL);

    -- two people, whatever they look like
    WITH apart AS MATERIALIZED (
        SELECT least(xp.canonical_id, yp.canonical_id) AS low, greatest(xp.canonical_id, yp.canonical_id) AS high
        FROM cx.link AS l
        JOIN cx.identifier AS x ON x.identifier_id = l.identifier_a
        JOIN cx.profile AS xp ON xp.profile_id = x.profile_id
        JOIN cx.identifier AS y ON y.identifier_id = l.identifier_b
        JOIN cx.profile AS yp ON yp.profile_id = y.profile_id
        WHERE l.kind = 'never' AND l.retired_at IS NULL AND xp.canonical_id <> yp.canonical_id
    )
    DELETE FROM pg_temp.cxm_match_pair AS p
    USING cx.identifier AS ia, cx.profile AS pa, cx.identifier AS ib, cx.profile AS pb, apart AS a
    WHERE ia.identifier_id = p.identifier_a AND pa.profile_id = ia.profile_id
      AND ib.identifier_id = p.identifier_b AND pb.profile_id = ib.profile_id
      AND a.low = least(pa.canonical_id, pb.canonical_id) AND a.high = greatest(pa.canonical_id, pb.canonical_id);
END
$$;

COMMENT ON FUNCTION cxm.drop_settled_pairs(integer) IS
'Takes out of pg_temp.cxm_match_pair what a link of kind never keeps apart and what was rejected before. A step of cxm.run_matching().';

CREATE FUNCTION cxm.lock_matches(source_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- whoever decides on a match locks it before profiles, too
    PERFORM FROM cx.match AS m
    WHERE m.source_id = lock_matches.source_id AND m.state IN ('open', 'linked')
    ORDER BY m.match_id
    FOR UPDATE;
END
$$;

COMMENT ON FUNCTION cxm.lock_matches(integer) IS
'Waits for whoever decides on matches of a matching, and keeps others from it till the end of the transaction. A step of cxm.run_matching().';

CREATE FUNCTION cxm.lock_matched_profiles(source_id integer, others bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_identifiers bigint[];
    v_profiles bigint[];
    v_others bigint[];
BEGIN
    -- of all links that this run will retire, change or add; those that stay as they are keep nobody waiting
    WITH change AS MATERIALIZED (
        SELECT coalesce(m.identifier_a, p.identifier_a) AS a, coalesce(m.identifier_b, p.identifier_b) AS b
        FROM (SELECT o.* FROM cx.match AS o WHERE o.source_id = lock_matched_profiles.source_id AND o.state = 'linked') AS m
        FULL JOIN (SELECT o.* FROM pg_temp.cxm_match_pair AS o WHERE o.accepted) AS p
            ON p.identifier_a = m.identifier_a AND p.identifier_b = m.identifier_b
        WHERE m.probability IS DISTINCT FROM p.probability
    )
    SELECT array_agg(e.id) INTO v_identifiers FROM (SELECT c.a AS id FROM change AS c UNION SELECT c.b FROM change AS c) AS e;

    v_profiles := cxm.identifier_profiles(v_identifiers);
    v_others := ARRAY(SELECT DISTINCT p.canonical_id FROM cx.profile AS p WHERE p.profile_id = ANY (others));
    PERFORM FROM cx.profile AS p WHERE p.profile_id = ANY (v_profiles || v_others) ORDER BY p.profile_id FOR NO KEY UPDATE;
    IF cxm.identifier_profiles(v_identifiers) IS DISTINCT FROM v_profiles THEN
        RAISE EXCEPTION USING ERRCODE = 'CXM01', MESSAGE = 'profiles have changed';
    END IF;
    RETURN coalesce(cardinality(v_profiles || v_others), 0);
END
$$;

COMMENT ON FUNCTION cxm.lock_matched_profiles(integer, bigint[]) IS
'Locks the standing profiles at both ends of all links that a run is to retire, change or add, and those that others belong to today, in the order in which every writer of links locks them, before a row of cx.link is touched: so a run and a writer never wait for each other in a circle over a link. Returns how many; error CXM01 when they were merged or split meanwhile, and the locks are to be given back. A step of cxm.run_matching().';

CREATE FUNCTION cxm.retire_unmatched(source_id integer, run_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_links bigint[];
BEGIN
    v_links := ARRAY(SELECT m.link_id
                     FROM cx.match AS m
                     WHERE m.source_id = retire_unmatched.source_id AND m.state = 'linked'
                       AND NOT EXISTS (SELECT FROM pg_temp.cxm_match_pair AS p
                                       WHERE p.accepted AND p.identifier_a = m.identifier_a AND p.identifier_b = m.identifier_b)
                     ORDER BY m.link_id);
    IF cardinality(v_links) > 0 THEN
        UPDATE cx.match AS m
        SET state = 'superseded', decided_at = now(), decided_by = session_user, reason = format('not accepted by run %s', retire_unmatched.run_id)
        WHERE m.link_id = ANY (v_links) AND m.state = 'linked';
        PERFORM cxm.retire_links(v_links, format('no longer accepted by the matching, run %s', retire_unmatched.run_id), wait => false);
    END IF;
    RETURN cardinality(v_links);
END
$$;

COMMENT ON FUNCTION cxm.retire_unmatched(integer, bigint) IS
'Retires the links of earlier runs of a matching whose pair is not accepted in pg_temp.cxm_match_pair, and returns how many. A step of cxm.run_matching().';

CREATE FUNCTION cxm.link_matches(source_id integer, run_id bigint, OUT linked bigint, OUT refused bigint, OUT merged bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_changed bigint[];
    v_new bigint[];
BEGIN
    -- a link that stays has the probability of the latest model, for the order of links goes by it
    WITH changed AS (
        UPDATE cx.match AS m
        SET probability = p.probability, weight = p.weight, record_a = p.record_a, record_b = p.record_b, run_id = link_matches.run_id
        FROM pg_temp.cxm_match_pair AS p
        WHERE p.accepted AND m.source_id = link_matches.source_id AND m.state = 'linked'
          AND m.identifier_a = p.identifier_a AND m.identifier_b = p.identifier_b AND m.probability <> p.probability
        RETURNING m.link_id, m.probability
    ), updated AS (
        UPDATE cx.link AS l SET probability = c.probability FROM changed AS c WHERE l.link_id = c.link_id RETURNING l.link_id
    )
    SELECT array_agg(u.link_id) INTO v_changed FROM updated AS u;

    -- in statements of their own: of what a CTE returns the planner knows too little for a million rows
    CREATE TEMPORARY TABLE cxm_match_profile ON COMMIT DROP AS
    SELECT u.identifier_id, u.part FROM cxm.unmatched_profiles(link_matches.source_id) AS u;
    ANALYZE pg_temp.cxm_match_profile;
    CREATE TEMPORARY TABLE cxm_match_new ON COMMIT DROP AS
    SELECT p.*
    FROM pg_temp.cxm_match_pair AS p
    JOIN pg_temp.cxm_match_profile AS pa ON pa.identifier_id = p.identifier_a
    JOIN pg_temp.cxm_match_profile AS pb ON pb.identifier_id = p.identifier_b
    WHERE p.accepted AND pa.part <> pb.part
      AND NOT EXISTS (SELECT FROM cx.match AS m
                      WHERE m.source_id = link_matches.source_id AND m.state = 'linked'
                        AND m.identifier_a = p.identifier_a AND m.identifier_b = p.identifier_b);

    INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, probability, observed_at)
    SELECT w.identifier_a, w.identifier_b, 'matched', link_matches.source_id, w.probability, now()
    FROM pg_temp.cxm_match_new AS w
    ORDER BY w.identifier_a, w.identifier_b
    ON CONFLICT (identifier_a, identifier_b, source_id, kind, evidence) WHERE retired_at IS NULL
    DO UPDATE SET probability = EXCLUDED.probability;

    WITH noted AS (
        INSERT INTO cx.match (source_id, run_id, record_a, record_b, identifier_a, identifier_b, probability, weight, state, link_id)
        SELECT link_matches.source_id, link_matches.run_id, w.record_a, w.record_b, w.identifier_a, w.identifier_b, w.probability, w.weight, 'linked', l.link_id
        FROM pg_temp.cxm_match_new AS w
        JOIN cx.link AS l ON l.identifier_a = w.identifier_a AND l.identifier_b = w.identifier_b
                         AND l.source_id = link_matches.source_id AND l.kind = 'matched' AND l.evidence = '' AND l.retired_at IS NULL
        ORDER BY w.identifier_a, w.identifier_b
        ON CONFLICT (source_id, identifier_a, identifier_b) WHERE state IN ('open', 'linked')
        DO UPDATE SET state = 'linked', link_id = EXCLUDED.link_id, run_id = EXCLUDED.run_id, record_a = EXCLUDED.record_a, record_b = EXCLUDED.record_b,
                      probability = EXCLUDED.probability, weight = EXCLUDED.weight, held_back = NULL
        RETURNING match.link_id
    )
    SELECT array_agg(n.link_id) INTO v_new FROM noted AS n;
    DROP TABLE pg_temp.cxm_match_profile, pg_temp.cxm_match_new;

    merged := 0;
    IF v_new IS NOT NULL OR v_changed IS NOT NULL THEN
        merged := cxm.resolve_links(coalesce(v_new, '{}') || coalesce(v_changed, '{}'), wait => false);
    END IF;
    linked := coalesce(cardinality(v_new), 0);
    SELECT count(*) INTO refused FROM cx.link AS l WHERE l.link_id = ANY (v_new) AND l.refused IS NOT NULL;
END
$$;

COMMENT ON FUNCTION cxm.link_matches(integer, bigint) IS
'Makes links of the accepted pairs of pg_temp.cxm_match_pair, those that other links make one person left out, and resolves them: how many links are new, how many of these the rules refused, how many profiles were merged away. A step of cxm.run_matching().';

CREATE FUNCTION cxm.queue_matches(source_id integer, run_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_open bigint;
BEGIN
    DELETE FROM pg_temp.cxm_match_pair AS p
    USING cx.identifier AS ia, cx.profile AS pa, cx.identifier AS ib, cx.profile AS pb
    WHERE ia.identifier_id = p.identifier_a AND pa.profile_id = ia.profile_id
      AND ib.identifier_id = p.identifier_b AND pb.profile_id = ib.profile_id
      AND (p.accepted OR pa.canonical_id = pb.canonical_id);

    UPDATE cx.match AS m
    SET state = 'superseded', decided_at = now(), decided_by = session_user, reason = format('not found by run %s', queue_matches.run_id)
    WHERE m.source_id = queue_matches.source_id AND m.state = 'open'
      AND NOT EXISTS (SELECT FROM pg_temp.cxm_match_pair AS p WHERE p.identifier_a = m.identifier_a AND p.identifier_b = m.identifier_b);

    INSERT INTO cx.match AS m (source_id, run_id, record_a, record_b, identifier_a, identifier_b, probability, weight, held_back)
    SELECT queue_matches.source_id, queue_matches.run_id, p.record_a, p.record_b, p.identifier_a, p.identifier_b, p.probability, p.weight, p.held_back
    FROM pg_temp.cxm_match_pair AS p
    ORDER BY p.probability DESC, p.identifier_a, p.identifier_b
    ON CONFLICT (source_id, identifier_a, identifier_b) WHERE state IN ('open', 'linked')
    DO UPDATE SET probability = EXCLUDED.probability, weight = EXCLUDED.weight, held_back = EXCLUDED.held_back,
                  run_id = EXCLUDED.run_id, record_a = EXCLUDED.record_a, record_b = EXCLUDED.record_b
    WHERE (m.probability, m.held_back, m.record_a, m.record_b) IS DISTINCT FROM (EXCLUDED.probability, EXCLUDED.held_back, EXCLUDED.record_a, EXCLUDED.record_b);

    SELECT count(*) INTO v_open FROM cx.match AS m WHERE m.source_id = queue_matches.source_id AND m.state = 'open';
    RETURN v_open;
END
$$;

COMMENT ON FUNCTION cxm.queue_matches(integer, bigint) IS
'Puts the pairs of pg_temp.cxm_match_pair that are two people still into the queue, supersedes what waits there and was not found again, and returns how many wait. A step of cxm.run_matching().';

CREATE FUNCTION cxm.run_matching(query text, settings jsonb, matching text, namespace text, accept double precision, review double precision,
                                 one_to_one boolean, max_size integer, min_density double precision, seed bigint, search_path text,
                                 OUT run_id bigint, OUT accept_threshold double precision, OUT pairs bigint, OUT linked bigint, OUT refused bigint,
                                 OUT merged bigint, OUT retired bigint, OUT queued bigint, OUT held_back bigint, OUT without_identifier bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_source integer;
    v_model jsonb := settings;
    v_others bigint[] := '{}';
    v_detail text;
BEGIN
    IF query IS NULL OR settings IS NULL OR review IS NULL OR one_to_one IS NULL OR max_size IS NULL OR min_density IS NULL OR seed IS NULL THEN
        RAISE EXCEPTION 'query, settings, review, one_to_one, max_size, min_density and seed must not be NULL'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT (review >= 0 AND review < 1 AND coalesce(accept >= review AND accept < 1, true)) THEN
        RAISE EXCEPTION 'thresholds must be probabilities below 1, and accept not less than review'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('accept is %s, review is %s.', coalesce(accept::text, 'NULL'), review),
                  HINT = 'Leave accept NULL to have it chosen from the scores.';
    END IF;
    v_source := cxm.source_id(matching);
    -- runs of one matching queue
    PERFORM pg_advisory_xact_lock(hashtextextended('cxm.match ' || matching, 0));

    PERFORM cxm.read_match_input(query, search_path);
    IF NOT (settings ? 'lambda' AND jsonb_path_exists(settings, '$.comparisons[*].levels[*].m')) THEN
        IF namespace IS NULL AND NOT settings ? 'ignore' THEN
            v_model := v_model || '{"ignore": ["namespace", "value"]}';
        END IF;
        v_model := cxm.linkage_train('TABLE pg_temp.cxm_match_input', v_model, seed);
    END IF;
    PERFORM cxm.score_records(v_model, namespace, review, one_to_one);

    SELECT count(*) INTO pairs FROM pg_temp.cxm_match_pair;
    accept_threshold := accept;
    IF accept IS NULL THEN
        accept_threshold := greatest(coalesce(cxm.match_threshold((SELECT array_agg(p.probability) FROM pg_temp.cxm_match_pair AS p)), 0.95), review);
    END IF;
    PERFORM cxm.hold_back_bridges(accept_threshold, max_size, min_density);

    LOCK TABLE cx.namespace IN ACCESS SHARE MODE;
    INSERT INTO cx.match_run (source_id, query, search_path, namespace, model, accept_threshold, review_threshold, one_to_one, max_size, min_density)
    VALUES (v_source, query, search_path, namespace, v_model, accept_threshold, review, one_to_one, max_size, min_density)
    RETURNING match_run.run_id INTO run_id;

    PERFORM cxm.lock_matches(v_source);
    without_identifier := cxm.identify_records(v_source);
    PERFORM cxm.drop_settled_pairs(v_source);
    -- What links reach goes beyond the profiles at their ends. A run that holds locks must not wait for more of them, or
    -- a writer may wait for it and it for the writer: it gives them back, and begins anew with all. They have to be
    -- taken in this very subtransaction: who waits for one that another subtransaction has handed on to this one goes on
    -- waiting when it is rolled back.
    LOOP
        BEGIN
            PERFORM cxm.lock_matched_profiles(v_source, v_others);
            retired := cxm.retire_unmatched(v_source, run_id);
            SELECT l.linked, l.refused, l.merged INTO linked, refused, merged FROM cxm.link_matches(v_source, run_id) AS l;
            EXIT;
        EXCEPTION WHEN SQLSTATE 'CXM01' THEN
            NULL;
        WHEN lock_not_available THEN
            GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
            IF v_detail !~ '^[0-9 ]+$' THEN
                RAISE;
            END IF;
            v_others := v_others || string_to_array(v_detail, ' ')::bigint[];
        END;
    END LOOP;
    queued := cxm.queue_matches(v_source, run_id);
    SELECT count(*) INTO held_back FROM cx.match AS m WHERE m.source_id = v_source AND m.state = 'open' AND m.held_back IS NOT NULL;

    UPDATE cx.match_run AS r
    SET pairs = run_matching.pairs, linked = run_matching.linked, retired = run_matching.retired, queued = run_matching.queued, finished_at = clock_timestamp()
    WHERE r.run_id = run_matching.run_id;
    PERFORM cxm.drop_match_tables();
END
$$;

COMMENT ON FUNCTION cxm.run_matching(text, jsonb, text, text, double precision, double precision, boolean, integer, double precision, bigint, text) IS
'What cxm.link_records() and cxm.link_profiles() do; search_path is that under which the query is run.';

CREATE FUNCTION cxm.link_records(query text, settings jsonb DEFAULT '{}', matching text DEFAULT 'linkage', namespace text DEFAULT NULL,
                                 accept double precision DEFAULT NULL, review double precision DEFAULT 0.3, one_to_one boolean DEFAULT false,
                                 max_size integer DEFAULT 100, min_density double precision DEFAULT 0.25, seed bigint DEFAULT 42,
                                 OUT run_id bigint, OUT accept_threshold double precision, OUT pairs bigint, OUT linked bigint, OUT refused bigint,
                                 OUT merged bigint, OUT retired bigint, OUT queued bigint, OUT held_back bigint, OUT without_identifier bigint)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT m.run_id, m.accept_threshold, m.pairs, m.linked, m.refused, m.merged, m.retired, m.queued, m.held_back, m.without_identifier
    FROM cxm.run_matching(link_records.query, link_records.settings, link_records.matching, link_records.namespace, link_records.accept, link_records.review,
                          link_records.one_to_one, link_records.max_size, link_records.min_density, link_records.seed, cxm.caller_search_path()) AS m;
END;

COMMENT ON FUNCTION cxm.link_records(text, jsonb, text, text, double precision, double precision, boolean, integer, double precision, bigint) IS
'Finds records of a query that are one person and links their identifiers. The query has an id and, in columns namespace and value, the identifier of each record; or namespace is given, and the ids are values of it. settings: as of cxm.linkage_train(), what is missing is chosen; a trained model is taken as it is. Pairs of at least accept (NULL: chosen from the scores, 0.8 or more) become links of kind matched, unless they would make a cluster of more than max_size records or join clusters with less than the share min_density of links between them; those, and pairs of at least review, wait in cx.match_queue; what is one person already, or kept apart, or was rejected, is left out. Runs of one matching replace each other: links whose pair is no longer accepted are retired, all others stay. Answer: the run (cx.match_run), the threshold, pairs of at least review, links written, of these refused by the rules of identity, profiles merged away, links retired, pairs that wait, of these held back by the guards, and pairs left out since a record has no identifier. Errors as of cxm.linkage_train() and cxm.linkage_score(); 22023 on thresholds that make no sense and on an unknown namespace, 22004 on NULL, 42P01 without a store.';

----- profiles

CREATE FUNCTION cxm.unmatched_profiles(source_id integer, OUT identifier_id bigint, OUT part bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH joined AS MATERIALIZED (
        SELECT DISTINCT p.canonical_id
        FROM cx.link AS l
        JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE l.source_id = unmatched_profiles.source_id AND l.kind = 'matched' AND l.retired_at IS NULL
    ), member AS MATERIALIZED (
        SELECT i.identifier_id, p.canonical_id, j.canonical_id IS NOT NULL AS is_joined
        FROM cx.identifier AS i
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        LEFT JOIN joined AS j ON j.canonical_id = p.canonical_id
    ), edge AS (
        SELECT array_agg(l.identifier_a) AS a, array_agg(l.identifier_b) AS b
        FROM member AS m
        JOIN cx.link AS l ON l.identifier_a = m.identifier_id
        WHERE m.is_joined AND l.retired_at IS NULL AND l.refused IS NULL AND l.kind <> 'never'
          AND NOT (l.source_id = unmatched_profiles.source_id AND l.kind = 'matched')
    ), component AS (
        SELECT c.member, c.component FROM edge AS e CROSS JOIN cxm.components(e.a, e.b) AS c
    )
    SELECT m.identifier_id,
           CASE WHEN m.is_joined THEN coalesce(c.component, m.identifier_id) ELSE min(m.identifier_id) OVER (PARTITION BY m.is_joined, m.canonical_id) END
    FROM member AS m
    LEFT JOIN component AS c ON c.member = m.identifier_id;
END
$$;

COMMENT ON FUNCTION cxm.unmatched_profiles(integer) IS
'Each identifier with the profile that it would be in without the matched links of a source: part is the least identifier_id of it. So a matching over profiles sees the same records whatever it found before.';

CREATE FUNCTION cxm.profile_records(source_id integer, traits text[]) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_traits text[] := traits;
BEGIN
    IF v_traits IS NULL THEN
        -- what is said of one in fifty, the most frequent first
        v_traits := ARRAY(SELECT k.trait
                          FROM (SELECT e.key AS trait, count(DISTINCT t.identifier_id) AS n
                                FROM cx.trait AS t CROSS JOIN LATERAL jsonb_each(t.traits) AS e(key, value)
                                WHERE jsonb_typeof(e.value) IN ('string', 'number', 'boolean') AND octet_length(e.key) < 64
                                  AND e.key NOT IN ('id', 'source', 'namespace', 'value')
                                GROUP BY e.key) AS k
                          WHERE k.n >= 0.02 * (SELECT count(DISTINCT t.identifier_id) FROM cx.trait AS t)
                          ORDER BY k.n DESC, k.trait COLLATE "C"
                          LIMIT 16);
    END IF;
    IF coalesce(cardinality(v_traits), 0) = 0 THEN
        RAISE EXCEPTION 'profiles have no traits that could be compared'
            USING ERRCODE = 'no_data_found',
                  HINT = 'Send traits with cxm.identify(), or attach a table as traits.';
    END IF;
    RETURN format($query$SELECT r.part AS id, n.namespace, n.value, %s
FROM (SELECT u.part, cxm.profile_merge(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())) AS traits
      FROM cxm.unmatched_profiles(%s) AS u
      JOIN cx.trait AS t ON t.identifier_id = u.identifier_id
      LEFT JOIN cx.source AS s ON s.source_id = t.source_id
      GROUP BY u.part) AS r
JOIN (SELECT DISTINCT ON (u.part) u.part, i.namespace, i.value
      FROM cxm.unmatched_profiles(%s) AS u
      JOIN cx.identifier AS i ON i.identifier_id = u.identifier_id
      JOIN cx.namespace AS k ON k.namespace = i.namespace
      ORDER BY u.part, i.quarantined IS NOT NULL, k.rank, i.identifier_id) AS n ON n.part = r.part$query$,
                  (SELECT string_agg(format('r.traits ->> %L AS %I', t.trait, t.trait), ', ' ORDER BY t.ordinality)
                   FROM unnest(v_traits) WITH ORDINALITY AS t(trait, ordinality)),
                  source_id, source_id);
END
$$;

COMMENT ON FUNCTION cxm.profile_records(integer, text[]) IS
'The query of the profiles with their golden record, a column a trait (NULL: those that are said of one in fifty, 16 at most), and their strongest identifier, as if the matched links of the given source were not there. Error P0002 without traits.';

CREATE FUNCTION cxm.link_profiles(traits text[] DEFAULT NULL, settings jsonb DEFAULT '{}', matching text DEFAULT 'profiles',
                                  accept double precision DEFAULT NULL, review double precision DEFAULT 0.3,
                                  max_size integer DEFAULT 100, min_density double precision DEFAULT 0.25, seed bigint DEFAULT 42,
                                  OUT run_id bigint, OUT accept_threshold double precision, OUT pairs bigint, OUT linked bigint, OUT refused bigint,
                                  OUT merged bigint, OUT retired bigint, OUT queued bigint, OUT held_back bigint, OUT without_identifier bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    r record;
BEGIN
    SELECT m.* INTO r
    FROM cxm.run_matching(cxm.profile_records(cxm.source_id(matching), traits), settings, matching, NULL, accept, review, false, max_size, min_density, seed,
                          'pg_catalog, pg_temp') AS m;
    run_id := r.run_id;
    accept_threshold := r.accept_threshold;
    pairs := r.pairs;
    linked := r.linked;
    refused := r.refused;
    merged := r.merged;
    retired := r.retired;
    queued := r.queued;
    held_back := r.held_back;
    without_identifier := r.without_identifier;
END
$$;

COMMENT ON FUNCTION cxm.link_profiles(text[], jsonb, text, double precision, double precision, integer, double precision, bigint) IS
'cxm.link_records() over the profiles themselves: their golden records are compared, by the given traits or by those that are common, so that people who share no identifier are found. The profiles are taken as they would be without the links of this matching, so a repeated run finds the same.';

----- review

CREATE FUNCTION cxm.lock_match(match_id bigint, states text[], reason text,
                               OUT identifier_a bigint, OUT identifier_b bigint, OUT state text, OUT link_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_match record;
BEGIN
    IF coalesce(btrim(lock_match.reason), '') = '' THEN
        RAISE EXCEPTION 'a decision needs a reason'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Say how you know, for whoever looks at it next.';
    END IF;
    -- whoever decides on the same match at the same time waits here, and then sees the decision
    SELECT m.* INTO v_match FROM cx.match AS m WHERE m.match_id = lock_match.match_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no match %', coalesce(lock_match.match_id::text, 'NULL')
            USING ERRCODE = 'no_data_found',
                  HINT = 'See SELECT * FROM cx.match_queue.';
    ELSIF v_match.state <> ALL (states) THEN
        RAISE EXCEPTION 'match % is % already', lock_match.match_id, v_match.state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN v_match.decided_by IS NULL THEN format('Link %s came of it.', v_match.link_id)
                                ELSE format('By %s: %s', v_match.decided_by, v_match.reason) END;
    END IF;
    identifier_a := v_match.identifier_a;
    identifier_b := v_match.identifier_b;
    state := v_match.state;
    link_id := v_match.link_id;
END
$$;

COMMENT ON FUNCTION cxm.lock_match(bigint, text[], text) IS
'Locks a match that is to be decided and gives its identifiers and link. Error P0002 on an unknown match, 55000 on one that is in none of the given states, 22023 without a reason.';

CREATE FUNCTION cxm.decide_match(match_id bigint, state text, kind text, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source integer;
    v_match record;
    v_link bigint;
BEGIN
    PERFORM cxm.store_version();
    LOCK TABLE cx.namespace IN ACCESS SHARE MODE;
    v_source := cxm.source_id('manual');
    v_match := cxm.lock_match(decide_match.match_id, CASE decide_match.kind WHEN 'never' THEN ARRAY['open', 'linked'] ELSE ARRAY['open'] END, decide_match.reason);

    -- a link that is there already is not locked: its profiles would have to be locked first
    INSERT INTO cx.link AS l (identifier_a, identifier_b, kind, source_id, observed_at, reason)
    VALUES (v_match.identifier_a, v_match.identifier_b, decide_match.kind, v_source, now(), decide_match.reason)
    ON CONFLICT (identifier_a, identifier_b, source_id, kind, evidence) WHERE retired_at IS NULL DO NOTHING
    RETURNING l.link_id INTO v_link;
    IF v_link IS NULL THEN
        SELECT l.link_id INTO STRICT v_link
        FROM cx.link AS l
        WHERE l.identifier_a = v_match.identifier_a AND l.identifier_b = v_match.identifier_b AND l.source_id = v_source
          AND l.kind = decide_match.kind AND l.evidence = '' AND l.retired_at IS NULL;
    END IF;
    UPDATE cx.match AS m
    SET state = decide_match.state, link_id = v_link, decided_at = now(), decided_by = session_user, reason = decide_match.reason
    WHERE m.match_id = decide_match.match_id;

    IF v_match.state = 'linked' THEN
        PERFORM cxm.retire_links(ARRAY[v_match.link_id], decide_match.reason);
    END IF;
    PERFORM cxm.resolve_links(ARRAY[v_link]);
    RETURN v_link;
END
$$;

COMMENT ON FUNCTION cxm.decide_match(bigint, text, text, text) IS
'Writes down what somebody decided on a match: its state, and a link of the kind. What cxm.accept_match() and cxm.reject_match() have in common.';

CREATE FUNCTION cxm.accept_match(match_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_link bigint := cxm.decide_match(match_id, 'accepted', 'pinned', reason);
    v_refused text;
BEGIN
    SELECT l.refused INTO v_refused FROM cx.link AS l WHERE l.link_id = v_link;
    IF v_refused IS NOT NULL THEN
        RAISE EXCEPTION 'match % cannot be accepted', match_id
            USING ERRCODE = 'integrity_constraint_violation',
                  DETAIL = format('The two may not be one person: the link would be refused (%s).', v_refused),
                  HINT = CASE v_refused WHEN 'never' THEN 'A link of kind never keeps them apart; retire that one first.'
                                        ELSE 'Both have an identifier of a namespace of which a person has one only; reject the match, or retire the wrong link.' END;
    END IF;
    RETURN v_link;
END
$$;

COMMENT ON FUNCTION cxm.accept_match(bigint, text) IS
'Somebody says that the two records of a match (cx.match_queue) are one person, and why: a link of kind pinned, which is returned, and the profiles become one. Error P0002 on an unknown match, 55000 on one that is decided already, 22023 without a reason, 23000 where the two are kept apart or have different values of a unique namespace.';

CREATE FUNCTION cxm.reject_match(match_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.decide_match(match_id, 'rejected', 'never', reason);
END
$$;

COMMENT ON FUNCTION cxm.reject_match(bigint, text) IS
'Somebody says that the two records of a match are two people, and why: a link of kind never, which is returned, so that the pair is not proposed again. A match that became a link by itself can be rejected too; its link is retired. Errors as of cxm.accept_match().';

CREATE FUNCTION cxm.match_explain(match_id bigint DEFAULT NULL, link_id bigint DEFAULT NULL,
    OUT step integer, OUT comparison text, OUT value_a text, OUT value_b text, OUT level text, OUT m double precision, OUT u double precision,
    OUT weight double precision, OUT total double precision, OUT probability double precision)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_path constant text := current_setting('search_path');
    v_match record;
    v_swap boolean;
BEGIN
    PERFORM cxm.store_version();
    IF num_nonnulls(match_explain.match_id, match_explain.link_id) <> 1 THEN
        RAISE EXCEPTION 'either match_id or link_id must be given'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT x.record_a, x.record_b, r.query, r.model, r.search_path INTO v_match
    FROM cx.match AS x JOIN cx.match_run AS r ON r.run_id = x.run_id
    WHERE x.match_id = match_explain.match_id OR x.link_id = match_explain.link_id
    ORDER BY x.match_id DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no match is % %', CASE WHEN match_explain.match_id IS NULL THEN 'the origin of link' ELSE 'numbered' END,
                                           coalesce(match_explain.match_id, match_explain.link_id)
            USING ERRCODE = 'no_data_found',
                  HINT = 'See cx.match. Links of kind seen come from the records of a source.';
    END IF;

    -- of two sources the record of the first one comes first, whatever the identifiers are
    PERFORM set_config('search_path', v_match.search_path, true);
    BEGIN
        RETURN QUERY SELECT e.* FROM cxm.linkage_explain(v_match.query, v_match.model, v_match.record_a, v_match.record_b) AS e;
        v_swap := false;
    EXCEPTION WHEN no_data_found THEN
        v_swap := true;
    END;
    IF v_swap THEN
        RETURN QUERY
        SELECT e.step, e.comparison, e.value_b, e.value_a, e.level, e.m, e.u, e.weight, e.total, e.probability
        FROM cxm.linkage_explain(v_match.query, v_match.model, v_match.record_b, v_match.record_a) AS e;
    END IF;
    PERFORM pg_catalog.set_config('search_path', v_path, true);
END
$$;

COMMENT ON FUNCTION cxm.match_explain(bigint, bigint) IS
'Why a match, or the link that came of one, has its probability: the waterfall of cxm.linkage_explain() by the model of its run, over the records as they are now. Reads all records of the query, with the rights of the caller. Error 22023 unless one of the two arguments is given, P0002 on an unknown match, a link that is none, or records that are gone.';
