-- Taking what winning customers costs.

CREATE FUNCTION cxm.store_spend(source_id integer, records cxm.spend_input[], upsert boolean DEFAULT false, strict boolean DEFAULT false)
RETURNS cxm.ingest_result
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
DECLARE
    v_limits record;
    v_problems cxm.problem[];
    v_taken cxm.taken_record[];
BEGIN
    PERFORM cxm.plan_for(cardinality(records));
    v_limits := cxm.ingest_limits();
    SELECT array_agg(CASE WHEN r.reason IS NULL AND r.amount IS NULL
                          THEN ('22004', 'the spend has no amount', 'Give the money that was spent.')::cxm.problem
                          ELSE coalesce(CASE WHEN r.reason IS NULL THEN cxm.money_problem(r.amount, r.currency) END,
                                        cxm.record_problem(r.reason, r.message_id, r.at, v_limits.latest, NULL, v_limits.namespaces, r.properties,
                                                           ARRAY[r.channel, r.campaign, r.touchpoint, r.location, r.product]))
                     END ORDER BY r.ordinality)
    INTO v_problems
    FROM unnest(records) WITH ORDINALITY AS r;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    v_taken := (SELECT cxm.take_records(source_id, 'spend', upsert, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(NULL::jsonb), array_agg(r.touchpoint ORDER BY r.ordinality),
                       array_agg(r.location ORDER BY r.ordinality), array_agg(r.product ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.spend (spend_id, occurred_at, amount, currency, channel, campaign, touchpoint_id, location_id, product_id, source_id, properties)
    SELECT t.record_id, r.at, r.amount, r.currency, nullif(r.channel, ''), nullif(r.campaign, ''), t.touchpoint_id, t.location_id, t.product_id,
           store_spend.source_id, nullif(r.properties, '{}')
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    WHERE t.record_id IS NOT NULL AND t.is_new;

    IF upsert THEN
        UPDATE cx.spend AS s
        SET occurred_at = r.at, amount = r.amount, currency = r.currency, channel = nullif(r.channel, ''), campaign = nullif(r.campaign, ''),
            touchpoint_id = t.touchpoint_id, location_id = t.location_id, product_id = t.product_id, properties = nullif(r.properties, '{}')
        FROM unnest(records) WITH ORDINALITY AS r
        JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
        WHERE NOT t.is_new AND t.stored_at IS NOT NULL AND s.spend_id = t.record_id;
    END IF;

    RETURN cxm.ingest_counts(v_problems, v_taken, upsert);
END
$$;

COMMENT ON FUNCTION cxm.store_spend(integer, cxm.spend_input[], boolean, boolean) IS
'Takes a batch of spend of one source into cx.spend. Refused records go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); ones whose message is stored already change the stored record (upsert) or nothing.';

CREATE FUNCTION cxm.record_spend(amount numeric, currency text DEFAULT NULL, channel text DEFAULT NULL, campaign text DEFAULT NULL,
                                 touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL,
                                 at timestamptz DEFAULT now(), properties jsonb DEFAULT NULL,
                                 source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.single_record(cxm.store_spend(cxm.source_id(source),
        ARRAY[(message_id, at, amount, currency, channel, campaign, touchpoint, location, product, nullif(properties, 'null'), NULL, NULL)::cxm.spend_input],
        strict => true));
END
$$;

COMMENT ON FUNCTION cxm.record_spend(numeric, text, text, text, text, text, text, timestamptz, jsonb, text, text) IS
'Records money spent on winning and keeping customers and returns its spend_id. amount: negative for what came back; currency: ISO 4217 code or NULL; channel, campaign: names; touchpoint, location, product: keys, new ones are added to their catalogue. With a message_id it is stored once for (source, message_id): sent again, it returns the first spend_id and changes nothing. Error on a missing or infinite amount, a malformed currency, a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_spend(record jsonb, time_zone text) RETURNS cxm.spend_input
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), cxm.try_numeric(record ->> 'amount'), record ->> 'currency',
            record ->> 'channel', record ->> 'campaign', record ->> 'touchpoint', record ->> 'location', record ->> 'product',
            nullif(record -> 'properties', 'null'),
            cxm.json_problem(record, '{message_id,at,amount,currency,channel,campaign,touchpoint,location,product,properties}', '{amount}', time_zone),
            record)::cxm.spend_input;
$$;

COMMENT ON FUNCTION cxm.json_spend(jsonb, text) IS 'Spend given as JSON, as cxm.record_spend_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.record_spend_batch(records jsonb, source text DEFAULT 'app',
                                       OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_spend(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_spend(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.record_spend_batch(jsonb, text) IS
'Takes much spend at once: [{"amount": ..., "currency": ..., "channel": ..., "campaign": ..., "touchpoint": ..., "location": ..., "product": ..., "at": ..., "message_id": ..., "properties": {...}}, ...]. Good records are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';
