# Record linkage on public data with known truth: the parameters that Splink's comparison vectors were drawn from,
# its fake_1000, and FEBRL 4 (5,000 + 5,000 records).
#
# Needs a running server with cxm installed (PGHOST, PGPORT, PGUSER as usual) and the data in $CXM_DATA or in
# ../shared/data, beside the project; without them the test is skipped. Works in a database of its own.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

my $data = $ENV{CXM_DATA} // dirname(abs_path(__FILE__)) . '/../../../shared/data';
for my $file (qw(splink/known_params_comparison_vectors.csv splink/fake_1000.csv febrl/dataset4a.csv febrl/dataset4b.csv))
{
	plan skip_all => "the linkage data are not here ($data/$file)" unless -r "$data/$file";
}

my $database = "cxm_linkage_$$";
my $maintenance = $ENV{PGDATABASE} // 'postgres';
my $made;

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

# Is the number that a query gives between two others?
sub between
{
	my ($sql, $low, $high, $name) = @_;
	my $got = psql($database, $sql);
	my $ok = $got =~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ && $got >= $low && $got <= $high;
	ok($ok, $name);
	diag("got $got, expected $low to $high") unless $ok;
	note("$name: $got");
}

sub load
{
	my ($table, $columns, @files) = @_;
	is(psql($database, "CREATE TABLE $table (" . join(', ', map { "$_ text" } split ' ', $columns) . ')'), '', "table $table");
	is(psql($database, "\\copy $table FROM '$data/$_' (FORMAT csv, HEADER true)"), '', $_) for @files;
}

is(psql($maintenance, "CREATE DATABASE $database"), '', 'a database to work in') or BAIL_OUT('no server to test');
$made = 1;
END { local $?; psql($maintenance, "DROP DATABASE IF EXISTS $database") if $made; }
is(psql($database, 'CREATE EXTENSION cxm'), '', 'extension');

#
# EM: 4,000 vectors of known parameters
#
load('vector', 'g1 g2 g3 match_l match_r id_l id_r probability probability_r match_key', 'splink/known_params_comparison_vectors.csv');
is(psql($database, 'CREATE TABLE em AS SELECT cxm.em(array_agg(ARRAY[g1, g2, g3]::integer[])) AS r FROM vector'), '', 'EM');
my %expected = (
	"r ->> 'lambda'" => .5,
	"r -> 'm' -> 0 ->> 1" => .7, "r -> 'u' -> 0 ->> 1" => .1,
	"r -> 'm' -> 1 ->> 1" => .9, "r -> 'u' -> 1 ->> 1" => .025,
	"r -> 'm' -> 2 ->> 1" => .95, "r -> 'u' -> 2 ->> 1" => .2);
between("SELECT $_ FROM em", $expected{$_} * .99, $expected{$_} * 1.01, $_) for sort keys %expected;
between(<<'SQL', 0, .01, 'the probability of each of the 4,000 pairs, greatest relative error');
SELECT max(abs(odds / (1 + odds) / probability::float8 - 1)) FROM (
    SELECT probability, (r ->> 'lambda')::float8 / (1 - (r ->> 'lambda')::float8)
           * (r -> 'm' -> 0 ->> g1::integer)::float8 / (r -> 'u' -> 0 ->> g1::integer)::float8
           * (r -> 'm' -> 1 ->> g2::integer)::float8 / (r -> 'u' -> 1 ->> g2::integer)::float8
           * (r -> 'm' -> 2 ->> g3::integer)::float8 / (r -> 'u' -> 2 ->> g3::integer)::float8 AS odds
    FROM em, vector) AS v
SQL

#
# fake_1000: a thousand records of 250 people, many fields wrong or missing
#
load('fake', 'unique_id first_name surname dob city email cluster', 'splink/fake_1000.csv');
my $name_levels = '["exact", {"jaro_winkler": 0.92}, {"jaro_winkler": 0.88}, {"jaro_winkler": 0.7}]';
my $fake_settings = <<"JSON";
{"id": "unique_id", "comparisons": [
  {"column": "first_name", "levels": $name_levels, "term_frequency": true},
  {"column": "surname", "levels": $name_levels, "term_frequency": true},
  {"column": "dob", "levels": ["exact", {"damerau": 1}, {"damerau": 2}]},
  {"column": "city", "levels": ["exact"], "term_frequency": true},
  {"column": "email", "levels": ["exact", {"jaro_winkler": 0.88}]}],
 "blocking": ["surname", "dob", "email", ["first_name", "city"]],
 "training": ["dob", ["first_name", "surname"]],
 "deterministic": [["first_name", "dob"], ["first_name", "surname"], "email"], "recall": 0.7}
