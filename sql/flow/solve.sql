-- Who is one, for the links of any query: the solver of the store, without a store. The queries run under the rights of
-- the caller.

CREATE FUNCTION cxm.solve(links text, identifiers text DEFAULT NULL, limits jsonb DEFAULT NULL, max_links integer DEFAULT NULL,
    OUT member bigint, OUT component bigint, OUT is_generic boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_solve_sql'
LANGUAGE C VOLATILE PARALLEL UNSAFE
COST 1000000 ROWS 1000000;

COMMENT ON FUNCTION cxm.solve(text, text, jsonb, integer) IS
'Connected components of the graph whose links a query gives, a row a node, in no order; component is the least member. links: a query of two columns of an integer type, the ends of a link, and perhaps a third, a number or a time: links with a smaller one are stronger. identifiers: a query of two columns, a node and its namespace; its nodes are in the answer even without a link. limits, by namespace: how many of it a component may have, or {"max_per_profile", "max_window", "is_unique", "max_links"} as in cx.namespace; links are taken strongest first, ties by a hash of the two ends, and one that would break a limit is left out. max_links: a node linked to more different nodes is generic and joins nobody; where there are limits only nodes of a limited namespace count. The answer does not depend on the order of the rows. Columns of other number or type raise datatype_mismatch (42804), NULL in them null_value_not_allowed (22004), limits of another form, or without identifiers, invalid_parameter_value (22023), a node in two namespaces unique_violation (23505), 2^31 nodes program_limit_exceeded (54000). No rows when links is NULL.';

CREATE FUNCTION cxm.solve_text(links text, identifiers text DEFAULT NULL, limits jsonb DEFAULT NULL, max_links integer DEFAULT NULL,
    OUT member text, OUT component text, OUT is_generic boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_solve_text_sql'
LANGUAGE C VOLATILE PARALLEL UNSAFE
COST 1000000 ROWS 1000000;

COMMENT ON FUNCTION cxm.solve_text(text, text, jsonb, integer) IS
'cxm.solve() for nodes whose names are texts: the columns of nodes are of type text. Names are one when their bytes are; component is the least in the order of the bytes. Errors as of cxm.solve(). No rows when links is NULL.';

CREATE FUNCTION cxm.solve_refused(links text, identifiers text DEFAULT NULL, limits jsonb DEFAULT NULL, max_links integer DEFAULT NULL,
    OUT a text, OUT b text, OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_solve_refused_sql'
LANGUAGE C VOLATILE PARALLEL UNSAFE
COST 1000000 ROWS 1000;

COMMENT ON FUNCTION cxm.solve_refused(text, text, jsonb, integer) IS
'The links that cxm.solve() or, for nodes of type text, cxm.solve_text() leaves out with these arguments, a row a row of links, in no order: reason is generic (an end is linked to too many), unique or limit (it would break that limit, and its ends are in two components). Integers are written as text. Errors as of cxm.solve(). No rows when links is NULL.';
