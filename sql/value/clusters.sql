-- Clusters of scored links.

CREATE FUNCTION cxm.clusters(a text[], b text[], weight double precision[], max_size integer DEFAULT 100, min_density double precision DEFAULT 0.25,
    OUT member text, OUT cluster text, OUT size integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_clusters_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000 ROWS 1000;

COMMENT ON FUNCTION cxm.clusters(text[], text[], double precision[], integer, double precision) IS
'Clusters of the undirected links (a[i], b[i]) with weights: a row a member, in ascending order of bytes, with the least member of its cluster and how many members that has. Links are taken heaviest first (equal ones by their ends). One is refused that would make a cluster of more than max_size members, or that would join two clusters with fewer links between them than the share min_density (0 to 1) of the pairs across: 0 joins along every link, 1 only what is linked pair by pair. Of several links between the same two the heaviest counts; a link of a member to itself only names it. The answer does not depend on the order of the links. NULL arrays give no rows. NULL elements raise null_value_not_allowed (22004), arrays of different length array_subscript_error (2202E), other arguments invalid_parameter_value (22023).';
