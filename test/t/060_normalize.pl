# Normalisation in databases of other encodings: whatever bytes come, it answers, and what it has normalised it leaves
# alone. In a UTF8 database test/sql/normalize.sql does the same.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual); makes databases of its own.

use strict;
use warnings;

use Test::More;

my $maintenance = $ENV{PGDATABASE} // 'postgres';
my $database = "${maintenance}_encoding";

# Output of a query, or of its error where it fails
sub psql
{
	my ($db, $sql) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	open(my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $db, '-c', $sql)
	  or die "cannot run psql: $!";
	local $/;
	my $text = <$out>;
	close $out;
	$text =~ s{\n\z}{};
	return $text;
}

for my $encoding ('SQL_ASCII', 'LATIN1', 'EUC_JP')
{
	is(psql($maintenance, qq{DROP DATABASE IF EXISTS "$database"}), '', "$encoding: no database is left");
	is(psql($maintenance, qq{CREATE DATABASE "$database" ENCODING '$encoding' LOCALE 'C' TEMPLATE template0}), '', "$encoding: a database");
	is(psql($database, 'CREATE EXTENSION cxm'), '', "$encoding: with the extension");

	is(psql($database, q{SELECT cxm.normalize_email(' Ann@X.org'), cxm.normalize_phone('030 123456', 'DE'), cxm.normalize_name('Dr. Ann O''Brien-Lee'), cxm.address_tokens('5 N. Main St.'), cxm.normalize_date('3 Apr 2026')}),
		'ann@x.org|+4930123456|ann obrien lee|{5,main,north,street}|2026-04-03', "$encoding: ASCII as everywhere");

	# a letter beyond ASCII: one byte, or two that belong together
	my $letter = $encoding eq 'EUC_JP' ? '\\xb0a1' : '\\xc9';
	is(psql($database, qq{SELECT convert_to(cxm.normalize_name('A' || v || '-B'), '$encoding') = '\\x61' || convert_to(v, '$encoding') || '\\x2062', cxm.normalize_phone('030 123456' || v, 'DE') IS NULL,
			cxm.normalize_text(' ' || v || ' ') = v, cxm.normalize_email(v || '\@x') IS NOT NULL FROM (SELECT convert_from('$letter', '$encoding') AS v) AS s}),
		't|t|t|t', "$encoding: other letters stay as they are");

	# random bytes; those that are no text of the encoding are left out
	is(psql($database, qq{
		CREATE FUNCTION text_of(bytes bytea) RETURNS text LANGUAGE plpgsql AS \$f\$
		BEGIN
			RETURN convert_from(bytes, '$encoding');
		EXCEPTION
			WHEN character_not_in_repertoire OR untranslatable_character THEN RETURN NULL;
		END \$f\$;
		CREATE TABLE sample AS
		SELECT t.value FROM generate_series(1, 20000) AS n, LATERAL (SELECT text_of(substr(decode(md5(n::text), 'hex'), 1, 1 + n % 6) || (ARRAY['', '\@x', ' 030 123456', 'Ann', ' ', '\@gmail.com'])[1 + n % 6]::bytea) AS value OFFSET 0) AS t
		WHERE t.value IS NOT NULL;
		SELECT count(*) > 500,
			   bool_and(cxm.normalize_text(cxm.normalize_text(value)) = cxm.normalize_text(value)),
			   bool_and(cxm.normalize_email(e) = e), bool_and(cxm.normalize_phone(p, 'DE') = p), bool_and(cxm.normalize_name(m) = m),
			   bool_and(cxm.address_tokens(array_to_string(cxm.address_tokens(value), ' ')) = cxm.address_tokens(value)),
			   bool_and(m IS NULL OR m = ANY (cxm.formal_names(value)))
		FROM sample, LATERAL (SELECT cxm.normalize_email(value, '{"dots": true, "plus": true, "aliases": true}') AS e, cxm.normalize_phone(value, 'DE', 'possible') AS p, cxm.normalize_name(value) AS m OFFSET 0) AS o}),
		't|t|t|t|t|t|t', "$encoding: random bytes");
	psql($maintenance, qq{DROP DATABASE "$database"});
}

done_testing();
