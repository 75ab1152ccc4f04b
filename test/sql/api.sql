-- The whole interface of the extension, object by object: whatever is added, removed or marked otherwise shows
-- here. Below stand rules that every object keeps; each of those queries gives no row.
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\set VERBOSITY terse
SET client_min_messages = warning;
SET search_path = pg_catalog, pg_temp;

CREATE TEMPORARY VIEW member AS
SELECT d.classid, d.objid, i.type, i.identity
  FROM pg_extension AS e
  JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
 CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS i
 WHERE e.extname = 'cxm'
   -- array types are members from 17 on
   AND NOT EXISTS (SELECT 1 FROM pg_type AS t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND t.typcategory = 'A');

CREATE TEMPORARY VIEW routine AS
SELECT p.*, m.identity, l.lanname
  FROM member AS m
  JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
  JOIN pg_language AS l ON l.oid = p.prolang;

-- functions and procedures
SELECT CASE prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'w' THEN 'window' END AS kind,
       proname AS name,
       pg_get_function_arguments(oid) AS arguments,
       pg_get_function_result(oid) AS result,
       lanname AS language,
       CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' WHEN 'v' THEN 'volatile' END AS volatility,
       CASE WHEN proisstrict THEN 'strict' ELSE 'called on null' END AS nulls,
       CASE proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'restricted' WHEN 'u' THEN 'unsafe' END AS parallel,
       CASE WHEN prosecdef THEN 'definer' ELSE 'invoker' END AS security,
       array_to_string(proconfig, '; ') AS config
  FROM routine
 WHERE prokind <> 'a'
 ORDER BY identity COLLATE "C";

-- aggregates
SELECT p.proname AS name,
       pg_get_function_arguments(p.oid) AS arguments,
       pg_get_function_result(p.oid) AS result,
       CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'restricted' WHEN 'u' THEN 'unsafe' END AS parallel,
       a.aggtransfn::regprocedure AS transition,
       a.aggtranstype::regtype AS state,
       a.aggtransspace AS space,
       a.agginitval AS initial,
       nullif(a.aggcombinefn::oid, 0)::regprocedure AS combine,
       nullif(a.aggserialfn::oid, 0)::regprocedure AS serial,
       nullif(a.aggdeserialfn::oid, 0)::regprocedure AS deserial,
       nullif(a.aggfinalfn::oid, 0)::regprocedure AS final,
       a.aggfinalmodify AS modify,
       nullif(a.aggmtransfn::oid, 0)::regprocedure AS moving,
       nullif(a.aggminvtransfn::oid, 0)::regprocedure AS inverse,
       nullif(a.aggmtranstype, 0)::regtype AS moving_state,
       a.aggmtransspace AS moving_space,
       nullif(a.aggmfinalfn::oid, 0)::regprocedure AS moving_final
  FROM routine AS p
  JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
 ORDER BY p.identity COLLATE "C";

-- types
SELECT t.typname AS name,
       CASE t.typtype WHEN 'b' THEN 'base' WHEN 'c' THEN 'composite' WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum'
            WHEN 'r' THEN 'range' ELSE t.typtype::text END AS kind,
       t.typlen AS length, t.typbyval AS by_value, t.typalign AS alignment, t.typstorage AS storage,
       t.typinput::regprocedure AS input, t.typoutput::regprocedure AS output, nullif(t.typreceive::oid, 0)::regprocedure AS receive, nullif(t.typsend::oid, 0)::regprocedure AS send
  FROM member AS m
  JOIN pg_type AS t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
 ORDER BY m.identity COLLATE "C";

-- operators
SELECT m.identity AS operator, o.oprresult::regtype AS result, o.oprcode::regprocedure AS function,
       nullif(o.oprcom, 0)::regoperator AS commutator, nullif(o.oprnegate, 0)::regoperator AS negator,
       nullif(o.oprrest::oid, 0)::regprocedure AS restriction, nullif(o.oprjoin::oid, 0)::regprocedure AS "join", o.oprcanhash AS hashes, o.oprcanmerge AS merges
  FROM member AS m
  JOIN pg_operator AS o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
 ORDER BY m.identity COLLATE "C";

