# The San Francisco airport passenger survey of 2017 (DataSF, public domain): real answers, real figures.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and the survey in
# ../shared/data/sfo_survey, beside the project; without it the test is skipped. Works in a database of its own.
# The reference figures are those of the R package NPS.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

my $csv = dirname(abs_path(__FILE__)) . '/../../../shared/data/sfo_survey/2017_SFO_Customer_Survey.csv';
plan skip_all => 'the SFO survey is not here (../shared/data/sfo_survey)' unless -r $csv;

my $database = "cxm_sfo_$$";
my $maintenance = $ENV{PGDATABASE} // 'postgres';

# Output of a query, or of its error where it fails
sub psql
{
	my ($db, $sql) = @_;
	open(my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $db, '-c', $sql)
	  or die "cannot run psql: $!";
	local $/;
	my $text = <$out>;
	close $out;
	$text =~ s{\n\z}{};
	return $text;
}

# Are the numbers of a line these, to so much?
sub near
{
	my ($line, $expected, $tolerance, $name) = @_;
	my @got = split /\|/, $line;
	my $ok = @got == @$expected;
	for my $i (0 .. $#$expected)
	{
		$ok &&= $got[$i] =~ /^[-+.0-9e]+$/ && abs($got[$i] - $expected->[$i]) < $tolerance;
	}
	ok($ok, $name) or diag("got $line, expected @$expected");
}

is(psql($maintenance, "CREATE DATABASE $database"), '', 'a database to work in') or BAIL_OUT('no server to test');
END { local $?; psql($maintenance, "DROP DATABASE IF EXISTS $database") if $database && defined $maintenance && -r $csv; }

open(my $fh, '<', $csv) or die "cannot read $csv: $!";
my $header = <$fh>;
close $fh;
$header =~ s/\r?\n$//;
my $columns = join ', ', map { lc($_) . ' text' } split /,/, $header;

is(psql($database, 'CREATE EXTENSION cxm'), '', 'extension');
is(psql($database, "CREATE TABLE survey ($columns)"), '', 'table');
is(psql($database, "\\copy survey FROM '$csv' (FORMAT csv, HEADER true)"), '', 'load');
is(psql($database, 'SELECT count(*) FROM survey'), '2831', 'all interviews are there');

# 11 stands for no answer: it must not be counted, and not be dropped unseen either
like(psql($database, 'SELECT cxm.nps(netpro::integer) FROM survey'), qr/score 11 is not on the scale 0 to 10/, 'the code for no answer is refused');
is(psql($database, "CREATE VIEW answer AS SELECT nullif(netpro, '11')::smallint AS score, strata, (CASE WHEN q7all IN ('1', '2', '3', '4', '5') THEN q7all END)::smallint AS overall FROM survey"), '', 'view');

my $r = '(SELECT cxm.nps_agg(score) AS r FROM answer) AS s';
is(psql($database, "SELECT cxm.count(r), cxm.detractors(r), cxm.passives(r), cxm.promoters(r) FROM $r"), '2746|342|968|1436', 'n, detractors, passives, promoters');
near(psql($database, 'SELECT cxm.nps(score) FROM answer'), [39.83976693], 6e-9, 'NPS');
near(psql($database, "SELECT lower, upper FROM $r, cxm.nps_interval(r, 0.95, 'wald')"), [ 37.22490620, 42.45462767 ], 6e-9, 'Wald interval');
near(psql($database, "SELECT lower, upper FROM $r, cxm.nps_interval(r)"), [ 37.18236072, 42.41021840 ], 6e-9, 'adjusted Wald interval');

# R iterates to about seven digits
near(psql($database, "SELECT lower, upper FROM $r, cxm.nps_interval(r, method => 'score')"), [ 37.18941745, 42.41884599 ], 1e-5, 'score interval');

# every type that such a column may have
for my $type (qw(integer bigint numeric real), 'double precision', 'numeric(4,1)')
{
	is(psql($database, "SELECT cxm.nps_agg(score::$type) OPERATOR(cxm.=) cxm.nps_agg(score) FROM answer"), 't', "$type scores");
}
is(psql($database, "SELECT cxm.rollup(part) OPERATOR(cxm.=) (SELECT cxm.nps_agg(score) FROM answer) FROM (SELECT cxm.nps_agg(score) AS part FROM answer GROUP BY strata) AS parts"), 't', 'strata roll up to the whole');
is(psql($database, 'SELECT abs(cxm.csat(overall) - 100.0 * count(*) FILTER (WHERE overall >= 4) / count(overall)) < 1e-9 FROM answer'), 't', 'CSAT of the overall rating');
is(psql($database, 'SELECT abs(cxm.mean(cxm.csat_agg(overall)) - avg(overall)) < 1e-12 AND abs(cxm.stddev(cxm.csat_agg(overall)) - stddev(overall)) < 1e-9 FROM answer'), 't', 'its mean and deviation');

done_testing();
