-- Taking purchases.

CREATE FUNCTION cxm.store_purchases(source_id integer, records cxm.purchase_input[], upsert boolean DEFAULT false, strict boolean DEFAULT false)
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
                          THEN ('22004', 'the purchase has no amount', 'Give the money of the whole line; 0 when it was free.')::cxm.problem
                          WHEN r.reason IS NULL AND r.quantity IN ('NaN', 'Infinity', '-Infinity')
                          THEN ('22003', format('quantity %s is not a number of pieces', r.quantity), 'Give a finite number.')::cxm.problem
                          ELSE coalesce(CASE WHEN r.reason IS NULL THEN cxm.money_problem(r.amount, r.currency) END,
                                        cxm.record_problem(r.reason, r.message_id, r.at, v_limits.latest, r.identifiers, v_limits.namespaces, r.properties,
                                                           ARRAY[r.order_id, r.touchpoint, r.location, r.product, r.employee]))
                     END ORDER BY r.ordinality)
    INTO v_problems
    FROM unnest(records) WITH ORDINALITY AS r;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    v_taken := (SELECT cxm.take_records(source_id, 'purchase', upsert, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(r.identifiers ORDER BY r.ordinality), array_agg(r.touchpoint ORDER BY r.ordinality),
                       array_agg(r.location ORDER BY r.ordinality), array_agg(r.product ORDER BY r.ordinality),
                       array_agg(r.employee ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.purchase (purchase_id, occurred_at, identifier_id, order_id, product_id, quantity, amount, currency,
                             touchpoint_id, location_id, employee_id, source_id, properties)
    SELECT t.record_id, r.at, t.identifier_id, r.order_id, t.product_id, coalesce(r.quantity, 1), r.amount, r.currency,
           t.touchpoint_id, t.location_id, t.employee_id, store_purchases.source_id, nullif(r.properties, '{}')
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    WHERE t.record_id IS NOT NULL AND t.is_new;

    IF upsert THEN
        UPDATE cx.purchase AS p
        SET occurred_at = r.at, identifier_id = t.identifier_id, order_id = r.order_id, product_id = t.product_id,
            quantity = coalesce(r.quantity, 1), amount = r.amount, currency = r.currency, touchpoint_id = t.touchpoint_id,
            location_id = t.location_id, employee_id = t.employee_id, properties = nullif(r.properties, '{}')
        FROM unnest(records) WITH ORDINALITY AS r
        JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
        WHERE NOT t.is_new AND p.purchase_id = t.record_id AND p.occurred_at = t.stored_at;
    END IF;

    RETURN cxm.ingest_counts(v_problems, v_taken, upsert);
END
$$;

COMMENT ON FUNCTION cxm.store_purchases(integer, cxm.purchase_input[], boolean, boolean) IS
'Takes a batch of purchases of one source into cx.purchase. Refused ones go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); ones whose message is stored already change the stored record (upsert) or nothing.';

CREATE FUNCTION cxm.record_purchase(amount numeric, identifiers jsonb DEFAULT NULL, order_id text DEFAULT NULL, product text DEFAULT NULL,
                                    quantity numeric DEFAULT 1, currency text DEFAULT NULL, touchpoint text DEFAULT NULL, location text DEFAULT NULL,
                                    employee text DEFAULT NULL, at timestamptz DEFAULT now(), properties jsonb DEFAULT NULL,
                                    source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.single_record(cxm.store_purchases(cxm.source_id(source),
        ARRAY[(message_id, at, order_id, product, quantity, amount, currency, nullif(identifiers, 'null'), touchpoint, location, employee, nullif(properties, 'null'),
               NULL, NULL)::cxm.purchase_input], strict => true));
END
$$;

COMMENT ON FUNCTION cxm.record_purchase(numeric, jsonb, text, text, numeric, text, text, text, text, timestamptz, jsonb, text, text) IS
'Records a purchase (a line of an order, or an order) and returns its purchase_id. amount: money of the whole line, negative for a return; currency: ISO 4217 code or NULL; identifiers: {"namespace": "value", ...} or NULL; product, touchpoint, location, employee: keys, new ones are added to their catalogue. With a message_id the purchase is stored once for (source, message_id): sent again, it returns the first purchase_id and changes nothing. Error on a missing or infinite amount, a malformed currency, an unknown namespace, an unusable identifier, a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_purchase(record jsonb, time_zone text) RETURNS cxm.purchase_input
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), record ->> 'order_id', record ->> 'product',
            cxm.try_numeric(record ->> 'quantity'), cxm.try_numeric(record ->> 'amount'), record ->> 'currency', nullif(record -> 'identifiers', 'null'),
            record ->> 'touchpoint', record ->> 'location', record ->> 'employee', nullif(record -> 'properties', 'null'),
            cxm.json_problem(record, '{message_id,at,order_id,product,quantity,amount,currency,identifiers,touchpoint,location,employee,properties}',
                             '{quantity,amount}', time_zone),
            record)::cxm.purchase_input;
$$;

COMMENT ON FUNCTION cxm.json_purchase(jsonb, text) IS 'A purchase given as JSON, as cxm.record_purchase_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.record_purchase_batch(records jsonb, source text DEFAULT 'app',
                                          OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_purchases(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_purchase(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.record_purchase_batch(jsonb, text) IS
'Takes many purchases at once: [{"amount": ..., "identifiers": {...}, "order_id": ..., "product": ..., "quantity": ..., "currency": ..., "at": ..., "message_id": ..., "touchpoint": ..., "location": ..., "employee": ..., "properties": {...}}, ...]. Good ones are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';