-- casts
SELECT m.identity AS "cast", nullif(c.castfunc, 0)::regprocedure AS function,
       CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' WHEN 'e' THEN 'explicit' END AS context,
       CASE c.castmethod WHEN 'f' THEN 'function' WHEN 'b' THEN 'binary' WHEN 'i' THEN 'text' END AS method
  FROM member AS m
  JOIN pg_cast AS c ON m.classid = 'pg_cast'::regclass AND c.oid = m.objid
 ORDER BY m.identity COLLATE "C";

-- operator classes
SELECT m.identity AS operator_class, c.opcintype::regtype AS type, c.opcdefault AS "default",
       (SELECT string_agg(format('%s %s', a.amopstrategy, a.amopopr::regoperator), ', ' ORDER BY a.amopstrategy)
          FROM pg_amop AS a WHERE a.amopfamily = c.opcfamily) AS operators,
       (SELECT string_agg(format('%s %s', a.amprocnum, a.amproc::regprocedure), ', ' ORDER BY a.amprocnum)
          FROM pg_amproc AS a WHERE a.amprocfamily = c.opcfamily) AS functions
  FROM member AS m
  JOIN pg_opclass AS c ON m.classid = 'pg_opclass'::regclass AND c.oid = m.objid
 ORDER BY m.identity COLLATE "C";

-- whatever else belongs to the extension
SELECT type, identity
  FROM member
 WHERE type NOT IN ('function', 'procedure', 'aggregate', 'type', 'operator', 'cast', 'operator class')
 ORDER BY type COLLATE "C", identity COLLATE "C";

--
-- Rules: no row
--

-- the views above found the extension
SELECT 'no member' AS broken WHERE NOT EXISTS (SELECT 1 FROM routine WHERE proname = 'version');

-- every object has a comment
SELECT m.type AS uncommented, m.identity
  FROM member AS m
 WHERE m.type IN ('function', 'procedure', 'aggregate', 'type', 'composite type', 'domain', 'operator', 'cast', 'view')
   AND obj_description(m.objid, m.classid::regclass::name) IS NULL
   AND NOT EXISTS (SELECT 1 FROM pg_operator AS o
                    WHERE m.classid = 'pg_proc'::regclass AND o.oprcode = m.objid
                      AND obj_description(o.oid, 'pg_operator') IS NOT NULL)
 ORDER BY 1, m.identity COLLATE "C";

-- nobody runs with another's rights
SELECT identity AS definer FROM routine WHERE prosecdef;

-- data is not the extension's: no table, no sequence, no view of it is a member
SELECT m.type AS relation, m.identity
  FROM member AS m
  JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
 WHERE c.relkind <> 'c';

-- symbols of a shared library are known to the whole process
SELECT identity AS symbol, prosrc FROM routine WHERE lanname = 'c' AND prosrc NOT LIKE 'cxm\_%';

-- names in a body mean the same whoever calls; only what commits, or calls what does, cannot have the setting
SELECT identity AS loose_search_path
  FROM routine
 WHERE lanname = 'plpgsql'
   AND NOT (prokind = 'p' AND prosrc ~* '\m(COMMIT|ROLLBACK|CALL)\M')
   AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'));

-- those that cannot name the schema of each operator, and have none that is written in words: NULLIF is one, too
SELECT identity AS unqualified, (regexp_match(body, '.{0,30}' || pattern || '.{0,30}', 'i'))[1] AS operator
  FROM routine,
       LATERAL regexp_replace(prosrc, '--[^\n]*|''([^'']|'''')*''', '''''', 'g') AS body,
       LATERAL (SELECT '(\m(?:nullif|between|like|ilike|similar to|distinct from|any|all|some|overlaps)\M|\mcase\s+(?!when)|\min\s*\(|\s(?:<|>|<=|>=|<>|!=|\+|-|\*|/|\|\||~|->>?|@>)\s)' AS pattern) AS p
 WHERE lanname = 'plpgsql' AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))
   AND body ~* pattern;

