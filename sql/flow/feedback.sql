-- Taking feedback.

CREATE FUNCTION cxm.add_metric(metric text, family text, scale_min integer, scale_max integer, description text DEFAULT '') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    IF metric IS NULL OR metric !~ '^[a-z][a-z0-9_]{0,62}$' THEN
        RAISE EXCEPTION 'metric "%" is not a name', coalesce(metric, 'NULL')
            USING ERRCODE = 'invalid_name',
                  HINT = 'Use lower-case letters, digits and underscores, beginning with a letter.';
    ELSIF family IS NULL OR family NOT IN ('nps', 'csat', 'ces', 'rating') THEN
        RAISE EXCEPTION 'unknown family "%" of metric "%"', coalesce(family, 'NULL'), metric
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Families are nps, csat, ces and rating: how the scores are summed up.';
    ELSIF coalesce(scale_max::bigint - scale_min NOT BETWEEN 1 AND 10, true) OR scale_min < -128 OR scale_max > 127
          OR (family = 'nps' AND (scale_min, scale_max) <> (0, 10)) THEN
        RAISE EXCEPTION 'metric "%" cannot have a scale from % to %', metric, coalesce(scale_min::text, 'NULL'), coalesce(scale_max::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A scale has 2 to 11 points between -128 and 127; that of nps is 0 to 10.';
    END IF;
    INSERT INTO cx.metric (metric, family, scale_min, scale_max, description) VALUES (metric, family, scale_min, scale_max, coalesce(description, ''));
END
$$;

COMMENT ON FUNCTION cxm.add_metric(text, text, integer, integer, text) IS
'Adds a metric of your own. family: how its scores are summed up (nps, csat, ces or rating); scale_min, scale_max: its usual scale of 2 to 11 points between -128 and 127. Error on a malformed or known name, an unknown family or an impossible scale.';

CREATE FUNCTION cxm.metric_names() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg(m.metric, ', ' ORDER BY m.metric) FROM cx.metric AS m);
END
$$;

COMMENT ON FUNCTION cxm.metric_names() IS 'The metrics that exist, for messages.';

CREATE FUNCTION cxm.feedback_usual_scale() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_feedback_usual_scale'
LANGUAGE C;

COMMENT ON FUNCTION cxm.feedback_usual_scale() IS
'Trigger of cx.feedback: a row written without a scale gets its metric''s usual one. Error on an unknown metric.';

CREATE FUNCTION cxm.score_problem(metric text, known boolean, score numeric, lo integer, hi integer, comment text, blank_is_error boolean) RETURNS cxm.problem
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF score IS NULL AND coalesce(comment, '') = '' THEN
        RETURN (CASE WHEN blank_is_error THEN '22004' ELSE '00000' END, 'the answer has neither score nor comment', 'Give a score, a comment or both.')::cxm.problem;
    ELSIF NOT known THEN
        RETURN ('22023', format('unknown metric "%s"', coalesce(left(metric, 100), 'NULL')),
                format('Known are %s; add others with cxm.add_metric().', cxm.metric_names()))::cxm.problem;
    ELSIF hi::bigint - lo NOT BETWEEN 1 AND 10 OR lo < -128 OR hi > 127 THEN
        RETURN ('22023', format('no scale goes from %s to %s', lo, hi), 'A scale has 2 to 11 points between -128 and 127.')::cxm.problem;
    ELSIF score = 'NaN' OR score <> trunc(score) THEN
        RETURN ('22023', format('%s score %s is not a whole number', metric, left(score::text, 100)), format('Give a whole number from %s to %s.', lo, hi))::cxm.problem;
    ELSIF score NOT BETWEEN lo AND hi THEN
        RETURN ('22003', format('%s score %s is off the scale %s to %s', metric, left(score::text, 100), lo, hi),
                'Give the score as it was answered; say scale_min and scale_max where the scale is not the usual one; leave a blank answer out.')::cxm.problem;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.score_problem(text, boolean, numeric, integer, integer, text, boolean) IS
'What is wrong with a score, or NULL when nothing is. known: whether the metric exists; lo, hi: the scale; blank_is_error: whether an answer with neither score nor comment is refused or only blank.';

