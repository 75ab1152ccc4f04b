-- Setting the policies of the golden record.

CREATE FUNCTION cxm.trait_policies() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(p.trait, jsonb_strip_nulls(jsonb_build_object('policy', p.policy, 'sources', p.sources))), '{}')
            FROM cx.trait_policy AS p);
END
$$;

COMMENT ON FUNCTION cxm.trait_policies() IS
'cx.trait_policy as the policy that cxm.profile_merge_agg() and cxm.with_policy() take: {"trait": {"policy": ..., "sources": [...]}, ...}.';

CREATE FUNCTION cxm.set_trait_policy(trait text, policy text, sources text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source text;
BEGIN
    PERFORM cxm.store_version();
    IF trait IS NULL OR policy IS NULL THEN
        RAISE EXCEPTION '% must not be NULL', CASE WHEN trait IS NULL THEN 'trait' ELSE 'policy' END
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Take a policy away with cxm.drop_trait_policy(trait).';
    END IF;
    IF cardinality(sources) = 0 THEN
        sources := NULL;
    END IF;
    IF array_ndims(sources) > 1 THEN
        RAISE EXCEPTION 'sources must be an array of one dimension'
            USING ERRCODE = 'array_subscript_error';
    END IF;
    IF array_position(sources, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'sources must not contain nulls'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT s.name INTO v_source FROM unnest(sources) AS s(name) GROUP BY s.name HAVING count(*) > 1 ORDER BY s.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'source "%" is listed twice', v_source
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- knows every policy and what it needs
    PERFORM cxm.with_policy('{"observations": []}', jsonb_build_object(trait, jsonb_strip_nulls(jsonb_build_object('policy', policy, 'sources', sources))));

    FOREACH v_source IN ARRAY coalesce(sources, '{}') LOOP
        IF NOT EXISTS (SELECT FROM cx.source AS s WHERE s.source = v_source) THEN
            RAISE NOTICE 'source "%" has not sent anything yet', v_source;
        END IF;
    END LOOP;

    INSERT INTO cx.trait_policy AS p (trait, policy, sources) VALUES (trait, policy, sources)
    ON CONFLICT ON CONSTRAINT trait_policy_pkey
    DO UPDATE SET policy = excluded.policy, sources = excluded.sources, changed_at = now(), changed_by = session_user;
END
$$;

COMMENT ON FUNCTION cxm.set_trait_policy(text, text, text[]) IS
'Says how the golden record chooses among the values of a trait, from now on and for all that is stored; trait * is the default of all traits without a policy of their own. policy: most_recent, oldest, most_frequent, source_rank, max, min, sum, union or non_empty; sources: names of sources, the best first (needed by source_rank). Error 22023 on an unknown policy, a source listed twice, or source_rank without sources; 22004 on NULL; 42P01 without a store. A notice names sources that are not known yet.';

CREATE FUNCTION cxm.drop_trait_policy(trait text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    IF trait = '*' THEN
        RAISE EXCEPTION 'the default policy cannot be dropped'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Set it back with cxm.set_trait_policy(''*'', ''most_recent'').';
    END IF;
    DELETE FROM cx.trait_policy AS p WHERE p.trait = drop_trait_policy.trait COLLATE "C";
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION cxm.drop_trait_policy(text) IS
'Takes the policy of a trait away, so that the default (trait *) holds for it again. Returns whether it had one. Error 22023 for *; 42P01 without a store.';
