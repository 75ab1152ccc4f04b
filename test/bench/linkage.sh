#!/bin/sh
# test/bench/linkage.sh: how many pairs of records does cxm.linkage_score() compare and score a second, and what does
# a whole run over made-up people cost?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. ROWS (300000, at least 100000) records: people of whom a third are there twice, with slips.
#
# Then, for each of SIZES ("10000 100000 1000000") records, what cxm.link_records() does without any settings on people
# who are hard to tell apart: households of one surname, address and telephone, twins, fathers and sons of one name. What
# the pairs above the threshold chosen from the scores are worth, what becomes of them when all are joined, and when the
# guard on the size and density of clusters holds some back.
#
# A line a measurement: name, figure, goal, ok or MISS. Exit status 1 where a goal was missed.
set -eu
ROWS=${ROWS:-300000}
SIZES=${SIZES:-10000 100000 1000000}
DB=cxm_bench_linkage_$$

psql -XqAt -d "${PGDATABASE:-postgres}" -c "CREATE DATABASE $DB"
OUT=$(mktemp)
trap 'rm -f "$OUT"; psql -XqAt -d "${PGDATABASE:-postgres}" -c "DROP DATABASE IF EXISTS $DB WITH (FORCE)"' EXIT
trap 'exit 1' HUP INT TERM

PGOPTIONS='-c client_min_messages=error' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$ROWS" -d "$DB" <<'SQL' | tee "$OUT"
CREATE EXTENSION cxm;
SET jit = off;