-- a SQL function with a string for a body is parsed anew at each call, under the caller's search_path; one that is
-- there to be inlined cannot have the setting, but those that call it do
SELECT identity AS late_parsed
  FROM routine
 WHERE lanname = 'sql' AND prosqlbody IS NULL
   AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))
   AND proname NOT IN ('matching_alert_rules', 'journeys');

-- one unmarked function in a chain makes the whole plan serial
SELECT identity AS serial FROM routine WHERE provolatile = 'i' AND proparallel <> 's';

-- states are values that travel, and combine
SELECT p.identity AS closed_state
  FROM routine AS p
  JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
 WHERE a.aggtranstype = 'internal'::regtype OR a.aggcombinefn = 0;

-- an aggregate runs in parallel only when its parts do
SELECT p.identity AS aggregate, s.oid::regprocedure AS serial
  FROM routine AS p
  JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
  JOIN pg_proc AS s ON s.oid IN (a.aggtransfn, a.aggcombinefn, a.aggfinalfn)
 WHERE s.proparallel <> 's';

-- names of ours stand in our schema
SELECT type, identity
  FROM member
 WHERE identity NOT LIKE 'cxm.%' AND type NOT IN ('schema', 'cast', 'operator class', 'operator family', 'operator', 'event trigger');

-- The same for the store, which is not a member.
BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;

CREATE TEMPORARY VIEW kept AS
SELECT c.oid, c.relname, c.relkind
  FROM pg_class AS c
 WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition;

SELECT 'no store' AS broken WHERE NOT EXISTS (SELECT 1 FROM kept);

-- every table, view and column has a comment
SELECT relname AS uncommented FROM kept WHERE obj_description(oid, 'pg_class') IS NULL ORDER BY relname COLLATE "C";

SELECT k.relname, a.attname AS uncommented
  FROM kept AS k
  JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE col_description(k.oid, a.attnum) IS NULL
 ORDER BY k.relname COLLATE "C", a.attnum;

-- views show standard types only, so that any driver reads them
SELECT k.relname, a.attname, a.atttypid::regtype AS not_standard
  FROM kept AS k
  JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE k.relkind = 'v' AND t.typnamespace <> 'pg_catalog'::regnamespace
 ORDER BY k.relname COLLATE "C", a.attnum;

-- dumps take the store as it is
SELECT k.relname AS member_of_the_extension
  FROM kept AS k
  JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = k.oid AND d.deptype = 'e';

-- DROP EXTENSION takes columns of its types along; journeys are made again from the records
SELECT k.relname, a.attname, a.atttypid::regtype AS goes_with_the_extension
  FROM kept AS k
  JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE k.relkind IN ('r', 'p') AND t.typnamespace = 'cxm'::regnamespace AND k.relname <> 'journey'
 ORDER BY k.relname COLLATE "C", a.attnum;
-- none of its columns holds a number that means something on this server only
SELECT k.relname, a.attname, a.atttypid::regtype AS oid_inside
  FROM kept AS k
  JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE k.relkind IN ('r', 'p') AND a.atttypid IN ('oid'::regtype, 'regproc'::regtype, 'regprocedure'::regtype,
       'regoper'::regtype, 'regoperator'::regtype, 'regnamespace'::regtype, 'regcollation'::regtype)
 ORDER BY k.relname COLLATE "C", a.attnum;

-- every trigger's function is the extension's
SELECT k.relname, t.tgname, t.tgfoid::regprocedure AS foreign_function
  FROM kept AS k
  JOIN pg_trigger AS t ON t.tgrelid = k.oid AND NOT t.tgisinternal
 WHERE NOT EXISTS (SELECT 1 FROM routine AS r WHERE r.oid = t.tgfoid)
 ORDER BY k.relname COLLATE "C", t.tgname COLLATE "C";

ROLLBACK;
