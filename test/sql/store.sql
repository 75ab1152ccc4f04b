-- The life of a store: making, upgrading, what is refused
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'Europe/Vienna';

-- no store yet
SELECT cxm.store_version();
SELECT cxm.upgrade_store();
SELECT cxm.grant_store('postgres');
SELECT cxm.track('x');
SELECT cxm.add_namespace('x', 1);
SELECT cxm.add_metric('x', 'nps', 0, 10);
CALL cxm.upkeep();

-- what cannot be a store; nothing is left behind
SELECT cxm.create_store('Europe/Atlantis');
SELECT cxm.create_store('');
SELECT cxm.create_store('IST');
SELECT cxm.create_store('CET');
SELECT cxm.create_store(week_start => 0);
SELECT cxm.create_store(week_start => 8);
SELECT cxm.create_store(week_start => NULL);
SELECT to_regnamespace('cx') IS NULL AS nothing_made;
CREATE SCHEMA cx;
SELECT cxm.create_store();
DROP SCHEMA cx;

-- in a session that reads backslashes in strings as they were read once
BEGIN;
SET LOCAL standard_conforming_strings = off;
SELECT cxm.create_store() = cxm.version() AS made;
SELECT count(*) AS patterns_with_backslash FROM cx.blocked_value WHERE strpos(pattern, chr(92)) > 0;
SELECT cxm.record_feedback('nps', 7) > 0 AS recorded;
SELECT accepted FROM cxm.record_feedback_batch('[{"metric": "nps", "score": "7.0"}]');
SELECT cxm.upgrade_store() = cxm.version() AS upgraded;
ROLLBACK;

-- the session's zone unless told otherwise, by the name that the zone database has
BEGIN;
SELECT cxm.create_store() = cxm.version() AS made;
SELECT time_zone, week_start, max_future, version = cxm.version() AS current, upgraded_at FROM cx.store;
SELECT cxm.create_store();
ROLLBACK;
BEGIN;
SELECT cxm.create_store('america/new_york', 7) = cxm.version() AS made;
SELECT time_zone, week_start FROM cx.store;
INSERT INTO cx.store (version, time_zone) VALUES ('0', 'UTC');
ROLLBACK;
BEGIN;
SELECT cxm.create_store() = cxm.version() AS made;
\set VERBOSITY terse
INSERT INTO cx.store (singleton, version, time_zone) VALUES (false, '0', 'UTC');
\set VERBOSITY default
ROLLBACK;

-- as made: partitions of last month, this one and the next three, before 1970, and default
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;
-- in any session time zone, on any day
SELECT cxm.months_ahead() = ARRAY(SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n)) AT TIME ZONE 'UTC' FROM generate_series(-1, 3) AS n) AS months_of_utc;
SELECT split_part(parent, '.', 2) AS parent, count(*) AS partitions,
       count(*) FILTER (WHERE name ~ '_[0-9]{4}_[0-9]{2}$') AS months,
       bool_or(name ~ '_early$') AS early, bool_or(name ~ '_default$') AS by_default
FROM (SELECT i.inhparent::regclass::text AS parent, i.inhrelid::regclass::text AS name
      FROM pg_inherits AS i WHERE i.inhparent IN ('cx.event'::regclass, 'cx.feedback'::regclass, 'cx.purchase'::regclass)) AS p
GROUP BY parent ORDER BY parent;
-- every table and column says what it is
SELECT c.relname, a.attname
FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND (obj_description(c.oid, 'pg_class') IS NULL
       OR (NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL))
ORDER BY 1, 2;
-- none of it belongs to the extension
SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e'
   AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'cx'::regnamespace);

-- upgrading what is up to date changes nothing, and views built on ours stay
CREATE VIEW public.mine AS SELECT * FROM cx.metric_score;
CREATE TEMPORARY TABLE before AS
    SELECT s.*, (SELECT count(*) FROM pg_class WHERE relnamespace = 'cx'::regnamespace) AS relations FROM cx.store AS s;
SELECT cxm.upgrade_store() = cxm.version() AS up_to_date;
SELECT cxm.upgrade_store() = cxm.version() AS up_to_date;
SELECT count(*) AS unchanged
FROM cx.store AS s JOIN before AS b ON (s.version, s.time_zone, s.week_start, s.created_at) = (b.version, b.time_zone, b.week_start, b.created_at)
 AND s.upgraded_at IS NULL AND b.relations = (SELECT count(*) FROM pg_class WHERE relnamespace = 'cx'::regnamespace);
SELECT count(*) FROM public.mine;
DROP VIEW cx.metric_score CASCADE;
SELECT cxm.upgrade_store() = cxm.version() AS up_to_date;
SELECT to_regclass('cx.metric_score') AS view_made_anew;
-- newer, unknown, nonsense
SAVEPOINT s;
UPDATE cx.store SET version = '99.0.0';
\set VERBOSITY sqlstate
SELECT cxm.upgrade_store();
ROLLBACK TO s;
UPDATE cx.store SET version = '0.0.9';
SELECT cxm.upgrade_store();
ROLLBACK TO s;
\set VERBOSITY default
UPDATE cx.store SET version = 'dev';
SELECT cxm.upgrade_store();
\echo :SQLSTATE
ROLLBACK TO s;
SELECT cxm.grant_store('postgres', 'admin');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT cxm.grant_store('cxm_no_such_role');
\echo :SQLSTATE
ROLLBACK TO s;
-- NULL asks for nothing
SELECT cxm.grant_store(NULL) IS NULL AS nothing;
ROLLBACK;
