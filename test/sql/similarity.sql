-- similarity: published values, identities, characters of several bytes, limits

-- state and message of the error that a query raises
CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;

-- Winkler, "String Comparator Metrics and Enhanced Decision Rules" (1990), table 1, with the basic boost
SELECT a, b, round(cxm.jaro(a, b)::numeric, 4) AS jaro, round(cxm.jaro_winkler(a, b)::numeric, 4) AS jaro_winkler
FROM (VALUES ('MARTHA', 'MARHTA'), ('DIXON', 'DICKSONX'), ('DWAYNE', 'DUANE'), ('JELLYFISH', 'SMELLYFISH'),
    ('SHACKLEFORD', 'SHACKELFORD'), ('DUNNINGHAM', 'CUNNIGHAM'), ('NICHLESON', 'NICHULSON'), ('JONES', 'JOHNSON'),
    ('MASSEY', 'MASSIE'), ('ABROMS', 'ABRAMS'), ('HARDIN', 'MARTINEZ'), ('ITMAN', 'SMITH'), ('JERALDINE', 'GERALDINE'),
    ('MARHTA', 'MARTHA'), ('MICHELLE', 'MICHAEL'), ('JULIES', 'JULIUS'), ('TANYA', 'TONYA'), ('SEAN', 'SUSAN'),
    ('JON', 'JOHN'), ('JON', 'JAN'), ('AB', 'BA'), ('A', 'A'), ('A', 'B')) AS v (a, b);

-- a boost only above .7, and only of the first four characters
SELECT round(cxm.jaro('abcdxx', 'abyyzz')::numeric, 4) AS jaro, round(cxm.jaro_winkler('abcdxx', 'abyyzz')::numeric, 4) AS jaro_winkler;
SELECT round(cxm.jaro_winkler('MARTHA', 'MARHTA', 0)::numeric, 6) AS none, round(cxm.jaro_winkler('MARTHA', 'MARHTA', 0.25)::numeric, 6) AS most,
       round(((cxm.jaro_winkler('abcdefgh', 'abcdefgx') - cxm.jaro('abcdefgh', 'abcdefgx')) / (1 - cxm.jaro('abcdefgh', 'abcdefgx')))::numeric, 6) AS four_at_most;

-- textbook distances
SELECT a, b, cxm.levenshtein(a, b), cxm.osa(a, b), cxm.damerau(a, b)
FROM (VALUES ('kitten', 'sitting'), ('saturday', 'sunday'), ('rosettacode', 'raisethysword'), ('CA', 'ABC'), ('CA', 'AC'),
    ('a cat', 'an abct'), ('jellyfihs', 'jellyfish'), ('ifhs', 'fish'), ('Hello', 'World'), ('', 'abc'), ('', ''), ('gumbo', 'gambol'),
    ('book', 'back'), ('specter', 'spectre'), ('abcdef', 'badcfe')) AS v (a, b);

-- identities
SELECT cxm.jaro('', '') AS jaro, cxm.jaro('', 'a') AS jaro_empty, cxm.jaro_winkler('', '') AS jw, cxm.jaccard('', '') AS jaccard, cxm.jaccard('', 'a') AS jaccard_empty,
       cxm.jaccard('{}'::text[], '{}') AS no_elements, cxm.jaccard('{}'::text[], '{a}') AS elements;
SELECT cxm.jaro(NULL, 'a') IS NULL AND cxm.jaro_winkler('a', NULL) IS NULL AND cxm.jaro_winkler('a', 'a', NULL) IS NULL
   AND cxm.levenshtein(NULL, 'a') IS NULL AND cxm.levenshtein('a', 'a', NULL) IS NULL AND cxm.osa(NULL, 'a') IS NULL AND cxm.osa('a', 'a', NULL) IS NULL
   AND cxm.damerau('a', NULL) IS NULL AND cxm.damerau('a', 'a', NULL) IS NULL AND cxm.jaccard('a', NULL) IS NULL
   AND cxm.jaccard('a', 'a', NULL) IS NULL AND cxm.jaccard(NULL::text[], '{a}') IS NULL AS "NULL";

