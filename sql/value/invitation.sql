-- Tokens, samples, and how often a person may be asked: what needs no store.

CREATE FUNCTION cxm.random_token() RETURNS text
AS 'MODULE_PATHNAME', 'cxm_random_token'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.random_token() IS
'A token that cannot be guessed: 32 random bytes of the operating system, as 43 characters of base64url.';

CREATE FUNCTION cxm.token_hash(token text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN pg_catalog.octet_length(token) OPERATOR(pg_catalog.=) 43 AND token OPERATOR(pg_catalog.~) '^[A-Za-z0-9_-]{43}$'
                THEN pg_catalog.sha256(token::pg_catalog.bytea) END;

COMMENT ON FUNCTION cxm.token_hash(text) IS
'What is stored of a token: its SHA-256. NULL for a text that cannot be a token of cxm.random_token().';

CREATE FUNCTION cxm.sampling_fraction(key text) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ('x' || encode(substr(sha256(convert_to(key, 'UTF8')), 1, 6), 'hex'))::bit(48)::bigint / 281474976710656.0::double precision;
$$;

COMMENT ON FUNCTION cxm.sampling_fraction(text) IS
'A number from 0 (inclusive) to 1 (exclusive) that follows from the text alone, the same on every server and spread evenly: whoever has one below 0.2 is in a sample of 20 %.';

CREATE FUNCTION cxm.fatigue_free_at(times timestamptz[], at timestamptz, max_count integer DEFAULT NULL, rolling_window interval DEFAULT NULL,
                                    min_gap interval DEFAULT NULL) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'cxm_fatigue_free'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.fatigue_free_at(timestamptz[], timestamptz, integer, interval, interval) IS
'The earliest time, not before at, that can be added to times under a limit: at most max_count in any stretch shorter than rolling_window, and any two at least min_gap apart (NULL = no such limit). Later times count like earlier ones. A month has 30 days and a day 24 hours. NULL for a NULL at; NULL times are none. Error 22023: max_count without rolling_window or the other way round, or not positive; 22004: a NULL within times; 22008: an infinite at, or no such time.';
