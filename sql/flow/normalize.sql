-- How the identifiers of the store are written: each namespace has a form (cx.namespace), and what is nobody's
-- identifier is a rule of cx.blocked_value. A value has one spelling only while both stay as they are, so whoever
-- changes them resolves again.

CREATE FUNCTION cxm.normalize(namespace text, value text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_form text;
    v_options jsonb;
    v_value text;
BEGIN
    SELECT n.form, n.options INTO v_form, v_options FROM cx.namespace AS n WHERE n.namespace = normalize.namespace;
    v_value := cxm.normalize_form(value, coalesce(v_form, 'text'), coalesce(v_options, '{}'));
    RETURN CASE WHEN octet_length(v_value) <= 512 THEN v_value END;
END
$$;

COMMENT ON FUNCTION cxm.normalize(text, text) IS
'The form in which an identifier is kept, so that one spelling means one person: by form and options of the namespace (cx.namespace, cxm.normalize_form()); of a namespace that is not there, as text. NULL when the value cannot be one of that form or has more than 512 bytes; an identifier of which this is so is kept as it came and flagged as malformed. Normalising again changes nothing.';

-- One row for each identifier on each record; a value may be a string, a number or an array of them.
CREATE FUNCTION cxm.expand_identifiers(identifiers jsonb[], OUT record integer, OUT namespace text, OUT value text, OUT rank integer,
                                       OUT is_malformed boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT r.ordinality::integer, n.namespace, coalesce(f.normalized, f.trimmed), n.rank, f.normalized IS NULL AND f.trimmed IS NOT NULL
    FROM unnest(identifiers) WITH ORDINALITY AS r(object, ordinality)
    CROSS JOIN LATERAL jsonb_each(r.object) AS e(key, value)
    JOIN cx.namespace AS n ON n.namespace = e.key COLLATE "C"
    CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(e.value) WHEN 'array' THEN e.value ELSE jsonb_build_array(e.value) END) AS v(value)
    -- OFFSET keeps each from being computed wherever it is named
    CROSS JOIN LATERAL (SELECT cxm.normalize_form(v.value, n.form, n.options) AS normalized, cxm.normalize_text(v.value) AS trimmed OFFSET 0) AS f
    WHERE v.value IS NOT NULL;
END
$$;

COMMENT ON FUNCTION cxm.expand_identifiers(jsonb[]) IS
'The identifiers on records, given as {"namespace": "value" or ["value", ...]} objects, one row each: the record''s place in the array, namespace, normalised value, the namespace''s rank, and whether it is malformed: it cannot be one of its namespace, and value is what came, without the white space around it. value is NULL where nothing but white space came. JSON nulls and NULL records give no row.';

CREATE FUNCTION cxm.is_blocked(namespace text, value text) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_is_blocked'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.is_blocked(text, text) IS
'Whether a rule of cx.blocked_value says that this value of the namespace, given as it is kept, is nobody''s identifier. NULL for a NULL argument.';

CREATE FUNCTION cxm.add_blocked(namespace text, value text, pattern text, reason text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer;
BEGIN
    -- before anything of it is read: two who have read it could not both lock it
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    IF add_blocked.namespace IS NOT NULL AND NOT EXISTS (SELECT FROM cx.namespace AS n WHERE n.namespace = add_blocked.namespace) THEN
        RAISE EXCEPTION 'unknown identifier namespace "%"', add_blocked.namespace
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Known are %s; NULL is every one.', array_to_string((cxm.ingest_limits()).namespaces, ', '));
    END IF;

    INSERT INTO cx.blocked_value (namespace, value, pattern, reason)
    VALUES (add_blocked.namespace, add_blocked.value, add_blocked.pattern, coalesce(add_blocked.reason, ''))
    ON CONFLICT DO NOTHING
    RETURNING blocked_value_id INTO v_id;
    IF v_id IS NULL THEN
        RETURN (SELECT b.blocked_value_id FROM cx.blocked_value AS b
                WHERE b.namespace IS NOT DISTINCT FROM add_blocked.namespace AND b.value IS NOT DISTINCT FROM add_blocked.value
                  AND b.pattern IS NOT DISTINCT FROM add_blocked.pattern);
    END IF;
    PERFORM cxm.resolve_all();
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.add_blocked(text, text, text, text) IS
'The common part of cxm.block_value() and cxm.block_pattern(): writes the rule, where it is new, and resolves anew.';

CREATE FUNCTION cxm.block_value(value text, namespace text DEFAULT NULL, reason text DEFAULT '') RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value text COLLATE "default";
BEGIN
    PERFORM cxm.store_version();
    -- first, see cxm.add_blocked()
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    v_value := coalesce(cxm.normalize(namespace, value), cxm.normalize_text(value));
    IF v_value IS NULL OR octet_length(v_value) > 512 THEN
        RAISE EXCEPTION 'a value to block has 1 to 512 bytes'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the value of an identifier, or a pattern to cxm.block_pattern().';
    END IF;
    RETURN cxm.add_blocked(namespace, lower(v_value), NULL, reason);
END
$$;

COMMENT ON FUNCTION cxm.block_value(text, text, text) IS
'Says that a value, in any spelling, is nobody''s identifier: in one namespace, or NULL for every one. Identifiers with it are quarantined (blocked), and what they alone held together falls apart at once. Returns the blocked_value_id of the rule, of the old one where it is there already. Waits for transactions that write identifiers. Error 22023 on an unknown namespace, or a value that is NULL, empty or longer than 512 bytes.';

CREATE FUNCTION cxm.block_pattern(pattern text, namespace text DEFAULT NULL, reason text DEFAULT '') RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    IF coalesce(pattern, '') = '' OR octet_length(pattern) > 2000 THEN
        RAISE EXCEPTION 'a pattern has 1 to 2000 bytes'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a regular expression for the whole value in lower case, such as ''test[0-9]*''.';
    END IF;
    BEGIN
        -- by itself, too: a)|(b would only become one
        PERFORM '' ~ pattern, '' ~ ('^(?:' || pattern || ')$');
    EXCEPTION
        WHEN invalid_regular_expression THEN
            RAISE EXCEPTION 'pattern "%" is not a regular expression', pattern
                USING ERRCODE = 'invalid_regular_expression',
                      DETAIL = SQLERRM,
                      HINT = 'Give a regular expression for the whole value in lower case, such as ''test[0-9]*''.';
    END;
    RETURN cxm.add_blocked(namespace, NULL, pattern, reason);
END
$$;

COMMENT ON FUNCTION cxm.block_pattern(text, text, text) IS
'Says that values are nobody''s identifier of which a regular expression fits the whole, in lower case: in one namespace, or NULL for every one. Otherwise as cxm.block_value(). Error 2201B when it is no regular expression; 22023 on an unknown namespace, or a pattern that is NULL, empty or longer than 2000 bytes.';

CREATE FUNCTION cxm.unblock(value_or_pattern text, namespace text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value text COLLATE "default";
    v_others text;
BEGIN
    PERFORM cxm.store_version();
    -- first, see cxm.add_blocked()
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    v_value := coalesce(cxm.normalize(namespace, value_or_pattern), cxm.normalize_text(value_or_pattern), '');
    DELETE FROM cx.blocked_value AS b
    WHERE b.namespace IS NOT DISTINCT FROM unblock.namespace AND (b.value = lower(v_value) COLLATE "C" OR b.pattern = value_or_pattern COLLATE "C");
    IF NOT FOUND THEN
        SELECT string_agg(format('%s "%s" of %s', CASE WHEN b.pattern IS NULL THEN 'value' ELSE 'pattern' END, coalesce(b.pattern, b.value),
                                 coalesce('namespace ' || b.namespace, 'every namespace')), ', ' ORDER BY b.blocked_value_id)
        INTO v_others
        FROM cx.blocked_value AS b
        WHERE b.value = lower(v_value) COLLATE "C" OR b.pattern = value_or_pattern COLLATE "C"
           OR lower(v_value) ~ ('^(?:' || b.pattern || ')$') COLLATE "default";
        RAISE EXCEPTION 'no rule blocks "%" in %', left(value_or_pattern, 100), coalesce('namespace ' || namespace, 'every namespace')
            USING ERRCODE = 'undefined_object',
                  DETAIL = CASE WHEN v_others IS NULL THEN 'No other rule blocks it, either.' ELSE format('It is blocked by %s.', v_others) END,
                  HINT = 'Give the value or the pattern, and the namespace, of a row of cx.blocked_value.';
    END IF;
    PERFORM cxm.resolve_all();
END
$$;

COMMENT ON FUNCTION cxm.unblock(text, text) IS
'Takes back the rule of cx.blocked_value with this value, in any spelling, or this pattern, and this namespace (NULL: the rule for every one); who was kept apart by it comes together at once. Rules that are shipped can be taken back, too. Error 42704 when there is none, telling which rules block the value all the same.';

CREATE FUNCTION cxm.set_namespace(namespace text, rank integer DEFAULT NULL, max_per_profile integer DEFAULT NULL, max_window interval DEFAULT NULL,
                                  is_unique boolean DEFAULT NULL, max_links integer DEFAULT NULL, form text DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old cx.namespace;
    v_new cx.namespace;
    v_other text;
BEGIN
    PERFORM cxm.store_version();
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    SELECT * INTO v_old FROM cx.namespace AS n WHERE n.namespace = set_namespace.namespace;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unknown identifier namespace "%"', coalesce(namespace, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Known are %s; add others with cxm.add_namespace().', array_to_string((cxm.ingest_limits()).namespaces, ', '));
    END IF;

    v_new := v_old;
    v_new.rank := coalesce(rank, v_old.rank);
    v_new.is_unique := coalesce(is_unique, v_old.is_unique);
    v_new.max_per_profile := nullif(coalesce(max_per_profile, v_old.max_per_profile), 0);
    v_new.max_window := CASE WHEN v_new.max_per_profile IS NOT NULL OR max_window IS NOT NULL THEN nullif(coalesce(max_window, v_old.max_window), '0') END;
    v_new.max_links := nullif(coalesce(max_links, v_old.max_links), 0);
    v_new.form := coalesce(form, v_old.form);
    -- options belong to a form
    v_new.options := coalesce(options, CASE WHEN v_new.form = v_old.form THEN v_old.options ELSE '{}' END);

    IF v_new.rank < 1 THEN
        RAISE EXCEPTION 'namespace "%" cannot have rank %', namespace, rank
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a whole number from 1, the strongest.';
    ELSIF v_new.max_per_profile < 0 OR v_new.max_links < 0 OR v_new.max_window < '0' THEN
        RAISE EXCEPTION 'a limit of namespace "%" cannot be below zero', namespace
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a number from 1, 0 for no limit, or NULL to leave it as it is.';
    ELSIF v_new.max_window IS NOT NULL AND v_new.max_per_profile IS NULL THEN
        RAISE EXCEPTION 'namespace "%" cannot have a window without a limit', namespace
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give max_per_profile, too.';
    END IF;
    SELECT n.namespace INTO v_other FROM cx.namespace AS n WHERE n.rank = v_new.rank AND n.namespace <> v_old.namespace;
    IF v_other IS NOT NULL THEN
        RAISE EXCEPTION 'rank % cannot be given to namespace "%"', rank, namespace
            USING ERRCODE = 'unique_violation',
                  DETAIL = format('Namespace "%s" has it.', v_other),
                  HINT = 'Give a free one: see SELECT * FROM cx.namespace ORDER BY rank.';
    END IF;
    PERFORM cxm.check_form(v_new.form, v_new.options);
    IF v_new IS NOT DISTINCT FROM v_old THEN
        RETURN;
    END IF;

    -- an identifier keeps its spelling: under another one the same person would come a second time
    IF v_new.form <> v_old.form OR v_new.options <> v_old.options THEN
        SELECT i.value INTO v_other
        FROM cx.identifier AS i
        WHERE i.namespace = v_old.namespace
          AND cxm.normalize_form(i.value, v_new.form, v_new.options) IS DISTINCT FROM CASE WHEN i.quarantined = 'malformed' THEN NULL ELSE i.value END
        LIMIT 1;
        IF v_other IS NOT NULL THEN
            RAISE EXCEPTION 'values of namespace "%" cannot be normalised differently', namespace
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = format('The store has identifiers that would be spelt otherwise, such as "%s".', left(v_other, 100)),
                      HINT = 'Set form and options before the first records come, or add a namespace that has them and send under that.';
        END IF;
    END IF;

    UPDATE cx.namespace AS n
    SET rank = v_new.rank, is_unique = v_new.is_unique, max_per_profile = v_new.max_per_profile, max_window = v_new.max_window,
        max_links = v_new.max_links, form = v_new.form, options = v_new.options
    WHERE n.namespace = v_old.namespace;
    PERFORM cxm.resolve_all();
END
$$;

COMMENT ON FUNCTION cxm.set_namespace(text, integer, integer, interval, boolean, integer, text, jsonb) IS
'Changes the rules of a namespace (cx.namespace) and resolves everybody anew. NULL leaves a rule as it is; 0 takes max_per_profile, max_window or max_links away (no limit; a window goes with its limit). form and options can change as long as no identifier in the store would be spelt otherwise; a new form begins with no options. Waits for transactions that write identifiers. Error 22023 on an unknown namespace, form or option, a rank below 1, a limit below 0, a window without a limit; 23505 on a taken rank; 55000 when stored values would be spelt otherwise.';
