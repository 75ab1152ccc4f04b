-- Who it is: from the identifiers on a record to the profiles they belong to.
--
-- The profiles are a function of the live links and the rules. cxm.link_identifiers(), cxm.resolve_links() and
-- cxm.resolve_all() are the only functions that write that down; whatever else decides who is who changes links or
-- rules and calls them.

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
    IF max_per_profile < 1 OR max_window <= '0' THEN
        RAISE EXCEPTION 'a limit of namespace "%" must be above zero', namespace
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('max_per_profile is %s, max_window is %s.', coalesce(max_per_profile::text, 'NULL'), coalesce(max_window::text, 'NULL')),
                  HINT = 'Give a number from 1, or leave it out for no limit.';
    ELSIF max_window IS NOT NULL AND max_per_profile IS NULL THEN
        RAISE EXCEPTION 'namespace "%" cannot have a window without a limit', namespace
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give max_per_profile, too.';
    END IF;
    -- before anything of it is read: two who have read it could not both lock it
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
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
'Adds a kind of identifier. rank: 1 is the strongest, and no two have the same; max_per_profile, max_window, is_unique: rules for identity resolution (see cx.namespace); form, options: how its values are normalised (cxm.normalize_form()). Error on a malformed or known name, a rank below 1 or a taken one, a limit below 1, a window without a limit, an unknown form or option.';

CREATE FUNCTION cxm.identity_rules_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_identity_rules_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.identity_rules_changed() IS 'Trigger of cx.namespace, cx.blocked_value and cx.source: makes every session read anew the rules of identity resolution and the number of the source that it speaks for.';

-- Who is who is worked out in C (src/identity*.c). A writer locks the rows of the profiles that its links touch, in
-- order, last of all that a record locks and in one go; so single statements never wait for each other in a circle.
-- Whoever changes a rule locks cx.namespace against all of them.

CREATE FUNCTION cxm.link_identifiers(source_id integer, namespaces text[], vals text[], malformed boolean[],
                                     records integer[], places integer[],
                                     times timestamptz[], evidence text[] DEFAULT NULL, verified boolean[] DEFAULT NULL,
                                     retired_links bigint[] DEFAULT NULL, retired_reason text DEFAULT NULL)
RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_link_identifiers'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.link_identifiers(integer, text[], text[], boolean[], integer[], integer[], timestamptz[], text[], boolean[], bigint[], text) IS
'Adds identifiers, links those that came on one record, retires links, and resolves who is who: the whole batch in one go. namespaces, vals, malformed: the distinct identifiers, normalised; records, places: an entry each identifier on a record, records ascending and the strongest identifier of a record first, place = its place among the distinct ones; times, evidence (message_id to note on the links, '''' = seen in passing), verified: an entry a record; retired_links, retired_reason: link_ids to be retired, and why. Returns for each record the identifier_id of the strongest identifier that is not quarantined (of the strongest one when all are, NULL when it has none). Waits for other transactions that change links of the same people; at REPEATABLE READ and SERIALIZABLE raises 40001 when one has.';

CREATE FUNCTION cxm.resolve_links(link_ids bigint[], wait boolean DEFAULT true) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_resolve_links'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.resolve_links(bigint[], boolean) IS
'Brings who is who up to date after links (link_id of cx.link) were added, changed or retired: merges and splits profiles, says of links whether they hold, quarantines generic identifiers. Returns how many profiles and identifiers belong to somebody else now. Waits for other transactions that change links of the same people; with wait => false raises 55P03 instead, whose detail is the profile_ids that are to be locked, ascending: for a transaction that holds locks of profiles already. At REPEATABLE READ and SERIALIZABLE raises 40001 when another transaction has changed links of the same people.';

CREATE FUNCTION cxm.resolve_identities() RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_resolve_identities'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.resolve_identities() IS
'Solves all live links at once and brings profiles up to date. To be called by cxm.resolve_all(), which keeps everybody else from changing links meanwhile.';

CREATE FUNCTION cxm.identity_compare(OUT kind text, OUT profile_id bigint, OUT identifier_id bigint, OUT link_id bigint, OUT stored text, OUT expected text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_identity_compare'
LANGUAGE C STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.identity_compare() IS
'Solves all live links at once, under the rules of today, and compares with what is kept: a row a difference. kind: partition (an identifier is not with those that it is one person with), quarantined, refused, counts, is_known, is_kept_apart; the last three are compared with the identifiers that a profile has, right or wrong. stored: what the table holds; expected: what it should. Reads all identifiers, profiles that stand and live links, each once. See cxm.identity_check().';

CREATE FUNCTION cxm.resolve_all() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
    UPDATE cx.store SET rules_version = rules_version + 1;

    UPDATE cx.identifier AS i
    SET quarantined = CASE WHEN b.is_blocked THEN 'blocked' END
    FROM (SELECT o.identifier_id, cxm.is_blocked(o.namespace, o.value) AS is_blocked FROM cx.identifier AS o) AS b
    WHERE b.identifier_id = i.identifier_id AND i.quarantined IS DISTINCT FROM 'malformed'
      AND b.is_blocked IS DISTINCT FROM (i.quarantined IS NOT DISTINCT FROM 'blocked');

    RETURN cxm.resolve_identities();
END
$$;

COMMENT ON FUNCTION cxm.resolve_all() IS
'Resolves who is who from all live links, after rules (cx.namespace, cx.blocked_value) were changed in this transaction. Waits for all transactions that have added or retired links, and keeps others from it till the end of this one. Returns how many profiles and identifiers belong to somebody else now. At REPEATABLE READ and SERIALIZABLE raises 40001 when links were changed since the transaction began.';

CREATE FUNCTION cxm.retire_links(link_ids bigint[], reason text, wait boolean DEFAULT true, resolved_links bigint[] DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_retire_links'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION cxm.retire_links(bigint[], text, boolean, bigint[]) IS
'Takes links back, saying why, and splits the profiles that they alone held together. Links that are retired already stay as they are. Returns how many profiles and identifiers belong to somebody else now. wait: as of cxm.resolve_links(); resolved_links: links that were added or changed, to be resolved in the same go and under the same locks (NULL = none).';

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
    v_stale bigint[] := cxm.stale_links(source_id, message_ids, identifiers);
BEGIN
    IF v_stale IS NOT NULL THEN
        PERFORM cxm.retire_links(v_stale, reason);
    END IF;
    RETURN coalesce(cardinality(v_stale), 0);
END
$$;

COMMENT ON FUNCTION cxm.retire_stale_links(integer, text[], jsonb[], text) IS
'Retires the links of cxm.stale_links(), splits the profiles that these alone held together, and returns how many there were.';

CREATE FUNCTION cxm.identity_differences() RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) FROM cxm.identity_compare() AS c WHERE c.kind = 'partition');
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

CREATE FUNCTION cxm.resolve_identifiers(source_id integer, identifiers jsonb[], times timestamptz[],
                                        evidence text[] DEFAULT NULL, verified boolean[] DEFAULT NULL,
                                        retired_links bigint[] DEFAULT NULL, retired_reason text DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_record integer[];       -- an entry an identifier on a record, the strongest first: its record ...
    v_place integer[];        -- ... and its place among the distinct identifiers
    v_namespaces text[];
    v_values text[];
    v_malformed boolean[];
BEGIN
    -- each side adds up to one row before they meet: a mention that carried the arrays would make this quadratic
    WITH mention AS MATERIALIZED (
        SELECT e.record, e.namespace, e.value, e.rank, e.is_malformed,
               dense_rank() OVER (ORDER BY e.namespace COLLATE "C", e.value COLLATE "C") AS place
        FROM cxm.expand_identifiers(identifiers) AS e
    )
    SELECT m.records, m.places, d.namespaces, d.vals, d.malformed
    INTO v_record, v_place, v_namespaces, v_values, v_malformed
    FROM (SELECT array_agg(n.record ORDER BY n.record, n.rank, n.place) AS records,
                 array_agg(n.place::integer ORDER BY n.record, n.rank, n.place) AS places
          FROM mention AS n) AS m
    CROSS JOIN (SELECT array_agg(o.namespace ORDER BY o.place) AS namespaces, array_agg(o.value ORDER BY o.place) AS vals,
                       array_agg(o.is_malformed ORDER BY o.place) AS malformed
                FROM (SELECT n.place, n.namespace, n.value, bool_or(n.is_malformed) AS is_malformed
                      FROM mention AS n GROUP BY n.place, n.namespace, n.value) AS o) AS d;

    IF v_record IS NULL AND retired_links IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN cxm.link_identifiers(source_id, v_namespaces, v_values, v_malformed, v_record, v_place, times, evidence, verified,
                                retired_links, retired_reason);
END
$$;

COMMENT ON FUNCTION cxm.resolve_identifiers(integer, jsonb[], timestamptz[], text[], boolean[], bigint[], text) IS
'For each record, given by the identifiers that it carries ({"namespace": "value", ...}, already checked), the identifier_id of the strongest one (NULL for none). Adds identifiers that are new, links those that came together, retires the given links, and merges and splits the profiles that follow; see cxm.link_identifiers(). evidence: message_id to note on the links (NULL = seen in passing).';

-- without the setting of search_path, which costs as much as a look-up: it is made in C where a statement is run
CREATE FUNCTION cxm.link(namespace_a text, value_a text, namespace_b text, value_b text, source text DEFAULT 'app',
                         observed_at timestamptz DEFAULT now(), verified boolean DEFAULT false, evidence text DEFAULT '') RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_link'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.link(text, text, text, text, text, timestamptz, boolean, text) IS
'Says that two identifiers were seen on one person, and returns the profile_id of the first one''s person. source: who says so; observed_at: when it held; verified: whether the person proved it; evidence: the message_id of the record that says so, or empty. Identifiers that are new are added. Error on an unknown namespace or source, a value that cannot be one of its namespace, two that are the same, and a time that is not finite.';