CREATE FUNCTION cxm.store_feedback(source_id integer, records cxm.feedback_input[], upsert boolean DEFAULT false, strict boolean DEFAULT false)
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
    SELECT array_agg(CASE WHEN (q.score).reason IS NULL OR q.reason IS NOT NULL
                          THEN cxm.record_problem(q.reason, q.message_id, q.at, v_limits.latest, q.identifiers, v_limits.namespaces, q.properties,
                                                  ARRAY[q.touchpoint, q.location, q.product, q.employee, q.submission_id])
                          ELSE q.score END ORDER BY q.ordinality)
    INTO v_problems
    FROM (SELECT r.message_id, r.at, r.identifiers, r.touchpoint, r.location, r.product, r.employee, r.submission_id, r.properties, r.reason, r.ordinality,
                 cxm.score_problem(r.metric, m.metric IS NOT NULL, r.score, coalesce(r.scale_min, m.scale_min), coalesce(r.scale_max, m.scale_max),
                                   r.comment, NOT upsert) AS score
          FROM unnest(records) WITH ORDINALITY AS r
          LEFT JOIN cx.metric AS m ON m.metric = r.metric COLLATE "C") AS q;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    v_taken := (SELECT cxm.take_records(source_id, 'feedback', upsert, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(r.identifiers ORDER BY r.ordinality), array_agg(r.touchpoint ORDER BY r.ordinality),
                       array_agg(r.location ORDER BY r.ordinality), array_agg(r.product ORDER BY r.ordinality),
                       array_agg(r.employee ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.feedback (feedback_id, occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id, location_id,
                             product_id, employee_id, source_id, submission_id, question, comment, properties)
    SELECT t.record_id, r.at, t.identifier_id, r.metric, r.score, coalesce(r.scale_min, m.scale_min), coalesce(r.scale_max, m.scale_max),
           t.touchpoint_id, t.location_id, t.product_id, t.employee_id,
           store_feedback.source_id, r.submission_id, r.question, nullif(r.comment, ''), nullif(r.properties, '{}')
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    JOIN cx.metric AS m ON m.metric = r.metric COLLATE "C"
    WHERE t.record_id IS NOT NULL AND t.is_new;

    IF upsert THEN
        UPDATE cx.feedback AS f
        SET occurred_at = r.at, identifier_id = t.identifier_id, metric = r.metric, score = r.score,
            scale_min = coalesce(r.scale_min, m.scale_min), scale_max = coalesce(r.scale_max, m.scale_max),
            touchpoint_id = t.touchpoint_id, location_id = t.location_id, product_id = t.product_id, employee_id = t.employee_id,
            submission_id = r.submission_id, question = r.question, comment = nullif(r.comment, ''), properties = nullif(r.properties, '{}')
        FROM unnest(records) WITH ORDINALITY AS r
        JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
        JOIN cx.metric AS m ON m.metric = r.metric COLLATE "C"
        WHERE NOT t.is_new AND f.feedback_id = t.record_id AND f.occurred_at = t.stored_at;
    END IF;

    RETURN cxm.ingest_counts(v_problems, v_taken, upsert);
END
$$;

COMMENT ON FUNCTION cxm.store_feedback(integer, cxm.feedback_input[], boolean, boolean) IS
'Takes a batch of answers of one source into cx.feedback. Refused ones go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); ones whose message is stored already change the stored record (upsert) or nothing. With upsert an answer with neither score nor comment counts as blank and is no refusal.';

CREATE FUNCTION cxm.record_feedback(metric text, score numeric, identifiers jsonb DEFAULT NULL, comment text DEFAULT NULL,
                                    touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                    at timestamptz DEFAULT now(), scale_min integer DEFAULT NULL, scale_max integer DEFAULT NULL,
                                    submission_id text DEFAULT NULL, question text DEFAULT NULL, properties jsonb DEFAULT NULL,
                                    source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.single_record(cxm.store_feedback(cxm.source_id(source),
        ARRAY[(message_id, at, metric, score, scale_min, scale_max, comment, nullif(identifiers, 'null'), touchpoint, location, product, employee,
               submission_id, question, nullif(properties, 'null'), NULL, NULL)::cxm.feedback_input], strict => true));
END
$$;

COMMENT ON FUNCTION cxm.record_feedback(text, numeric, jsonb, text, text, text, text, text, timestamptz, integer, integer, text, text, jsonb, text, text) IS
'Records what a customer answered and returns its feedback_id; alert rules are evaluated in the same transaction. metric: nps, csat, ces, rating or one of yours; score: a whole number on the scale (scale_min to scale_max, left out the metric''s usual one), or NULL with a comment; identifiers: {"namespace": "value", ...} or NULL when anonymous; touchpoint, location, product, employee: keys, new ones are added to their catalogue. With a message_id the answer is stored once for (source, message_id): sent again, it returns the first feedback_id and changes nothing. Error on an unknown metric, a score that is not whole or off the scale, neither score nor comment, an unknown namespace, an unusable identifier, a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_feedback(record jsonb, time_zone text) RETURNS cxm.feedback_input
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem text := cxm.json_problem(record, '{message_id,at,metric,score,scale_min,scale_max,comment,identifiers,touchpoint,location,product,employee,submission_id,question,properties}',
                                       '{score,scale_min,scale_max}', time_zone);
    v_field text;
BEGIN
    FOREACH v_field IN ARRAY ARRAY['scale_min', 'scale_max'] LOOP
        IF v_problem IS NULL AND cxm.try_numeric(record ->> v_field) <> trunc(cxm.try_numeric(record ->> v_field)) THEN
            v_problem := format('%s %s is not a whole number', v_field, left(record ->> v_field, 100));
        END IF;
    END LOOP;
    RETURN (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), record ->> 'metric', cxm.try_numeric(record ->> 'score'),
            cxm.json_scale(record ->> 'scale_min'), cxm.json_scale(record ->> 'scale_max'), record ->> 'comment', nullif(record -> 'identifiers', 'null'),
            record ->> 'touchpoint', record ->> 'location', record ->> 'product', record ->> 'employee',
            record ->> 'submission_id', record ->> 'question', nullif(record -> 'properties', 'null'), v_problem, record)::cxm.feedback_input;
END
$$;

COMMENT ON FUNCTION cxm.json_feedback(jsonb, text) IS 'An answer given as JSON, as cxm.record_feedback_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.json_scale(value text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- far off ends stay far off without overflowing
    SELECT greatest(least(trunc(cxm.try_numeric(value)), 1000000), -1000000)::integer;
$$;

COMMENT ON FUNCTION cxm.json_scale(text) IS 'The end of a scale from text, without a fraction and at most a million away from zero, which is off every scale; NULL when it is not a number.';

CREATE FUNCTION cxm.record_feedback_batch(records jsonb, source text DEFAULT 'app',
                                          OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_feedback(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_feedback(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.record_feedback_batch(jsonb, text) IS
'Takes many answers at once: [{"metric": ..., "score": ..., "comment": ..., "identifiers": {...}, "at": ..., "message_id": ..., "scale_min": ..., "scale_max": ..., "touchpoint": ..., "location": ..., "product": ..., "employee": ..., "submission_id": ..., "question": ..., "properties": {...}}, ...]. Good ones are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';
