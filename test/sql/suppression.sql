-- Which counts of nested groups may be shown.
\set SHOW_CONTEXT never
SELECT cxm.suppress_groups('{30,20,7,3}', '{0,1,1,1}');
SELECT cxm.suppress_groups('{30,20,7,3}', '{0,1,1,1}', 3), cxm.suppress_groups('{30,20,7,3}', '{0,1,1,1}', 31), cxm.suppress_groups('{30,20,7,0}', '{0,1,1,1}', 5);
SELECT cxm.suppress_groups('{40,20,20,10,10,17,3}', '{0,1,1,2,2,3,3}', 5);
SELECT cxm.suppress_groups('{}', '{}'), cxm.suppress_groups(NULL, '{}'), cxm.suppress_groups('{0}', '{0}');
-- a thousand groups in a row, each within the one before
SELECT array_agg(DISTINCT s) FROM unnest(cxm.suppress_groups(ARRAY(SELECT 5000 - i FROM generate_series(1, 1000) AS i), ARRAY(SELECT i - 1 FROM generate_series(1, 1000) AS i))) AS s;
-- by answer: a group of one opinion is as telling as a small one, and so is what would be left over
SELECT cxm.suppress_groups('{{9,11},{9,1},{0,10}}', '{0,1,1}'), cxm.suppress_groups('{20,10,10}', '{0,1,1}');
SELECT cxm.suppress_groups('{{9,21},{4,6},{5,5},{0,0}}', '{0,1,1,1}'), cxm.suppress_groups('{{0,30},{0,20}}', '{0,1}'), cxm.suppress_groups('{{7},{6}}', '{0,1}');
SELECT cxm.suppress_groups('{{4,6,1},{3,6,1}}', '{0,1}'), cxm.suppress_groups('{{0,0},{0,0}}', '{0,1}', 3);
SELECT cxm.suppress_groups('{{5,5},{6,1}}', '{0,1}');
SELECT cxm.suppress_groups('{{9223372036854775807,1}}', '{0}');
SELECT cxm.suppress_groups('{{5,-1}}', '{0}');
SELECT cxm.suppress_groups('{{5,NULL}}', '{0}');
-- several questions: a group of one opinion in one is hidden in all, with what is hidden with it; a small one in that one alone
SELECT cxm.suppress_groups('{{{18,15},{16,17}},{{6,1},{3,4}},{{0,6},{3,3}},{{12,8},{10,10}}}', '{0,1,1,1}'), cxm.suppress_groups('{{{12,8},{16,17}},{{1,1},{3,4}},{{5,5},{3,3}},{{6,2},{10,10}}}', '{0,1,1,1}');
SELECT cxm.suppress_groups('{{{5}}}', '{0}'), cxm.suppress_groups('{{{3,4},{0,0}},{{3,4},{0,1}}}', '{0,1}');
SELECT cxm.suppress_groups('{{{{5}}}}', '{0}');
SELECT cxm.suppress_groups('{{5,5}}', '{{0}}');
SELECT cxm.suppress_groups('{{5,5},{5,5}}', '{0}');
-- fifty thousand groups side by side
SELECT s, count(*) FROM unnest(cxm.suppress_groups(ARRAY(SELECT CASE WHEN i = 0 THEN 350000 ELSE 3 + i % 9 END FROM generate_series(0, 50000) AS i), ARRAY(SELECT (i > 0)::integer FROM generate_series(0, 50000) AS i))) AS s GROUP BY s ORDER BY s;
SELECT cxm.suppress_groups('{1}', '{0,1}');
SELECT cxm.suppress_groups('{1,NULL}', '{0,1}');
SELECT cxm.suppress_groups('{1,2}', '{0,1}');
SELECT cxm.suppress_groups('{3,2,2}', '{0,1,1}');
SELECT cxm.suppress_groups('{3,2}', '{0,2}');
SELECT cxm.suppress_groups('{3,2}', '{0,0}');
SELECT cxm.suppress_groups('{3}', '{1}');
SELECT cxm.suppress_groups('{-1}', '{0}');
SELECT cxm.suppress_groups('{3}', '{0}', 0);
