-- One form for what people type: e-mail addresses, telephone numbers, names, words of addresses, dates.
--
-- Each works on any text, without a store. NULL means that the value cannot be one; nothing here raises an error
-- because of a value, only because of an argument that says how to read it.

CREATE FUNCTION cxm.normalize_text(value text) RETURNS text
AS 'MODULE_PATHNAME', 'cxm_normalize_text'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.normalize_text(text) IS
'The text without the white space around it, that of Unicode in a UTF8 database, a byte-order mark and a zero-width space included. NULL when nothing is left, and for NULL.';

CREATE FUNCTION cxm.normalize_email(value text, options jsonb DEFAULT '{}') RETURNS text
AS 'MODULE_PATHNAME', 'cxm_normalize_email'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.normalize_email(text, jsonb) IS
'An e-mail address in lower case, without white space around it; NULL when it cannot be one: not exactly one @, an empty part, white space or a character that cannot be seen inside, an empty label in the domain, characters that would need quotes, more than 320 bytes. options, each off unless given, for providers of which the rule is known (Gmail, Outlook, iCloud, Proton, Yandex and others): dots: true removes dots where they make no difference; plus: true cuts off +tags; aliases: true writes the provider''s main domain (googlemail.com becomes gmail.com); providers: rules of your own, {"domain in lower case": {"dots": boolean, "plus": boolean, "alias": "domain"}}, which go before the shipped ones; * is every domain that you do not name. Normalising again changes nothing. Letters beyond ASCII are lowered as the database''s locale says. Error 22023 on an unknown option or a value of the wrong type.';

CREATE FUNCTION cxm.normalize_phone(value text, region text DEFAULT NULL, level text DEFAULT 'valid') RETURNS text
AS 'cxm_phone', 'cxm_normalize_phone'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.normalize_phone(text, text, text) IS
'A telephone number in E.164, such as +493012345678, by libphonenumber; with an extension, +493012345678;ext=12 (RFC 3966). region: ISO 3166 code of the country that a number without a country code is of; NULL: such a number is NULL. 00 goes for +, letters for the digits of a keypad where that is the custom (country code 1). level: valid (the numbering plan has such numbers) or possible (the length is right; for numbers newer than the installed libphonenumber). NULL when it is no such number, when it has more than 250 bytes, when value or level is NULL. Normalising again changes nothing. Error 22023 on an unknown region or level.';

CREATE FUNCTION cxm.phone_digits(value text) RETURNS text
AS 'MODULE_PATHNAME', 'cxm_phone_digits_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.phone_digits(text) IS
'The digits of a telephone number that names no country, for where none is known: spaces, brackets, dots, dashes and slashes removed. NULL for a number with + or 00, for anything with other characters, with fewer than 5 or more than 20 digits, and for NULL.';

CREATE FUNCTION cxm.normalize_name(value text) RETURNS text
AS 'MODULE_PATHNAME', 'cxm_normalize_name'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.normalize_name(text) IS
'A name for comparison: small letters and digits, words parted by one space. Accents and umlauts go (an e with an acute is e, a u with two dots u), Latin letters that have none to lose are written out (a sharp s is ss, an o with a stroke o), apostrophes go (O''Brien is obrien), other marks part words (Anne-Marie is anne marie), titles before a name go (Mr, Dr, Frau ...). Other scripts keep their letters. NULL when no letter or digit is left, and for NULL. In databases that are not UTF8 only ASCII is folded. Normalising again changes nothing. More than 1000000 bytes raise program_limit_exceeded (54000).';

CREATE FUNCTION cxm.formal_names(value text, nicknames jsonb DEFAULT '{}') RETURNS text[]
AS 'MODULE_PATHNAME', 'cxm_formal_names_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.formal_names(text, jsonb) IS
'The names that a given name may stand for: itself, by cxm.normalize_name(), and those it may be short for, such as {bill,william} for Bill and {chris,christian,christina,christine,christopher} for Chris; sorted by byte. Two given names may be one where their arrays overlap (&&). nicknames: more of them, {"nickname as normalised": "formal name" or ["formal name", ...]}, added to the list that is shipped. An empty array when no letter or digit is left, NULL for NULL. Error 22023 when nicknames has another shape; 54000 as in cxm.normalize_name().';

CREATE FUNCTION cxm.address_tokens(value text) RETURNS text[]
AS 'MODULE_PATHNAME', 'cxm_address_tokens'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 8;

COMMENT ON FUNCTION cxm.address_tokens(text) IS
'The words and numbers of a postal address, folded as by cxm.normalize_name(), short forms written out (st is street, rd road, n north, hauptstr hauptstrasse), each once, sorted by byte: for cxm.jaccard(text[], text[]). St always is street, also where it means Saint. An empty array when no letter or digit is left, NULL for NULL. Error 54000 as in cxm.normalize_name().';