-- n-grams
SELECT cxm.jaccard('night', 'nacht') AS two, cxm.jaccard('night', 'nacht', 1) AS one, cxm.jaccard('night', 'nights', 3) AS three,
       cxm.jaccard('aaaa', 'aa') AS sets, cxm.jaccard('ab', 'ab', 5) AS short_equal, cxm.jaccard('ab', 'abcdef', 5) AS short, cxm.jaccard('ab', 'ba', 3) AS both_short;
SELECT cxm.jaccard('{a,b,c}'::text[], '{b,c,d}') AS arrays, cxm.jaccard('{a,a,NULL}'::text[], '{a}') AS set, cxm.jaccard('{NULL}'::text[], '{}') AS nulls,
       cxm.jaccard('{{a,b},{c,d}}'::text[], '{d,c,b,a}') AS dimensions, cxm.jaccard('{ab,a}'::text[], '{a,b}') AS prefixes;

-- characters, not bytes: one letter of three differs
SELECT cxm.levenshtein(U&'M\00FCller', U&'M\00F6ller') AS umlaut, cxm.damerau(U&'\00FC\00F6', U&'\00F6\00FC') AS swapped,
       round(cxm.jaro(U&'\6771\4EAC\90FD', U&'\6771\4EAC\5E9C')::numeric, 6) AS jaro, round(cxm.jaro('abc', 'abd')::numeric, 6) AS jaro_ascii,
       cxm.levenshtein(U&'\+01F600\+01F601', U&'\+01F601') AS emoji, cxm.jaccard(U&'\00E4\00F6\00FC', U&'\00E4\00F6x') AS jaccard,
       round(cxm.jaro_winkler(U&'M\00FCller', U&'M\00FCler')::numeric, 6) AS jw, round(cxm.jaro_winkler('Muller', 'Muler')::numeric, 6) AS jw_ascii
WHERE current_setting('server_encoding') = 'UTF8';

-- within a limit: the distance or one more than the limit
SELECT d, cxm.levenshtein('rosettacode', 'raisethysword', d), cxm.osa('rosettacode', 'raisethysword', d), cxm.damerau('a cat', 'an abct', d),
       cxm.levenshtein('kitten', 'kitten', d) AS same
FROM generate_series(0, 10, 2) AS d;
SELECT cxm.levenshtein('abc', 'xyz', 2147483647), cxm.damerau('abc', 'xyz', 2147483647), cxm.osa('abc', 'xyz', 2147483647);

-- the forms for short and for long strings agree, and all are symmetric; translating to letters outside ASCII changes nothing
CREATE TEMP TABLE word AS
SELECT i, (SELECT string_agg(chr(97 + (hashint4(i * 1000 + k) & 2147483647) % 4), '' ORDER BY k) FROM generate_series(1, 3 + i % 90) AS k) AS w
FROM generate_series(1, 300) AS i;
CREATE TEMP VIEW pair AS
SELECT x.w AS a, y.w AS b, translate(x.w, 'abcd', U&'\00E4\00F6\6771\+01F600') AS wide_a, translate(y.w, 'abcd', U&'\00E4\00F6\6771\+01F600') AS wide_b
FROM word AS x JOIN word AS y ON y.i BETWEEN x.i AND x.i + 20;
SELECT count(*) > 5000 AS pairs,
       bool_and(cxm.levenshtein(a, b) = cxm.levenshtein(b, a)) AS levenshtein, bool_and(cxm.damerau(a, b) = cxm.damerau(b, a)) AS damerau,
       bool_and(cxm.osa(a, b) = cxm.osa(b, a)) AS osa, bool_and(cxm.jaro(a, b) = cxm.jaro(b, a)) AS jaro,
       bool_and(cxm.jaro_winkler(a, b) = cxm.jaro_winkler(b, a)) AS jaro_winkler, bool_and(cxm.jaccard(a, b, 3) = cxm.jaccard(b, a, 3)) AS jaccard
