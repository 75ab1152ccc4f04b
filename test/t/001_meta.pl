# What META.json, the library, the catalog and the change log say agrees with cxm.control, and META.json is
# what PGXN takes (https://pgxn.org/spec/).
use strict;
use warnings;
use JSON::PP;
use Test::More;

sub slurp
{
	my ($file) = @_;
	open my $fh, '<:raw', $file or die "$file: $!\n";
	local $/ = undef;
	return <$fh>;
}

sub ask
{
	my ($query) = @_;
	open my $fh, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $query or die "psql: $!\n";
	local $/ = undef;
	my $answer = <$fh> // '';
	close $fh;
	$answer =~ s/\n\z//;
	return $answer;
}

my ($version) = slurp('cxm.control') =~ /^default_version\s*=\s*'([^']+)'/m;
like($version, qr/^\d+\.\d+\.\d+$/, 'cxm.control has a semantic version');

my $meta = eval { decode_json(slurp('META.json')) };
ok($meta, 'META.json is JSON') or diag $@;

is($meta->{version}, $version, 'META.json has the version of cxm.control');
is($meta->{provides}{cxm}{version}, $version, 'so has what it provides');
is($meta->{provides}{cxm}{file}, "sql/cxm--$version.sql", 'it names the install script that make builds');
like(scalar `sql/assemble`, qr/^CREATE FUNCTION cxm\.version\(\)/m, 'and that sql/assemble prints');
ok(-f $meta->{provides}{cxm}{docfile}, 'the page that it names is there');

for my $field (qw(name version abstract maintainer license provides meta-spec))
{
	ok($meta->{$field}, "META.json has the required field $field");
}
is($meta->{license}, 'postgresql', 'license as PGXN spells it');
like($meta->{release_status}, qr/^(stable|testing|unstable)$/, 'release status as PGXN spells it');
is($meta->{'meta-spec'}{version}, '1.0.0', 'version of the specification');
is_deeply([ grep { !/^[^\/\\[:cntrl:]]{1,256}$/ } @{ $meta->{tags} } ], [], 'every tag is one that PGXN takes');
my %seen;
is_deeply([ grep { $seen{ lc $_ }++ } @{ $meta->{tags} } ], [], 'no tag twice');
is($meta->{prereqs}{runtime}{requires}{PostgreSQL}, '14.0.0', 'oldest PostgreSQL');
like(slurp('src/cxm.h'), qr/PG_VERSION_NUM < 140000/, 'and the C code refuses what is older');

like(slurp('CHANGELOG.md'), qr/^## \Q$version\E( |$)/m, 'the change log has a chapter about this version');

is(ask('SELECT cxm.version()'), $version, 'the loaded library is of this version');
is(ask("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'cxm'"), $version, 'the installed extension too');

# the build computes the version; only steps of an upgrade may name one
my @stray = grep { slurp($_) =~ /\b\Q$version\E\b/ } glob '{Makefile,sql/assemble,src/*.[ch],scripts/*}';
is_deeply(\@stray, [], 'no build rule or C source repeats the version');

done_testing();
