#!/bin/sh
# test/bench/linkage.sh: how many pairs of records does cxm.linkage_score() compare and score a second, and what does
# a whole run over made-up people cost?
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual). Makes a database of its own and drops
# it. ROWS (300000, at least 100000) records: people of whom a third are there twice, with slips.
#
# A line a measurement: name, figure, goal, ok or MISS. Exit status 1 where a goal was missed.
set -eu
ROWS=${ROWS:-300000}
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

grep -q '^million pairs' "$OUT"
! grep -q 'MISS$' "$OUT"