FROM pair;
SELECT bool_and(cxm.levenshtein(a, b) = cxm.levenshtein(wide_a, wide_b)) AS levenshtein, bool_and(cxm.damerau(a, b) = cxm.damerau(wide_a, wide_b)) AS damerau,
       bool_and(cxm.osa(a, b) = cxm.osa(wide_a, wide_b)) AS osa, bool_and(cxm.jaro(a, b) = cxm.jaro(wide_a, wide_b)) AS jaro,
       bool_and(cxm.jaro_winkler(a, b) = cxm.jaro_winkler(wide_a, wide_b)) AS jaro_winkler, bool_and(cxm.jaccard(a, b, 3) = cxm.jaccard(wide_a, wide_b, 3)) AS jaccard,
       bool_and(cxm.levenshtein(a, b, 7) = least(cxm.levenshtein(a, b), 8) AND cxm.damerau(a, b, 7) = least(cxm.damerau(a, b), 8)
            AND cxm.osa(a, b, 7) = least(cxm.osa(a, b), 8) AND cxm.damerau(wide_a, wide_b, 7) = least(cxm.damerau(a, b), 8)) AS limited
FROM pair WHERE current_setting('server_encoding') = 'UTF8';

-- long texts
SELECT cxm.levenshtein(repeat('ab', 5000), repeat('ba', 5000)) AS words, cxm.levenshtein(repeat('ab', 5000), repeat('ba', 5000), 1) AS limited,
       cxm.damerau(repeat('x', 100000) || 'ab' || repeat('y', 100000), repeat('x', 100000) || 'ba' || repeat('y', 100000)) AS common_ends,
       cxm.damerau('p' || repeat('ab', 100000) || 'q', 'q' || repeat('ab', 100000) || 'p', 3) AS banded,
       cxm.jaro(repeat('ab', 400000), repeat('ab', 400000)) AS jaro, cxm.jaccard(repeat('abc', 300000), repeat('cba', 300000), 2) AS jaccard;
SELECT pg_temp.fails($$SELECT cxm.jaro(repeat('a', 1000001), 'a')$$);
SELECT pg_temp.fails($$SELECT cxm.levenshtein('a', repeat('a', 4000004))$$);
SELECT pg_temp.fails($$SELECT cxm.jaccard(repeat('a', 1000001), repeat('a', 1000001))$$);

-- a long one can be cancelled, and the next call is right
SET statement_timeout = '200ms';
SELECT cxm.damerau(string_agg(md5(i::text), ''), string_agg(md5((-i)::text), '')) FROM generate_series(1, 20000) AS i;
SELECT cxm.levenshtein(string_agg(md5(i::text), ''), string_agg(md5((-i)::text), '')) FROM generate_series(1, 30000) AS i;
RESET statement_timeout;
SELECT cxm.damerau('CA', 'ABC'), cxm.levenshtein('kitten', 'sitting');

-- arguments
SELECT pg_temp.fails($$SELECT cxm.jaro_winkler('a', 'b', 0.26)$$);
SELECT pg_temp.fails($$SELECT cxm.jaro_winkler('a', 'b', -0.1)$$);
SELECT pg_temp.fails($$SELECT cxm.jaro_winkler('a', 'b', 'NaN')$$);
SELECT pg_temp.fails($$SELECT cxm.levenshtein('a', 'b', -1)$$);
SELECT pg_temp.fails($$SELECT cxm.osa('a', 'b', -1)$$);
SELECT pg_temp.fails($$SELECT cxm.damerau('a', 'b', -1)$$);
SELECT pg_temp.fails($$SELECT cxm.jaccard('a', 'b', 0)$$);
SELECT pg_temp.fails($$SELECT cxm.jaccard('a', 'b', 65)$$);
