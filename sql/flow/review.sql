-- Public reviews: what customers write about you elsewhere, as feedback.

CREATE FUNCTION cxm.review_problem(stars numeric, url text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN stars IS NULL THEN 'the review has no stars'
                WHEN url !~ '^https?://[^[:space:]]+$' OR length(url) > 2000 THEN format('"%s" is not the address of a web page', left(url, 100)) END;
END
$$;

COMMENT ON FUNCTION cxm.review_problem(numeric, text) IS
'What is wrong with those parts of a review that other answers do not have, or NULL when nothing is: no stars, an address that is not http or https.';

CREATE FUNCTION cxm.review_input(external_id text, at timestamptz, stars numeric, comment text, identifiers jsonb, location text, product text, employee text,
                                 author text, url text, properties jsonb, reason text, raw jsonb) RETURNS cxm.feedback_input
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (external_id, at, 'rating', stars, 1, 5, comment, identifiers, NULL, location, product, employee, NULL, 'public_review',
            CASE WHEN jsonb_typeof(coalesce(properties, '{}')) = 'object'
                 THEN coalesce(properties, '{}') || jsonb_build_object('review', jsonb_strip_nulls(jsonb_build_object('author', author, 'url', url))) ELSE properties END,
            coalesce(reason, cxm.review_problem(stars, url)), raw)::cxm.feedback_input;
$$;

COMMENT ON FUNCTION cxm.review_input(text, timestamptz, numeric, text, jsonb, text, text, text, text, text, jsonb, text, jsonb) IS
'A review as an answer to metric rating, on its way into cx.feedback: question public_review, author and url in properties under review.';

CREATE FUNCTION cxm.record_review(site text, external_id text, stars numeric, comment text DEFAULT NULL, author text DEFAULT NULL, url text DEFAULT NULL,
                                  at timestamptz DEFAULT now(), location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                  identifiers jsonb DEFAULT NULL, properties jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(external_id, '') = '' THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'the review has no id',
            HINT = 'Give external_id, the id that the site has for it: by it an edited review replaces the earlier one.';
    END IF;
    RETURN cxm.single_record(cxm.store_feedback(cxm.source_id(site),
        ARRAY[cxm.review_input(external_id, at, stars, comment, nullif(identifiers, 'null'), location, product, employee, author, url, nullif(properties, 'null'), NULL, NULL)],
        upsert => true, strict => true));
END
$$;

COMMENT ON FUNCTION cxm.record_review(text, text, numeric, text, text, text, timestamptz, text, text, text, jsonb, jsonb) IS
'Records a public review and returns its feedback_id: an answer of 1 to 5 stars to metric rating, with the site as its source; alert rules see it. external_id is the site''s own id: a review that comes again, edited, replaces what is stored. author and url are kept in properties under review; location, product, employee: keys; identifiers: who wrote it, where that is known. Error 22004 without an id, 22023 without stars, with a fraction of a star, an address that is not http or https; 22003 off the scale; others as of cxm.record_feedback().';

CREATE FUNCTION cxm.json_review(record jsonb, time_zone text) RETURNS cxm.feedback_input
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.review_input(record ->> 'external_id', cxm.try_timestamptz(record ->> 'at', time_zone), cxm.try_numeric(record ->> 'stars'), record ->> 'comment',
        nullif(record -> 'identifiers', 'null'), record ->> 'location', record ->> 'product', record ->> 'employee', record ->> 'author', record ->> 'url',
        nullif(record -> 'properties', 'null'),
        coalesce(cxm.json_problem(record, '{external_id,at,stars,comment,identifiers,location,product,employee,author,url,properties}', '{stars}', time_zone),
                 CASE WHEN coalesce(record ->> 'external_id', '') = '' THEN 'the review has no external_id' END),
        NULL);
END
$$;

COMMENT ON FUNCTION cxm.json_review(jsonb, text) IS 'A review given as JSON, as cxm.record_review_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.record_review_batch(records jsonb, site text, OUT accepted bigint, OUT updated bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.updated, r.rejected
    FROM cxm.store_feedback(cxm.source_id(site),
                     ARRAY(SELECT cxm.json_review(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j), upsert => true) AS r;
$$;

COMMENT ON FUNCTION cxm.record_review_batch(jsonb, text) IS
'Takes many reviews of one site: [{"external_id": ..., "stars": ..., "comment": ..., "author": ..., "url": ..., "at": ..., "location": ..., "product": ..., "employee": ..., "identifiers": {...}, "properties": {...}}, ...]. Good ones are stored, or replace what is stored under the same external_id; refused ones go to cx.rejection (kind feedback) with the reason. Returns how many of each. Error only when the batch is not an array.';
