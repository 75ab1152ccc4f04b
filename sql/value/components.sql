-- Connected components of a graph.

CREATE FUNCTION cxm.components(a bigint[], b bigint[], OUT member bigint, OUT component bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_components_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 1000;

COMMENT ON FUNCTION cxm.components(bigint[], bigint[]) IS
'Connected components of the undirected graph whose edges are (a[i], b[i]): a row a node, in ascending order, with the least node of its component. The answer does not depend on the order of the edges. NULL arrays give no rows; a NULL element, or arrays of different length, is an error.';
