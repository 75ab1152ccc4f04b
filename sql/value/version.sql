-- The version of the installed library. The store's own version is cxm.store_version().

CREATE FUNCTION cxm.version() RETURNS text
AS 'MODULE_PATHNAME', 'cxm_version'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.version() IS
'Version of the cxm library that is loaded, such as 0.1.0. It equals extversion in pg_extension when ALTER EXTENSION cxm UPDATE has been run.';
