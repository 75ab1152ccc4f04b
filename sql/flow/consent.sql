-- Consent: taking decisions, and what holds for a person today.

CREATE FUNCTION cxm.set_consent_policy(channel text, purpose text, granted boolean, on_conflict text DEFAULT 'latest') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    IF (channel ~ '^([*]|[a-z][a-z0-9_]{0,62})$') IS NOT TRUE OR (purpose ~ '^([*]|[a-z][a-z0-9_]{0,62})$') IS NOT TRUE THEN
        RAISE EXCEPTION 'a policy cannot be about channel "%" and purpose "%"', coalesce(channel, 'NULL'), coalesce(purpose, 'NULL')
            USING ERRCODE = 'invalid_name',
                  HINT = 'Use lower-case letters, digits and underscores, beginning with a letter, or * for all.';
    END IF;
    IF granted IS NULL OR (on_conflict IN ('latest', 'strictest')) IS NOT TRUE THEN
        RAISE EXCEPTION 'the policy of channel "%" and purpose "%" is incomplete', channel, purpose
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'granted is true or false, on_conflict is latest or strictest.';
    END IF;
    INSERT INTO cx.consent_policy AS p (channel, purpose, granted, on_conflict) VALUES (channel, purpose, granted, on_conflict)
    ON CONFLICT ON CONSTRAINT consent_policy_pkey
    DO UPDATE SET granted = excluded.granted, on_conflict = excluded.on_conflict, changed_at = now(), changed_by = session_user;
END
$$;

COMMENT ON FUNCTION cxm.set_consent_policy(text, text, boolean, text) IS
'Says what holds for a (channel, purpose) where a person has said nothing (granted), and where identifiers of one person carry different decisions (on_conflict: latest or strictest). * stands for all. Error 42602 on a malformed name, 22023 on NULL or an unknown on_conflict.';

