-- Referrals: codes that customers hand on, and who came by them.

CREATE FUNCTION cxm.random_code(length integer DEFAULT 10) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_digits CONSTANT text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    v_bytes bytea;
BEGIN
    IF length NOT BETWEEN 8 AND 32 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a code cannot have %s characters', length),
            HINT = 'Give 8 to 32; a code of 10 is one of 2^50.';
    END IF;
    -- 32 random bytes, as hashed text of a token; five bits of each make a character
    v_bytes := sha256(cxm.random_token()::bytea);
    RETURN (SELECT string_agg(substr(v_digits, (get_byte(v_bytes, i) & 31) + 1, 1), '' ORDER BY i) FROM generate_series(0, length - 1) AS i);
END
$$;

COMMENT ON FUNCTION cxm.random_code(integer) IS
'A random code of 8 to 32 characters that people can read out: digits and capital letters without I, L, O and U. Five random bits a character. Error 22023: another length.';

CREATE FUNCTION cxm.normalize_code(code text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.translate(pg_catalog.upper(pg_catalog.translate(code, E' -_.\t\n\r', '')), 'OIL', '011');

COMMENT ON FUNCTION cxm.normalize_code(text) IS
'A code as it is stored, from what somebody typed: capitals, without spaces and dashes; O is 0, I and L are 1.';

CREATE FUNCTION cxm.referral_code_of(identifier_id bigint, campaign text DEFAULT '') RETURNS text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_code text;
BEGIN
    -- the oldest code of the person, whichever identifier it hangs on
    SELECT c.code INTO v_code
    FROM cxm.profile_identifiers(cxm.identifier_profiles(ARRAY[referral_code_of.identifier_id])) AS m
    JOIN cx.referral_code AS c ON c.identifier_id = m.identifier_id
    WHERE c.campaign = referral_code_of.campaign COLLATE "C" AND c.active
    ORDER BY c.created_at, c.code
    LIMIT 1;
    IF v_code IS NULL THEN
        INSERT INTO cx.referral_code AS c (code, identifier_id, campaign)
        VALUES (cxm.random_code(), referral_code_of.identifier_id, referral_code_of.campaign)
        ON CONFLICT ON CONSTRAINT referral_code_identifier_key DO UPDATE SET active = true
        RETURNING c.code INTO v_code;
    END IF;
    RETURN v_code;
END
$$;

COMMENT ON FUNCTION cxm.referral_code_of(bigint, text) IS
'Referral code of the person with this identifier (cx.identifier) for a campaign, made the first time it is asked for. Error 23503: no such identifier.';

CREATE FUNCTION cxm.referral_code(identifiers jsonb, campaign text DEFAULT '', source text DEFAULT 'app') RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.referral_code_of(cxm.person_identifier(identifiers, source), coalesce(campaign, ''));
END
$$;

COMMENT ON FUNCTION cxm.referral_code(jsonb, text, text) IS
'Referral code of a person ({"namespace": "value", ...}) for a campaign; the same one each time, also after a merge (the older of two). Error 22004 without an identifier, 22023 on an unusable one.';

CREATE FUNCTION cxm.record_referral(code text, identifiers jsonb, at timestamptz DEFAULT now(), source text DEFAULT 'app') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_code cx.referral_code;
    v_referred bigint;
    v_people bigint[];
    v_id bigint;
BEGIN
    PERFORM cxm.store_version();
    IF NOT coalesce(isfinite(at), false) THEN
        RAISE datetime_field_overflow USING
            MESSAGE = 'at must be a finite time';
    END IF;
    SELECT c.* INTO v_code FROM cx.referral_code AS c WHERE c.code = cxm.normalize_code(record_referral.code) COLLATE "C" AND c.active;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('referral code %s is not known', coalesce('"' || left(record_referral.code, 40) || '"', 'NULL')),
            HINT = 'Codes are in cx.referral_code; one that is not active is not accepted.';
    END IF;

    v_referred := cxm.person_identifier(identifiers, source, at);
    -- one at a time about this person, who cannot be merged meanwhile
    v_people := cxm.hold_people(ARRAY[v_code.identifier_id, v_referred]);
    IF cardinality(v_people) = 1 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('nobody can bring themselves, with code "%s"', v_code.code),
            DETAIL = format('The owner of the code and the new customer are one person, profile %s.', v_people[1]);
    END IF;

    -- a customer is brought once: the first counts
    SELECT r.referral_id INTO v_id
    FROM cxm.profile_identifiers(cxm.identifier_profiles(ARRAY[v_referred])) AS m
    JOIN cx.referral AS r ON r.referred_id = m.identifier_id
    ORDER BY r.referral_id LIMIT 1;
    IF FOUND THEN
        RETURN v_id;
    END IF;
    INSERT INTO cx.referral AS r (code, referrer_id, referred_id, referred_at, source_id)
    VALUES (v_code.code, v_code.identifier_id, v_referred, at, cxm.source_id(source))
    RETURNING r.referral_id INTO v_id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.record_referral(text, jsonb, timestamptz, text) IS
'Records that a new customer came by a referral code, and returns the referral_id. A person is brought once: a second code changes nothing and returns the first referral. code: as somebody typed it, see cxm.normalize_code(). Error P0002: the code is not known or not active; 22023: its owner and the new customer are one person; those of cxm.person_identifier().';

CREATE FUNCTION cxm.referral_links() RETURNS TABLE (referral_id bigint, code text, campaign text, referrer_id bigint, referred_id bigint, referred_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE first_of AS (
        -- people as of today; whoever was brought more than once counts as brought by the first
        SELECT DISTINCT ON (b.canonical_id)
            r.referral_id, r.code, c.campaign, r.referred_at, a.canonical_id AS referrer, b.canonical_id AS referred
        FROM cx.referral AS r
        JOIN cx.referral_code AS c ON c.code = r.code
        JOIN cx.identifier AS i ON i.identifier_id = r.referrer_id
        JOIN cx.profile AS a ON a.profile_id = i.profile_id
        JOIN cx.identifier AS j ON j.identifier_id = r.referred_id
        JOIN cx.profile AS b ON b.profile_id = j.profile_id
        WHERE a.canonical_id <> b.canonical_id
        ORDER BY b.canonical_id, r.referred_at, r.referral_id
    ), climb AS (
        -- up from each, who brought the one who brought ...; a circle comes back to where it began
        SELECT f.referred AS start, f.referrer AS at, ARRAY[f.referred] AS path, (f.referred_at, f.referral_id) AS latest, f.referrer = f.referred AS is_closed
        FROM first_of AS f
        UNION ALL
        SELECT c.start, f.referrer, c.path || f.referred, greatest(c.latest, (f.referred_at, f.referral_id)), f.referrer = c.start
        FROM climb AS c
        JOIN first_of AS f ON f.referred = c.at
        WHERE NOT c.is_closed AND NOT f.referred = ANY (c.path)
    )
    SELECT f.referral_id, f.code, f.campaign, f.referrer, f.referred, f.referred_at
    FROM first_of AS f
    -- of a circle the last link is the one that cannot be
    WHERE NOT EXISTS (SELECT FROM climb AS c WHERE c.start = f.referred AND c.is_closed AND c.latest = (f.referred_at, f.referral_id));
$$;

COMMENT ON FUNCTION cxm.referral_links() IS
'Who brought whom, by people as they are today: each was brought at most once (the first time counts), nobody by themselves, and nobody by somebody whom they brought (of a circle the last referral does not count). Columns as in cx.referral_pair.';
