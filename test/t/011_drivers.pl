# Drivers of real answers: 47 Swiss provinces of 1888 (R's own example) and the San Francisco airport passenger survey
# of 2017 (DataSF, public domain). The reference figures are those of the R packages relaimpo and stats.
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and the data in CXM_DATA.

use strict;
use warnings;

use Test::More;

my $data = $ENV{CXM_DATA};
my $swiss = defined $data ? "$data/key_drivers/swiss.csv" : '';
my $sfo = defined $data ? "$data/sfo_survey/2017_SFO_Customer_Survey.csv" : '';
plan skip_all => 'CXM_DATA is not set' if !defined $data;
plan skip_all => 'key_drivers and sfo_survey are not in CXM_DATA' unless -r $swiss && -r $sfo;

# Output of statements, or of their error where one fails
sub psql
{
	my (@statements) = @_;
	open(my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', map { ('-c', $_) } @statements)
	  or die "cannot run psql: $!";
	local $/;
	my $text = <$out> // '';
	close $out;
	$text =~ s{\n\z}{};
	return $text;
}

# Are the numbers of an array these, to so much?
sub near
{
	my ($line, $expected, $tolerance, $name) = @_;
	my @got = split /[|,]/, $line =~ s/^\{|\}$//gr;
	my $ok = @got == @$expected;
	for my $i (0 .. $#$expected)
	{
		$ok &&= $got[$i] =~ /^[-+.0-9e]+$/ && abs($got[$i] - $expected->[$i]) < $tolerance;
	}
	ok($ok, $name) or diag("got $line, expected @$expected");
	return;
}

sub columns
{
	my ($file) = @_;
	open(my $fh, '<', $file) or die "cannot read $file: $!";
	my $header = <$fh>;
	close $fh;
	$header =~ s/\r?\n$//;
	$header =~ s/"//g;
	return map { my $column = lc($_ eq '' ? 'name' : $_); $column =~ s/\W/_/g; $column } split /,/, $header;
}

is(psql('SELECT cxm.version() IS NOT NULL'), 't', 'a server with cxm') or BAIL_OUT('no server to test');
is(psql('CREATE TABLE swiss (' . join(', ', map { $_ eq 'name' ? "$_ text" : "$_ double precision" } columns($swiss)) . ')'), '', 'table');
is(psql("\\copy swiss FROM '$swiss' (FORMAT csv, HEADER true)"), '', 'load');
my $x = 'ARRAY[agriculture, examination, education, catholic, infant_mortality]';
my $c = "(SELECT cxm.comoments_agg(fertility, $x) AS c FROM swiss) AS s";

my @lmg = (.0570912208, .1711730290, .2601346787, .1055701504, .1127659229);
my @johnson = (.0484168958, .1547082498, .2719641046, .1146800299, .1169657214);
near(psql("SELECT cxm.drivers_lmg(c) FROM $c"), \@lmg, 1e-10, 'swiss: LMG');
near(psql("SELECT cxm.drivers_johnson(c) FROM $c"), \@johnson, 1e-10, 'swiss: Johnson');
near(psql("SELECT cxm.drivers_betas(c) FROM $c"), [ -.31292128, -.16477822, -.67040078, .34760003, .25113598 ], 5e-9, 'swiss: standardised coefficients');
near(psql("SELECT cxm.drivers_r2(c) FROM $c"), [.7067350016], 1e-10, 'swiss: R squared');

# lm(Fertility ~ ., swiss), as the help pages of R print it
near(psql("SELECT array_agg(coefficient ORDER BY driver) FROM $c, cxm.drivers_coefficients(c)"), [ -.17211, -.25801, -.87094, .10412, 1.07705 ], 5e-6, 'swiss: coefficients');
near(psql("SELECT array_agg(std_error ORDER BY driver) FROM $c, cxm.drivers_coefficients(c)"), [ .07030, .25388, .18303, .03526, .38172 ], 5e-6, 'swiss: standard errors');
near(psql("SELECT array_agg(t ORDER BY driver) FROM $c, cxm.drivers_coefficients(c)"), [ -2.448, -1.016, -4.758, 2.953, 2.822 ], 5e-4, 'swiss: t');
near(psql("SELECT adjusted_r2, df FROM $c, cxm.drivers_fit(c)"), [ .671, 41 ], 5e-4, 'swiss: adjusted R squared');

# any number of parts, in any order, and pairwise, since nothing is missing
near(psql("SELECT cxm.drivers_lmg(cxm.rollup(c ORDER BY md5(name))) FROM (SELECT name, cxm.comoments_agg(fertility, $x) AS c FROM swiss GROUP BY name) AS s"), \@lmg, 1e-10, 'swiss: in parts');
near(psql("SELECT cxm.drivers_johnson(cxm.comoments_agg(fertility + 1e9, $x, 'pairwise')) FROM swiss"), \@johnson, 1e-6, 'swiss: pairwise and far from 0');
is(psql("SELECT bool_and(lower < importance AND importance < upper) FROM cxm.driver_report('SELECT * FROM swiss', 'fertility', '{agriculture,examination,education,catholic,infant_mortality}')"), 't', 'swiss: intervals');

# a session has LAPACK from the first driver on, and not before
SKIP:
{
	skip 'no /proc/self/maps here', 1 unless -r '/proc/self/maps';
	my $maps = "SELECT pg_read_file('/proc/self/maps') ~ 'lapack'";
	is(psql("SELECT cxm.correlation(c, 0, 1) > 0 FROM $c", $maps, "SELECT cxm.drivers_r2(c) > 0 FROM $c", $maps), "t\nf\nt\nt", 'LAPACK is loaded when it is needed');
}

is(psql('CREATE TABLE sfo (' . join(', ', map { "$_ text" } columns($sfo)) . ')'), '', 'table');
is(psql("\\copy sfo FROM '$sfo' (FORMAT csv, HEADER true)"), '', 'load');
my @ratings = qw(q7all q7art q7food q7store q7sign q7walkways q7screens);
is(psql('CREATE TABLE sfo_answer AS SELECT ' . join(', ', map { "(CASE WHEN $_ IN ('1', '2', '3', '4', '5') THEN $_ END)::smallint AS $_" } @ratings) . ", nullif(netpro, '11')::smallint AS netpro, weight::double precision FROM sfo"), '', 'ratings');
$x = 'ARRAY[' . join(', ', @ratings[ 1 .. 6 ]) . ']::double precision[]';
$c = "(SELECT cxm.comoments_agg(q7all, $x) AS c FROM sfo_answer) AS s";
is(psql("SELECT (cxm.comoments_summary(c)).rows, (cxm.comoments_summary(c)).complete FROM $c"), '2831|1850', 'SFO: rows, and those without a gap');
near(psql("SELECT cxm.drivers_r2(c) FROM $c"), [.5375704920], 1e-10, 'SFO: R squared');
near(psql("SELECT cxm.drivers_lmg(c) FROM $c"), [ .0749019755, .1029905708, .0825837422, .0953124897, .0956335327, .0861481810 ], 1e-10, 'SFO: LMG');

# pairwise uses every rating; each of its correlations is that of the built-in aggregate
is(psql("SELECT bool_and(abs(cxm.correlation(c, i, j) - r) < 1e-12) FROM (SELECT cxm.comoments_agg(q7all, $x, 'pairwise') AS c FROM sfo_answer) AS s, (VALUES "
	  . join(', ', map { my $i = $_; map { "($i, $_, (SELECT corr($ratings[$i], $ratings[$_]) FROM sfo_answer))" } 0 .. $i - 1 } 1 .. 6)
	  . ') AS v(i, j, r)'), 't', 'SFO: pairwise correlations');
is(psql("SELECT status FROM cxm.drivers_fit((SELECT cxm.comoments_agg(q7all, $x, 'pairwise') FROM sfo_answer))"), 'ok', 'SFO: pairwise is positive definite');
is(psql("SELECT (cxm.drivers_fit(cxm.comoments_agg(cxm.nps_points(netpro), $x, weight))).status FROM sfo_answer"), 'ok', 'SFO: NPS by weighted ratings');
is(psql('DROP TABLE swiss, sfo, sfo_answer'), '', 'cleared');

done_testing();