JSON
my $fake = 'SELECT unique_id, first_name, surname, dob, city, email FROM fake';
is(psql($database, "CREATE TABLE fake_model AS SELECT cxm.linkage_train('$fake', '$fake_settings') AS m"), '', 'training on fake_1000');
is(psql($database, "CREATE TABLE fake_pair AS SELECT p.*, x.cluster = y.cluster AS correct FROM fake_model, cxm.linkage_score('$fake', m, 0) AS p JOIN fake AS x ON x.unique_id = record_a JOIN fake AS y ON y.unique_id = record_b"), '', 'scores of fake_1000');
is(psql($database, 'SELECT count(*), count(DISTINCT (record_a, record_b)) FROM fake_pair'), '2642|2642', 'pairs of fake_1000, each once');
my $fake_true = '(SELECT count(*) FROM fake AS x JOIN fake AS y ON x.cluster = y.cluster AND x.unique_id < y.unique_id)';
between("SELECT round(count(*) FILTER (WHERE correct) / $fake_true\::numeric, 4) FROM fake_pair", .7637, .7637, 'recall of its blocking');
between("SELECT round(2.0 * count(*) FILTER (WHERE correct) / (count(*) + $fake_true), 4) FROM fake_pair WHERE probability >= .95", .7405, 1, 'F1 at p >= .95');
between('SELECT round(avg(correct::integer), 4) FROM fake_pair WHERE probability >= .95', .999, 1, 'precision at p >= .95');
between("SELECT max(f1) FROM (SELECT 2.0 * sum(correct::integer) OVER w / (count(*) OVER w + $fake_true) AS f1 FROM fake_pair WINDOW w AS (ORDER BY weight DESC)) AS s", .837, 1, 'best F1 over all thresholds');

# clusters: the closure of links, and what the guard against bridges makes of doubtful ones
sub clusters
{
	my ($threshold, $density, $measure) = @_;
	return <<"SQL";
WITH c AS (
    SELECT c.member, c.cluster, c.size, f.cluster AS who
    FROM (SELECT array_agg(record_a) AS a, array_agg(record_b) AS b, array_agg(weight) AS w FROM fake_pair WHERE probability >= $threshold) AS l,
         cxm.clusters(a, b, w, 100, $density) AS c JOIN fake AS f ON f.unique_id = c.member)
SELECT round($measure, 4) FROM (SELECT count(*) FILTER (WHERE x.who = y.who)::numeric AS correct, count(*) AS found FROM c AS x JOIN c AS y ON x.cluster = y.cluster AND x.member < y.member) AS n
SQL
}
my $cluster_f1 = "2 * correct / (found + $fake_true)";
between(clusters(.95, 0, $cluster_f1), .876, 1, 'F1 of the closure of links of p >= .95');
between(clusters(.95, .25, 'correct / found'), 1, 1, 'precision of its clusters at density .25');
between(clusters(.1, 0, 'correct / found'), .9, .95, 'precision of the closure of doubtful links');
between(clusters(.1, .25, 'correct / found'), .99, 1, 'and at density .25');
between(clusters(.1, .25, $cluster_f1), .92, 1, 'F1 there');

# the order of the records, and what they are called first, is nothing to it
is(psql($database, "SELECT cxm.linkage_train('$fake ORDER BY md5(unique_id)', '$fake_settings') = m FROM fake_model"), 't', 'shuffled records give the same model');
is(psql($database, "SELECT count(*) FROM (SELECT p.* FROM fake_model, cxm.linkage_score('$fake ORDER BY md5(unique_id)', m, 0) AS p EXCEPT SELECT record_a, record_b, weight, probability, levels FROM fake_pair) AS d"), '0', 'and the same scores');

