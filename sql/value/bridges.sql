-- What holds a graph together: bridges, a spanning forest, the shortest path.

CREATE FUNCTION cxm.bridges(a bigint[], b bigint[], marked bigint[] DEFAULT '{}',
                            OUT place bigint, OUT node_a bigint, OUT node_b bigint, OUT size_a bigint, OUT size_b bigint,
                            OUT marked_a bigint, OUT marked_b bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_bridges_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000 ROWS 1000;

COMMENT ON FUNCTION cxm.bridges(bigint[], bigint[], bigint[]) IS
'The bridges of the undirected graph whose edges are (a[i], b[i]): the edges without which their component falls apart. A row a bridge, in the order of the edges: place (from 1) and ends of the edge, the number of nodes that its removal leaves on the side of node_a and of node_b, and how many entries of marked are on either side (a node that is named twice counts twice, one that is not in the graph not at all). Of two edges between the same nodes neither is a bridge, nor is an edge from a node to itself. Time and memory grow with the number of edges, beyond sorting their ends. NULL arguments give no rows; a NULL element, an array of more than one dimension, or a and b of different length, is an error.';

CREATE FUNCTION cxm.spanning_forest(a bigint[], b bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_spanning_forest_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000;

COMMENT ON FUNCTION cxm.spanning_forest(bigint[], bigint[]) IS
'Places (from 1, ascending) of the edges (a[i], b[i]) that join two components when the edges are taken in their order: with the strongest edges first, the strongest spanning forest. An edge that is not among them is redundant. Empty for no edges; NULL for a NULL array; errors as of cxm.bridges().';

CREATE FUNCTION cxm.shortest_path(a bigint[], b bigint[], source bigint, target bigint) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_shortest_path_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000;

COMMENT ON FUNCTION cxm.shortest_path(bigint[], bigint[], bigint, bigint) IS
'Places (from 1) of the edges (a[i], b[i]) on a way with the fewest edges from source to target, in the order of the way. Of equally short ones it is the way whose last edge, in the order of the edges, comes earliest: with the strongest edges first, the way whose weakest edge is strongest. Empty from a node to itself; NULL when there is no way, or for a NULL argument; errors as of cxm.bridges().';