-- names of syllables with the skewed frequencies of real ones
CREATE FUNCTION pg_temp.draw(i bigint, salt integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
'SELECT (n * ((hashint8extended(i, salt) & 1048575) / 1048576.0) ^ 2)::integer';
CREATE FUNCTION pg_temp.name(k integer, salt integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$SELECT string_agg(substr('bacedifoguhajekiloma', 1 + 2 * ((hashint8extended(k, salt * 10 + j) & 1023)::integer % 10), 2) || substr('nrslt', 1 + ((hashint8extended(k, salt * 77 + j) & 1023)::integer % 5), 1), '')
  FROM generate_series(1, 2 + k % 2) AS j$$;
CREATE UNLOGGED TABLE word AS SELECT k, pg_temp.name(k, 1) AS first_name, pg_temp.name(k, 2) AS surname, pg_temp.name(k, 3) AS city FROM generate_series(0, 20000) AS k;
CREATE UNIQUE INDEX ON word (k);
CREATE UNLOGGED TABLE person AS
SELECT p.id, p.who,
       CASE WHEN p.id % 11 = 0 THEN overlay(f.first_name PLACING 'x' FROM 2 FOR 1) ELSE f.first_name END AS first_name,
       CASE WHEN p.id % 13 = 0 THEN NULL WHEN p.id % 17 = 0 THEN overlay(s.surname PLACING 'y' FROM 3 FOR 1) ELSE s.surname END AS surname,
       c.city, date '1940-01-01' + pg_temp.draw(p.who, 4, 25000) + CASE WHEN p.id % 19 = 0 THEN 1 ELSE 0 END AS born,
       CASE WHEN p.id % 5 = 0 THEN NULL ELSE f.first_name || p.who % 9973 || '@' || c.city END AS email
FROM (SELECT i AS id, CASE WHEN i % 3 = 0 THEN i - 1 ELSE i END AS who FROM generate_series(1, :rows) AS i) AS p
JOIN word AS f ON f.k = pg_temp.draw(p.who, 1, 3000)
JOIN word AS s ON s.k = pg_temp.draw(p.who, 2, 20000)
JOIN word AS c ON c.k = pg_temp.draw(p.who, 3, 500);
VACUUM (ANALYZE) person;

SELECT $$ {
 "comparisons": [
  {"column": "first_name", "levels": ["exact", {"jaro_winkler": 0.92}, {"jaro_winkler": 0.88}, {"jaro_winkler": 0.7}], "term_frequency": true},
  {"column": "surname", "levels": ["exact", {"jaro_winkler": 0.92}, {"jaro_winkler": 0.88}, {"jaro_winkler": 0.7}], "term_frequency": true},
  {"column": "born", "levels": ["exact", {"damerau": 1}, {"days": 31}, {"days": 366}]},
  {"column": "city", "levels": ["exact"], "term_frequency": true},
  {"column": "email", "levels": ["exact", {"jaro_winkler": 0.88}]}],
 "blocking": [["first_name", "born"], ["surname", "born"], ["first_name", "surname"], ["surname", "city"], "email"],
 "training": [["first_name", "surname"], "born"]} $$ AS settings \gset

CREATE FUNCTION pg_temp.seconds(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN extract(epoch FROM clock_timestamp() - started);
END $$;

CREATE FUNCTION pg_temp.measure(rows bigint, settings jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    query text := 'SELECT id, first_name, surname, born, city, email FROM person';
    model jsonb;
    started timestamptz;
    trained double precision;
    empty numeric;
    full_ numeric;
    whole numeric;
    part numeric;
    pairs bigint;
    found record;
    true_pairs bigint;
    rate numeric;
BEGIN
    started := clock_timestamp();
    model := cxm.linkage_train(query, settings);
    trained := extract(epoch FROM clock_timestamp() - started);

    started := clock_timestamp();
    SELECT count(*) AS n, count(*) FILTER (WHERE x.who = y.who) AS correct INTO found
    FROM cxm.linkage_score(query, model) AS l JOIN person AS x ON x.id = l.record_a::integer JOIN person AS y ON y.id = l.record_b::integer;
    RETURN NEXT format('%s %s s', rpad(format('train and score %s records', rows), 52), round((trained + extract(epoch FROM clock_timestamp() - started))::numeric, 1));
    SELECT count(*) INTO true_pairs FROM person AS x JOIN person AS y ON x.who = y.who AND x.id < y.id;
    RETURN NEXT format('%s %s / %s %s', rpad('precision, recall at p >= .95; precision goal', 52), round(found.correct / found.n::numeric, 4), round(found.correct / true_pairs::numeric, 4),
                       CASE WHEN found.correct > 0.95 * found.n THEN '0.95 ok' ELSE '0.95 MISS' END);

    -- Net of what it takes to read the records: the same with a rule of few pairs. The best of some runs in turn, for
    -- whatever else the machine does only adds to them.
    query := 'SELECT id, first_name, surname, born, city, email FROM person WHERE id <= 100000';
    pairs := (SELECT sum(n * (n - 1) / 2) FROM (SELECT count(*) AS n FROM person WHERE id <= 100000 GROUP BY city) AS c);
    FOR i IN 1 .. 5 LOOP
        full_ := least(full_, pg_temp.seconds(format('SELECT FROM cxm.linkage_score(%L, %L, 0.95)', query, model || '{"blocking": ["city"]}')));
        empty := least(empty, pg_temp.seconds(format('SELECT FROM cxm.linkage_score(%L, %L, 0.95)', query, model || '{"blocking": [["first_name", "surname", "born", "city", "email"]]}')));
        whole := least(whole, pg_temp.seconds(format('SELECT cxm.linkage_train(%L, %L)', query, settings || '{"sample": 1, "training": ["city", "born"]}')));
        part := least(part, pg_temp.seconds(format('SELECT cxm.linkage_train(%L, %L)', query, settings || '{"sample": 1, "training": ["born"]}')));
    END LOOP;
    rate := pairs / (full_ - empty) / 1e6;
    RETURN NEXT format('%s %s of %s million, goal 5.00 %s', rpad('million pairs scored a second, p >= .95 kept', 52), round(rate, 2), round(pairs / 1e6, 2),
                       CASE WHEN rate >= 5 THEN 'ok' ELSE 'MISS' END);
    RETURN NEXT format('%s %s of %s million', rpad('million pairs compared a second in all fields', 52), round(pairs / (whole - part) / 1e6, 2), round(pairs / 1e6, 2));
END $$;
SELECT pg_temp.measure(:rows, :'settings');
SQL

for size in $SIZES; do
    PGOPTIONS='-c client_min_messages=error' psql -XqAt -v ON_ERROR_STOP=1 -v rows="$size" -d "$DB" <<'SQL' | tee -a "$OUT"
SET jit = off;
DROP TABLE IF EXISTS household_word, member;
-- made-up people: households that share a surname, an address and a telephone; twins, fathers and sons of one name
CREATE FUNCTION pg_temp.h(i bigint, salt integer) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
'SELECT (hashint8extended(i, salt) & 1048575) / 1048576.0::double precision';
CREATE FUNCTION pg_temp.word(k integer, salt integer, n integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$SELECT string_agg(substr('bcdfghjklmnprstvwz', 1 + (hashint8extended(k, salt * 10 + j) & 1023)::integer % 18, 1) || substr('aeiou', 1 + (hashint8extended(k, salt * 31 + j) & 1023)::integer % 5, 1)
  || CASE WHEN hashint8extended(k, salt * 57 + j) & 7 < 3 THEN substr('nrslt', 1 + (hashint8extended(k, salt * 77 + j) & 1023)::integer % 5, 1) ELSE '' END, '')
  FROM generate_series(1, n + k % 2) AS j$$;
-- a slip: a letter replaced, dropped, doubled or exchanged with the next, at a place
CREATE FUNCTION pg_temp.slip(t text, x double precision, y double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$SELECT CASE WHEN length(t) < 3 THEN t ELSE
   left(t, 1 + (x * (length(t) - 2))::integer) || CASE (y * 4)::integer % 4 WHEN 0 THEN chr(97 + (y * 1000)::integer % 26) || substr(t, 3 + (x * (length(t) - 2))::integer)
     WHEN 1 THEN substr(t, 3 + (x * (length(t) - 2))::integer) WHEN 2 THEN chr(97 + (y * 1000)::integer % 26) || substr(t, 2 + (x * (length(t) - 2))::integer)
     ELSE substr(t, 3 + (x * (length(t) - 2))::integer, 1) || substr(t, 2 + (x * (length(t) - 2))::integer, 1) || substr(t, 4 + (x * (length(t) - 2))::integer) END END$$;
CREATE UNLOGGED TABLE household_word AS SELECT k, pg_temp.word(k, 1, 2) AS fn, pg_temp.word(k, 2, 2) AS sn, pg_temp.word(k, 3, 3) || (ARRAY[' street', ' road', ' lane', ' avenue'])[1 + k % 4] AS st, pg_temp.word(k, 4, 3) AS ci FROM generate_series(0, 30000) AS k;
CREATE UNIQUE INDEX ON household_word (k);
CREATE UNLOGGED TABLE member AS
WITH p AS ( -- people, 2.5 a household
  SELECT i AS who, (i * 2 / 5)::bigint AS hh FROM generate_series(1, (:rows / 1.4)::bigint) AS i
), q AS (
  SELECT who, hh, (1500 * pg_temp.h(who, 1) ^ 2.2)::integer AS fnk, (25000 * pg_temp.h(hh, 2) ^ 2)::integer AS snk, (500 * pg_temp.h(hh, 3) ^ 2)::integer AS cik,
   CASE WHEN pg_temp.h(who, 4) < .02 THEN hh ELSE who END AS twin,
   CASE WHEN pg_temp.h(who, 5) < .02 THEN (1500 * pg_temp.h(who - 1, 1) ^ 2.2)::integer END AS junior, pg_temp.h(who, 6) < .4 AS own_phone FROM p
), r AS (
  SELECT who, hh, copy, coalesce(junior, fnk) AS fnk, snk, cik, twin, own_phone, who * 8 + copy AS rid FROM q, generate_series(0, 3) AS copy
  WHERE copy = 0 OR (copy = 1 AND pg_temp.h(who, 7) < .3) OR (copy = 2 AND pg_temp.h(who, 8) < .08) OR (copy = 3 AND pg_temp.h(who, 9) < .02)
), s AS (
  SELECT r.*, pg_temp.h(rid, 20) < .10 AND copy > 0 AS moved, pg_temp.h(rid, 21) < .03 AND copy > 0 AS married, pg_temp.h(rid, 22) < .02 AS swapped FROM r
), t AS (
  SELECT rid, who, swapped, f.fn, CASE WHEN married THEN s2.sn ELSE s1.sn END AS sn, c.ci,
    (CASE WHEN moved THEN (pg_temp.h(rid, 40) * 200)::integer ELSE (pg_temp.h(hh, 41) * 120)::integer END + 1)::text || ' ' || CASE WHEN moved THEN a2.st ELSE a1.st END AS address,
    lpad((cik * 37 % 900 + 100)::text, 3, '0') || lpad((CASE WHEN moved THEN pg_temp.h(rid, 43) * 99 ELSE pg_temp.h(hh, 42) * 99 END)::integer::text, 2, '0') AS postcode,
    '0' || (100 + cik) || lpad((CASE WHEN moved THEN pg_temp.h(rid, 44) * 9999999 WHEN own_phone THEN pg_temp.h(who, 45) * 9999999 ELSE pg_temp.h(hh, 46) * 9999999 END)::integer::text, 7, '0') AS phone,
    date '1935-01-01' + (pg_temp.h(twin, 47) * 28000)::integer AS dob,
    f.fn || '.' || s1.sn || CASE WHEN pg_temp.h(who, 48) < .6 THEN (pg_temp.h(who, 49) * 99)::integer::text ELSE '' END || '@' || (ARRAY['mail.test', 'post.test', 'web.test', 'inbox.test'])[1 + (pg_temp.h(who, 50) * 4)::integer % 4] AS email
  FROM s JOIN household_word f ON f.k = fnk JOIN household_word s1 ON s1.k = snk JOIN household_word s2 ON s2.k = (pg_temp.h(rid, 51) * 25000)::integer JOIN household_word c ON c.k = cik JOIN household_word a1 ON a1.k = (pg_temp.h(hh, 52) * 20000)::integer JOIN household_word a2 ON a2.k = (pg_temp.h(rid, 53) * 20000)::integer
)
SELECT rid AS id, who,
  CASE WHEN pg_temp.h(rid, 60) < .04 THEN NULL WHEN swapped THEN sn WHEN pg_temp.h(rid, 61) < .06 THEN pg_temp.slip(fn, pg_temp.h(rid, 62), pg_temp.h(rid, 63)) WHEN pg_temp.h(rid, 64) < .04 THEN left(fn, 3) ELSE fn END AS first_name,
  CASE WHEN pg_temp.h(rid, 65) < .02 THEN NULL WHEN swapped THEN fn WHEN pg_temp.h(rid, 66) < .07 THEN pg_temp.slip(sn, pg_temp.h(rid, 67), pg_temp.h(rid, 68)) ELSE sn END AS surname,
  CASE WHEN pg_temp.h(rid, 69) < .15 THEN NULL WHEN pg_temp.h(rid, 70) < .03 AND extract(day FROM dob) <= 12 THEN make_date(extract(year FROM dob)::integer, extract(day FROM dob)::integer, extract(month FROM dob)::integer)
       WHEN pg_temp.h(rid, 71) < .04 THEN dob + (ARRAY[1, -1, 10, -10, 365, -365, 3652])[1 + (pg_temp.h(rid, 72) * 7)::integer % 7] ELSE dob END AS dob,
  CASE WHEN pg_temp.h(rid, 73) < .15 THEN NULL WHEN pg_temp.h(rid, 74) < .10 THEN pg_temp.slip(address, pg_temp.h(rid, 75), pg_temp.h(rid, 76)) ELSE address END AS address,
  CASE WHEN pg_temp.h(rid, 77) < .10 THEN NULL WHEN pg_temp.h(rid, 78) < .05 THEN translate(postcode, substr(postcode, 4, 1), '7') ELSE postcode END AS postcode,
  CASE WHEN pg_temp.h(rid, 79) < .05 THEN NULL WHEN pg_temp.h(rid, 80) < .05 THEN pg_temp.slip(ci, pg_temp.h(rid, 81), pg_temp.h(rid, 82)) ELSE ci END AS city,
  CASE WHEN pg_temp.h(rid, 83) < .4 THEN NULL WHEN pg_temp.h(rid, 84) < .05 THEN translate(phone, substr(phone, 8, 1), '3') ELSE phone END AS phone,
  CASE WHEN pg_temp.h(rid, 85) < .5 THEN NULL WHEN pg_temp.h(rid, 86) < .05 THEN pg_temp.slip(email, pg_temp.h(rid, 87), pg_temp.h(rid, 88)) ELSE email END AS email
FROM t;
VACUUM (ANALYZE) member;
\c
SET check_function_bodies = off;
SET jit = off;
CREATE FUNCTION pg_temp.peak() RETURNS text LANGUAGE sql AS
$$SELECT round(((regexp_match(s, 'VmHWM:\s+(\d+)'))[1]::numeric - (regexp_match(s, 'RssShmem:\s+(\d+)'))[1]::numeric) / 1024) || ' MB' FROM pg_read_file('/proc/self/status') AS s$$;
CREATE FUNCTION pg_temp.worth(what text, found bigint, correct bigint, truth bigint) RETURNS text LANGUAGE sql AS
$$SELECT format('%s P %s R %s F1 %s', rpad('  ' || what, 52), round(correct / found::numeric, 4), round(correct / truth::numeric, 4), round(2.0 * correct / (found + truth), 4))$$;
CREATE FUNCTION pg_temp.clustered(what text, accept double precision, max_size integer, density double precision, truth bigint) RETURNS text LANGUAGE sql AS $$
WITH c AS MATERIALIZED (
    SELECT c.member, c.cluster, m.who
    FROM (SELECT array_agg(record_a) AS a, array_agg(record_b) AS b, array_agg(weight) AS w FROM scored WHERE probability >= accept) AS l,
         cxm.clusters(l.a, l.b, l.w, max_size, density) AS c JOIN member AS m ON m.id::text = c.member
)
SELECT pg_temp.worth(what || format(', largest %s', max(n)), sum(n * (n - 1) / 2)::bigint, sum(correct)::bigint, truth)
FROM (SELECT k.cluster, sum(k.n) AS n, sum(k.n * (k.n - 1) / 2) AS correct FROM (SELECT cluster, who, count(*) AS n FROM c GROUP BY 1, 2) AS k GROUP BY 1) AS x $$;
CREATE FUNCTION pg_temp.households() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    query text := 'SELECT id, first_name, surname, dob, address, postcode, city, phone, email FROM member';
    started timestamptz := clock_timestamp();
    model jsonb;
    accept double precision;
    truth bigint;
    r record;
BEGIN
    model := cxm.linkage_train(query);
    RETURN NEXT format('%s %s s', rpad(format('%s people hard to tell apart: settings and training', (SELECT count(*) FROM member)), 52), round(extract(epoch FROM clock_timestamp() - started)::numeric, 1));
    DROP TABLE IF EXISTS scored;
    CREATE TEMPORARY TABLE scored AS SELECT s.record_a, s.record_b, s.weight, s.probability FROM cxm.linkage_score(query, model, 0.3) AS s;
    RETURN NEXT format('%s %s s, memory of its own %s', rpad('  and scores', 52), round(extract(epoch FROM clock_timestamp() - started)::numeric, 1), pg_temp.peak());
    SELECT sum(n * (n - 1) / 2) INTO truth FROM (SELECT count(*) AS n FROM member GROUP BY who) AS k;
    accept := cxm.match_threshold((SELECT array_agg(probability) FROM scored));
    SELECT count(*) AS n, count(*) FILTER (WHERE x.who = y.who) AS correct INTO r
    FROM scored AS s JOIN member AS x ON x.id = s.record_a::bigint JOIN member AS y ON y.id = s.record_b::bigint WHERE s.probability >= accept;
    RETURN NEXT pg_temp.worth(format('pairs of p >= %s', round(accept::numeric, 3)), r.n, r.correct, truth);
    RETURN NEXT pg_temp.clustered('all joined', accept, 2000000000, 0, truth);
    RETURN NEXT pg_temp.clustered('guarded', accept, 100, 0.25, truth);
    RETURN NEXT pg_temp.clustered('guarded at density .5', accept, 100, 0.5, truth);
END $$;
SELECT pg_temp.households();
SQL
done

grep -q '^million pairs' "$OUT"
! grep -q 'MISS$' "$OUT"