CREATE FUNCTION cxm.normalize_date(value text, date_order text DEFAULT 'YMD', first_year integer DEFAULT NULL) RETURNS date
AS 'MODULE_PATHNAME', 'cxm_normalize_date'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.normalize_date(text, text, integer) IS
'A date as people and programs write it: 2026-04-03, 20260403, 3.4.2026, 3 April 2026, Apr 3rd, 2026, with or without a time of day, which is passed over. A year of four digits in front is followed by month and day. For all others date_order says which number is which: DMY or MDY; under YMD a year of four digits at the end is taken only where no other reading is a date (25/12/2026, but not 3/4/2026). Eight digits in a row are read in that order. first_year: a year of two digits is the one of the hundred years from first_year (1 to 9900) on; NULL: it is not known, and the date NULL. Months by name are English. NULL when it is no date between the years 1 and 9999, such as 2026-02-30, when it could be several, and when value or date_order is NULL. Error 22023 on an unknown order, or a first_year out of range.';

CREATE FUNCTION cxm.normalize_form(value text, form text, options jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE form
    WHEN 'text' THEN cxm.normalize_text(value)
    WHEN 'email' THEN cxm.normalize_email(value, options)
    WHEN 'phone' THEN CASE WHEN options ->> 'region' IS NULL
                           THEN coalesce(cxm.phone_digits(value), cxm.normalize_phone(value, NULL, coalesce(options ->> 'level', 'valid')))
                           ELSE cxm.normalize_phone(value, options ->> 'region', coalesce(options ->> 'level', 'valid')) END
    WHEN 'name' THEN CASE WHEN octet_length(cxm.normalize_name(value)) <= 512 THEN cxm.normalize_name(value) END
END;

COMMENT ON FUNCTION cxm.normalize_form(text, text, jsonb) IS
'A value in one of the forms that an identifier can have (cx.namespace): text, email, phone or name, by the function of that name; NULL when it cannot be one, or a name comes to more than 512 bytes. options: those of cxm.normalize_email(), and region and level of cxm.normalize_phone(). A phone without country code where no region is given is kept as cxm.phone_digits(). Errors on options as those functions; NULL on an unknown form.';

CREATE FUNCTION cxm.check_form(form text, options jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known constant text[] := CASE form WHEN 'phone' THEN ARRAY['region', 'level'] WHEN 'email' THEN ARRAY['dots', 'plus', 'aliases', 'providers'] ELSE '{}' END;
    v_option text;
    v_type text;
    v_domain text;
BEGIN
    IF form IS NULL OR form NOT IN ('text', 'email', 'phone', 'name') THEN
        RAISE EXCEPTION 'unknown form "%"', coalesce(form, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Forms are text, email, phone and name.';
    ELSIF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'options of form "%" must be a JSON object, not %', form, coalesce(jsonb_typeof(options), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give {} for none.';
    END IF;

    FOR v_option, v_type IN SELECT e.key, jsonb_typeof(e.value) FROM jsonb_each(options) AS e LOOP
        IF v_option <> ALL (v_known) THEN
            RAISE EXCEPTION 'form "%" has no option "%"', form, v_option
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = CASE WHEN v_known = '{}' THEN 'It has no options.' ELSE format('Its options are %s.', array_to_string(v_known, ', ')) END;
        ELSIF form = 'phone' AND v_type <> 'string' THEN
            RAISE EXCEPTION 'option "%" must be a string, not %', v_option, v_type
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Give {"region": "DE"} or {"level": "possible"}.';
        END IF;
    END LOOP;

    -- what remains to be said is for those to say who read the options
    IF form = 'phone' THEN
        PERFORM cxm.normalize_phone('', options ->> 'region', coalesce(options ->> 'level', 'valid'));
    ELSIF form = 'email' THEN
        PERFORM cxm.normalize_email('', options);
        IF options ? 'providers' THEN
            FOR v_domain IN SELECT 'a@' || k FROM jsonb_object_keys(options -> 'providers') AS k UNION SELECT 'a@a' LOOP
                IF v_domain <> 'a@*' AND cxm.normalize_email(v_domain) IS DISTINCT FROM v_domain THEN
                    RAISE EXCEPTION 'provider "%" is not a domain in lower case', substr(v_domain, 3)
                        USING ERRCODE = 'invalid_parameter_value',
                              HINT = 'Write it as it stands behind the @ of a normalised address; * is every domain that is not named.';
                END IF;
                PERFORM cxm.normalize_email(v_domain, options) WHERE v_domain <> 'a@*';
            END LOOP;
        END IF;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_form(text, jsonb) IS
'Raises 22023 when cxm.normalize_form() could not go by this form and these options, saying which is wrong.';