CREATE TYPE cxm.consent_input AS (
    message_id      text,
    at              timestamptz,
    identifiers     jsonb,
    channel         text,
    purpose         text,
    granted         boolean,
    evidence        text,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.consent_input IS
'A decision on its way into cx.consent. As cxm.event_input, with channel and purpose (NULL = *), whether it was granted (false = withdrawn), and evidence.';

CREATE FUNCTION cxm.consent_problem(identifiers jsonb, channel text, purpose text, granted boolean) RETURNS cxm.problem
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    IF coalesce(jsonb_typeof(identifiers), 'object') = 'object'
       AND NOT coalesce(jsonb_path_exists(identifiers, '$.*[*] ? (@.type() != "null")'), false) THEN
        RETURN ('22004', 'the decision has no identifier', 'Say who decided: {"email": "ann@example.com"}.')::cxm.problem;
    ELSIF granted IS NULL THEN
        RETURN ('22004', 'the decision is neither a grant nor a withdrawal', 'Give granted: true or false.')::cxm.problem;
    END IF;
    FOREACH v_name IN ARRAY ARRAY[channel, purpose] LOOP
        IF v_name !~ '^([*]|[a-z][a-z0-9_]{0,62})$' THEN
            RETURN ('42602', format('"%s" is not the name of a channel or purpose', left(v_name, 100)),
                    'Use lower-case letters, digits and underscores, beginning with a letter, or * for all.')::cxm.problem;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.consent_problem(jsonb, text, text, boolean) IS
'What is wrong with those parts of a decision that other records do not have, or NULL when nothing is.';

CREATE FUNCTION cxm.store_consents(source_id integer, records cxm.consent_input[], strict boolean DEFAULT false) RETURNS cxm.ingest_result
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
    SELECT array_agg(CASE WHEN r.reason IS NULL AND (q.other).reason IS NOT NULL THEN q.other
                          ELSE cxm.record_problem(r.reason, r.message_id, r.at, v_limits.latest, r.identifiers, v_limits.namespaces, NULL, '{}')
                     END ORDER BY r.ordinality)
    INTO v_problems
    FROM unnest(records) WITH ORDINALITY AS r
    CROSS JOIN LATERAL (SELECT cxm.consent_problem(r.identifiers, r.channel, r.purpose, r.granted) AS other) AS q;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    v_taken := (SELECT cxm.take_records(source_id, 'consent', false, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(r.identifiers ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.consent (consent_id, identifier_id, channel, purpose, granted, decided_at, source_id, evidence)
    SELECT t.record_id, t.identifier_id, coalesce(r.channel, '*'), coalesce(r.purpose, '*'), r.granted, r.at, store_consents.source_id, coalesce(r.evidence, '')
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    WHERE t.record_id IS NOT NULL AND t.is_new;

    RETURN cxm.ingest_counts(v_problems, v_taken, false);
END
$$;

COMMENT ON FUNCTION cxm.store_consents(integer, cxm.consent_input[], boolean) IS
'Takes a batch of decisions of one source into cx.consent. Refused ones go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); of ones whose message is stored already nothing is stored.';

CREATE FUNCTION cxm.record_consent(identifiers jsonb, channel text, purpose text, granted boolean, at timestamptz DEFAULT now(),
                                   evidence text DEFAULT '', source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.single_record(cxm.store_consents(cxm.source_id(source),
        ARRAY[(message_id, at, nullif(identifiers, 'null'), channel, purpose, granted, evidence, NULL, NULL)::cxm.consent_input], strict => true));
END
$$;

COMMENT ON FUNCTION cxm.record_consent(jsonb, text, text, boolean, timestamptz, text, text, text) IS
'Records that a person granted (true) or withdrew (false) consent to be written to by a channel for a purpose, * or NULL for all of them, and returns its consent_id. identifiers: {"namespace": "value", ...}, at least one; at: when the person decided; evidence: what proves it. With a message_id it is stored once for (source, message_id). Error 22004 without an identifier or decision, 42602 on a malformed channel or purpose, 22023 on an unknown namespace or unusable identifier, 22008 on a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_consent(record jsonb, time_zone text) RETURNS cxm.consent_input
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), nullif(record -> 'identifiers', 'null'),
            record ->> 'channel', record ->> 'purpose', CASE record -> 'granted' WHEN 'true' THEN true WHEN 'false' THEN false END, record ->> 'evidence',
            coalesce(cxm.json_problem(record, '{message_id,at,identifiers,channel,purpose,granted,evidence}', '{}', time_zone),
                     CASE WHEN jsonb_typeof(record -> 'granted') NOT IN ('boolean', 'null')
                          THEN format('granted must be true or false, not %s', left((record -> 'granted')::text, 100)) END),
            record)::cxm.consent_input;
$$;

COMMENT ON FUNCTION cxm.json_consent(jsonb, text) IS 'A decision given as JSON, as cxm.record_consent_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.record_consent_batch(records jsonb, source text DEFAULT 'app',
                                         OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_consents(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_consent(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.record_consent_batch(jsonb, text) IS
'Takes many decisions at once: [{"identifiers": {...}, "channel": ..., "purpose": ..., "granted": true or false, "at": ..., "evidence": ..., "message_id": ...}, ...]. Good ones are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';

---- what holds

CREATE FUNCTION cxm.consent_of(identifier_ids bigint[], channels text[], purpose text, at timestamptz DEFAULT 'infinity',
                               OUT identifier_id bigint, OUT channel text, OUT granted boolean, OUT consent_id bigint, OUT conflict boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.plan_for(cardinality(identifier_ids));
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT i.identifier_id, p.canonical_id
        FROM unnest(consent_of.identifier_ids) AS u(id)
        JOIN cx.identifier AS i ON i.identifier_id = u.id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
    ), wanted AS MATERIALIZED (
        SELECT u.channel, d.granted, d.on_conflict
        FROM (SELECT DISTINCT c.channel COLLATE "C" AS channel FROM unnest(consent_of.channels) AS c(channel)) AS u
        LEFT JOIN LATERAL (
            SELECT o.granted, o.on_conflict
            FROM cx.consent_policy AS o
            WHERE o.channel IN (u.channel, '*') AND o.purpose IN (consent_of.purpose COLLATE "C", '*')
            ORDER BY o.purpose = '*', o.channel = '*'
            LIMIT 1) AS d ON true
    ), said AS (
        -- what each identifier said last, a withdrawal before a grant of the same moment
        SELECT DISTINCT ON (m.canonical_id, w.channel, m.identifier_id)
               m.canonical_id, w.channel, s.granted, s.decided_at, s.consent_id
        FROM cxm.profile_identifiers(ARRAY(SELECT DISTINCT a.canonical_id FROM asked AS a)) AS m
        JOIN cx.consent AS s ON s.identifier_id = m.identifier_id
        JOIN wanted AS w ON s.channel IN (w.channel, '*')
        WHERE s.purpose IN (consent_of.purpose COLLATE "C", '*') AND s.decided_at <= consent_of.at
        ORDER BY m.canonical_id, w.channel, m.identifier_id, s.decided_at DESC, s.granted, s.consent_id DESC
    ), person AS (
        SELECT s.canonical_id, s.channel,
               (array_agg(s.granted ORDER BY s.decided_at DESC, s.granted, s.consent_id DESC))[1] AS latest,
               (array_agg(s.consent_id ORDER BY s.decided_at DESC, s.granted, s.consent_id DESC))[1] AS latest_id,
               bool_and(s.granted) AS strictest,
               (array_agg(s.consent_id ORDER BY s.granted, s.decided_at DESC, s.consent_id DESC))[1] AS strictest_id,
               bool_or(s.granted) AND NOT bool_and(s.granted) AS conflict
        FROM said AS s
        GROUP BY s.canonical_id, s.channel
    )
    SELECT a.identifier_id, w.channel,
           coalesce(CASE w.on_conflict WHEN 'strictest' THEN p.strictest ELSE p.latest END, w.granted, false),
           CASE w.on_conflict WHEN 'strictest' THEN p.strictest_id ELSE p.latest_id END,
           coalesce(p.conflict, false)
    FROM asked AS a
    CROSS JOIN wanted AS w
    LEFT JOIN person AS p ON p.canonical_id = a.canonical_id AND p.channel = w.channel;
END
$$;

COMMENT ON FUNCTION cxm.consent_of(bigint[], text[], text, timestamptz) IS
'Whether people may be written to, a row for each of the given identifiers (cx.identifier, each once) and channels: granted, the decision that says so (consent_id; NULL = nobody decided and cx.consent_policy holds), and whether identifiers of the person carry different decisions (conflict). A decision counts for the person, whichever identifier it was recorded with: the latest of all holds, a withdrawal before a grant of the same moment; where the policy says strictest, one identifier whose latest is a withdrawal is enough. Decisions for * count for every channel or purpose. at: only decisions up to then. Unknown identifiers give no row; with no policy at all nothing is granted.';

CREATE FUNCTION cxm.has_consent(identifier_id bigint, channel text, purpose text, at timestamptz DEFAULT 'infinity') RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((SELECT c.granted FROM cxm.consent_of(ARRAY[identifier_id], ARRAY[channel], purpose, at) AS c), false);
END
$$;

COMMENT ON FUNCTION cxm.has_consent(bigint, text, text, timestamptz) IS
'Whether the person with this identifier may be written to by the channel for the purpose: cxm.consent_of() for one. false for an unknown identifier.';
