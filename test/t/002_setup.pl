# What counts as a server that one can build against: each part of it must be there. Debian has the build rules in the
# client's package, so a machine with a server and without its headers once passed for a whole one.
use strict;
use warnings;
use File::Path qw(make_path);
use File::Temp;
use Test::More;

my $dir = File::Temp->newdir;
my %place = ('--pgxs' => "$dir/lib/pgxs.mk", '--includedir-server' => "$dir/include", '--bindir' => "$dir/bin");

sub put
{
	my ($file, $text) = @_;
	open my $fh, '>', $file or die "$file: $!\n";
	print $fh $text;
	close $fh or die "$file: $!\n";
	chmod 0755, $file or die "$file: $!\n";
}

sub is_whole
{
	return system('sh', '-c', '. scripts/lib.sh && server_is_whole "$1"', 'scripts/lib.sh', "$dir/bin/pg_config") == 0;
}

make_path("$dir/lib", "$dir/include", "$dir/bin");
put("$dir/bin/pg_config", "#!/bin/sh\ncase \$1 in\n" . join('', map { "$_) echo '$place{$_}' ;;\n" } sort keys %place) . "esac\n");

my @parts = ($place{'--pgxs'}, "$dir/include/postgres.h", "$dir/bin/initdb", "$dir/bin/postgres");
put($_, '') for @parts;
ok(is_whole(), 'a server with all its parts');
for my $part (@parts)
{
	unlink $part or die "$part: $!\n";
	ok(!is_whole(), 'none without ' . $part =~ s/^\Q$dir\E\///r);
	put($part, '');
}

done_testing;
