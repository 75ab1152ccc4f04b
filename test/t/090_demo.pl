# The demo tells its story to the end, and does not when the alert stays away.
use strict;
use warnings;
use Test::More;

my $database = "$ENV{PGDATABASE}_demo";

# demo OPTIONS: run it on an empty database; its exit status and all that it printed
sub demo
{
	my ($options) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	system('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-c', "DROP DATABASE IF EXISTS $database WITH (FORCE)",
		'-c', "CREATE DATABASE $database") == 0
	  or BAIL_OUT('no database for the demo');
	local $ENV{PGDATABASE} = $database;
	local $ENV{CUSTOMERS} = 500;
	local $ENV{PGOPTIONS} = $options;
	my $output = `scripts/demo 2>&1`;
	return ($?, $output);
}

my ($status, $output) = demo('');
is($status, 0, 'the demo ends well') or diag($output);
like($output, qr/^ *500 \| +1500 \|/m, 'with a small shop');
like($output, qr/^At "delivery": its score is below/m, 'it finds the touchpoint that does badly');
like($output, qr/alert arrived: \{.*"score": 2,.*"alert_id": \d+,.*\}\n +[0-9.]+ ms after/, 'the alert arrives');
like($output, qr/^score +\| 2$/m, 'and is in the queue');
like($output, qr/^== Done in/m, 'to the end');

# the alert is raised, but nobody is told
($status, $output) = demo('-c cxm.notify_mode=off');
isnt($status, 0, 'without its notification the demo fails');
like($output, qr/no alert arrived in twenty seconds/, 'and says why');

system('psql', '-Xq', '-c', "DROP DATABASE IF EXISTS $database WITH (FORCE)");
done_testing();