#
# FEBRL 4: two files of the same 5,000 people
#
load('febrl_file', 'rec_id given_name surname street_number address_1 address_2 suburb postcode state date_of_birth soc_sec_id', 'febrl/dataset4a.csv', 'febrl/dataset4b.csv');
my $clean = join ', ', map { "nullif(trim($_), '') AS $_" } qw(given_name surname street_number address_1 suburb postcode state date_of_birth soc_sec_id);
is(psql($database, "CREATE TABLE febrl AS SELECT rec_id, CASE WHEN rec_id LIKE '%org' THEN 'a' ELSE 'b' END AS source, $clean FROM febrl_file"), '', 'FEBRL 4');
my $edit_levels = '["exact", {"damerau": 1}, {"damerau": 2}]';
my $febrl_settings = <<"JSON";
{"link_type": "link_only", "id": "rec_id", "comparisons": [
  {"column": "given_name", "levels": $name_levels, "term_frequency": true},
  {"column": "surname", "levels": $name_levels, "term_frequency": true},
  {"column": "date_of_birth", "levels": $edit_levels},
  {"column": "soc_sec_id", "levels": $edit_levels},
  {"column": "street_number", "levels": ["exact"], "term_frequency": true},
  {"column": "postcode", "levels": $edit_levels, "term_frequency": true},
  {"column": "address_1", "levels": ["exact", {"jaro_winkler": 0.9}]},
  {"column": "suburb", "levels": ["exact", {"jaro_winkler": 0.9}]}],
 "blocking": [["given_name", "surname"], "date_of_birth", "soc_sec_id", ["state", "address_1"], ["street_number", "address_1"], "postcode"],
 "training": ["date_of_birth", "postcode"],
 "deterministic": ["soc_sec_id", ["given_name", "surname", "date_of_birth"]], "recall": 0.9}
JSON
is(psql($database, "CREATE TABLE febrl_model AS SELECT cxm.linkage_train('TABLE febrl', '$febrl_settings') AS m"), '', 'training on FEBRL 4');
my $correct = q{(substring(record_a FROM 'rec-(\d+)-') = substring(record_b FROM 'rec-(\d+)-'))};
is(psql($database, "CREATE TABLE febrl_pair AS SELECT p.*, $correct AS correct FROM febrl_model, cxm.linkage_score('TABLE febrl', m, 0) AS p"), '', 'scores of FEBRL 4');
between('SELECT count(*) FILTER (WHERE correct) / 5000.0 FROM febrl_pair', .999, 1, 'recall of its blocking');
between('SELECT round(2.0 * count(*) FILTER (WHERE correct) / (count(*) + 5000), 4) FROM febrl_pair WHERE probability >= .95', .9993, 1, 'F1 at p >= .95');

# A threshold that is chosen without the truth: the lowest at which the probabilities themselves promise less than one
# false link among all. Then each record gets at most one partner.
is(psql($database, <<'SQL'), '', 'a threshold from the scores alone');
CREATE TABLE threshold AS
SELECT least(min(probability), 0.95) AS t
FROM (SELECT probability, sum(1 - probability) OVER (ORDER BY weight DESC) AS expected_false FROM febrl_pair) AS s
WHERE expected_false < 1;
SQL
is(psql($database, "CREATE TABLE febrl_link AS SELECT p.*, $correct AS correct FROM febrl_model, threshold, cxm.linkage_score('TABLE febrl', m, t, true) AS p"), '', 'one-to-one links');
between('SELECT count(*) FILTER (WHERE NOT correct) FROM febrl_link', 0, 2, 'false links');
between('SELECT count(*) FILTER (WHERE correct) / 5000.0 FROM febrl_link', .985, 1, 'recall');
is(psql($database, 'SELECT count(*) = count(DISTINCT record_a) AND count(*) = count(DISTINCT record_b) FROM febrl_link'), 't', 'one partner each');
is(psql($database, "SELECT bool_and(abs(l.weight - (SELECT e.total FROM cxm.linkage_explain('TABLE febrl', m, record_a, record_b) AS e ORDER BY e.step DESC LIMIT 1)) < 1e-9) FROM febrl_model, (SELECT * FROM febrl_link ORDER BY record_a LIMIT 5) AS l"), 't', 'explanations add up to the scores');

done_testing();
