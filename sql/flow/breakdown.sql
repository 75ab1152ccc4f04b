-- What reports of journeys are broken down by: a column or property of the records, or a trait of the customers.

CREATE FUNCTION cxm.check_breakdown(breakdown text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF breakdown IS NOT NULL AND breakdown !~ '^(property|trait):.'
       AND breakdown NOT IN ('touchpoint', 'location', 'region', 'product', 'category', 'employee', 'source', 'kind', 'metric', 'currency') THEN
        RAISE EXCEPTION 'there is no breakdown by "%"', left(breakdown, 100)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Break down by touchpoint, location, region, product, category, employee, source, kind, metric, currency or property:NAME of the records, or by trait:NAME of the customers.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_breakdown(text) IS 'Error 22023 unless a report can be broken down by this: touchpoint, location, region, product, category, employee, source, kind, metric, currency, property:NAME, trait:NAME; NULL = not broken down.';

CREATE FUNCTION cxm.breakdown_query(breakdown text, codes text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind text := split_part(breakdown, ':', 1);
BEGIN
    -- 0 and '' for what is not there, so that the join with the codes can be a hash join; no more of the records than is asked
    RETURN format($query$
        SELECT p.canonical_id AS profile_id, r.occurred_at AS at, s.code, %1$s::text AS value
        FROM (
            SELECT 'event' AS kind, e.occurred_at, e.identifier_id, e.event_type_id, NULL::text COLLATE "C" AS metric, NULL::text COLLATE "C" AS currency,
                   e.touchpoint_id, e.location_id, e.product_id, e.employee_id, e.source_id, e.properties
            FROM cx.event AS e
            UNION ALL
            SELECT 'purchase', e.occurred_at, e.identifier_id, 0, NULL, e.currency,
                   e.touchpoint_id, e.location_id, e.product_id, e.employee_id, e.source_id, e.properties
            FROM cx.purchase AS e
            UNION ALL
            SELECT 'feedback', e.occurred_at, e.identifier_id, 0, e.metric, NULL,
                   e.touchpoint_id, e.location_id, e.product_id, e.employee_id, e.source_id, e.properties
            FROM cx.feedback AS e
        ) AS r
        JOIN (
            SELECT DISTINCT e.code, e.kind, coalesce(e.event_type_id, 0) AS event_type_id, coalesce(e.metric, '') AS metric, coalesce(e.touchpoint_id, 0) AS touchpoint_id
            FROM cx.journey_code_entry AS e
            WHERE %3$s IS NULL OR e.code = ANY (%3$s)
        ) AS s ON s.kind = r.kind AND s.event_type_id = r.event_type_id AND s.metric = coalesce(r.metric, '') AND s.touchpoint_id = coalesce(r.touchpoint_id, 0)
        JOIN cx.identifier AS i ON i.identifier_id = r.identifier_id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        %2$s$query$,
        CASE WHEN v_kind = 'property' THEN format('(r.properties ->> %L)', substr(breakdown, 10))
             WHEN v_kind IN ('kind', 'metric', 'currency') THEN 'r.' || v_kind
             WHEN v_kind IN ('source', 'region', 'category') THEN 'k.' || v_kind
             ELSE 'k.key' END,
        CASE WHEN v_kind IN ('touchpoint', 'location', 'product', 'employee') THEN format('LEFT JOIN cx.%1$s AS k ON k.%1$s_id = r.%1$s_id', v_kind)
             WHEN v_kind = 'region' THEN 'LEFT JOIN cx.location AS k ON k.location_id = r.location_id'
             WHEN v_kind = 'category' THEN 'LEFT JOIN cx.product AS k ON k.product_id = r.product_id'
             WHEN v_kind = 'source' THEN 'LEFT JOIN cx.source AS k ON k.source_id = r.source_id'
             ELSE '' END,
        codes);
END
$$;

COMMENT ON FUNCTION cxm.breakdown_query(text, text) IS
'SQL for the records of customers as steps of journeys: profile_id, at, code, and value, by what they are broken down (any breakdown that cxm.check_breakdown() takes but a trait); a WHERE about r, s, i and p may follow. codes: an expression of integer[], such as a parameter, with the codes that are asked for; NULL = all.';

CREATE FUNCTION cxm.trait_values(trait text, identifier_ids bigint[] DEFAULT NULL)
RETURNS TABLE (profile_id bigint, value text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.canonical_id, cxm.profile_merge(jsonb_build_object(trait_values.trait, o.traits -> trait_values.trait), o.observed_at, s.source,
                                             (SELECT cxm.trait_policies())) ->> trait_values.trait
    FROM cx.trait AS o
    LEFT JOIN cx.source AS s ON s.source_id = o.source_id
    JOIN cx.identifier AS i ON i.identifier_id = o.identifier_id
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    WHERE o.traits ? trait_values.trait AND (identifier_ids IS NULL OR o.identifier_id = ANY (identifier_ids))
    GROUP BY p.canonical_id;
END
$$;

COMMENT ON FUNCTION cxm.trait_values(text, bigint[]) IS
'A trait of all customers who have it, as text, by the golden record: what cx.profile_trait shows of it, without the other traits. identifier_ids: only what was said of these identifiers; NULL = all. No rows for NULL.';

CREATE FUNCTION cxm.journeys_by(breakdown text, codes integer[])
RETURNS TABLE (profile_id bigint, value text, journey cxm.journey)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.check_breakdown(breakdown);
    IF breakdown ~ '^trait:' THEN
        RETURN QUERY
        SELECT j.profile_id, t.value, j.journey
        FROM cxm.journeys() AS j
        LEFT JOIN cxm.trait_values(substr(breakdown, 7)) AS t ON t.profile_id = j.profile_id;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format('SELECT r.profile_id, r.value, cxm.journey_agg(r.at, r.code) FROM (%s) AS r GROUP BY 1, 2', cxm.breakdown_query(breakdown, '$1'))
    USING codes;
END
$$;

COMMENT ON FUNCTION cxm.journeys_by(text, integer[]) IS
'Journeys broken down: a row for each customer and each value that their records have, with the journey of the records that have it (value NULL: of those that have none); by trait:NAME a row a customer, with the value of the golden record. breakdown: touchpoint, location, product, employee (keys), region, category, source, kind (event, purchase, feedback), metric, currency, property:NAME, trait:NAME. codes: only records with these codes in journeys (NULL = all); by trait, the whole journeys. Reads the records themselves. Error 22023 for another breakdown.';
