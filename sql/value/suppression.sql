-- Which counts of nested groups may be shown, so that nobody can tell what a small group said.

CREATE FUNCTION cxm.suppress_groups(people bigint[], parents integer[], min_group integer DEFAULT 5) RETURNS text[]
AS 'MODULE_PATHNAME', 'cxm_suppress_groups'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.suppress_groups(bigint[], integer[], integer) IS
'Whether each of several nested groups may be shown. people: how many are in the group, those of the groups within it included; or, in two dimensions, a row a group with how many gave each answer, and then what all of them agree on counts as too telling, too. parents: place of the group that it lies in, from 1, which comes before it; the first group is that of everybody, with 0. small: fewer than min_group people, or all of them with the same answer; with others: hidden for else the rest of its parent would be such a group; with parent: within a group that is hidden; shown: all others, groups of nobody too. Whatever is added up and subtracted from what is shown is about nobody or about min_group people at least, with two different answers among them where answers are known. Errors: 2202E arrays of different lengths; 22003 too many people to count; 22023 a NULL, a parent that does not come before, more people (or more with an answer) within a group than it has, a min_group below 1.';
