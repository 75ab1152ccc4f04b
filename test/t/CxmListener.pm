# A psql that stays, for what a session hears and holds.
package CxmListener;

use strict;
use warnings;
use IPC::Run;
use JSON::PP ();
use Time::HiRes ();

my $number = 0;

sub new
{
	my ($class, $node, $database, @channels) = @_;
	my $self = bless { in => '', out => '', heard => [] }, $class;
	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database) ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{out}, $self->{timer} = IPC::Run::timeout(60));
	$self->say("LISTEN $_;") for @channels;
	return $self;
}

# run SQL and wait for what comes out of it; notifications are put aside
sub say
{
	my ($self, $sql) = @_;
	$self->start($sql);
	return $self->done;
}

# run SQL and do not wait
sub start
{
	my ($self, $sql) = @_;
	$self->{end} = 'end of ' . ++$number;
	$self->{timer}->start(60);
	$self->{out} = '';
	$self->{in} .= "$sql\n\\echo $self->{end}\n";
	$self->{run}->pump_nb while length $self->{in};
	return;
}

sub done
{
	my ($self) = @_;
	my $end = $self->{end};
	$self->{run}->pump while $self->{out} !~ /^\Q$end\E$/m;
	(my $out = $self->{out}) =~ s/^\Q$end\E\n//m;
	push @{ $self->{heard} }, map { JSON::PP::decode_json($_) } $out =~ /^Asynchronous notification "\w+" with payload "(.*)" received/mg;
	$out =~ s/^Asynchronous notification .*\n//mg;
	return $out;
}

# all payloads heard so far, waiting (a minute at most) until the test given holds for them
sub wait_for
{
	my ($self, $enough) = @_;
	my $until = Time::HiRes::time() + 60;
	do
	{
		# psql shows what came when it has run something
		$self->say('SELECT 1;');
		return @{ $self->{heard} } if $enough->(@{ $self->{heard} });
		Time::HiRes::sleep(0.02);
	} while (Time::HiRes::time() < $until);
	return @{ $self->{heard} };
}

# what was heard up to the notification with that value of key n, and forget it
sub heard_up_to
{
	my ($self, $n) = @_;
	my @heard = $self->wait_for(sub { grep { ($_->{n} // '') eq $n } @_ });
	$self->{heard} = [];
	return join ' ', map { $_->{n} // '?' } @heard;
}

sub end
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	eval { $self->{run}->finish; };
	return;
}

# the server is gone: so is the session
sub bury
{
	my ($self) = @_;
	eval { $self->{run}->kill_kill(grace => 1); };
	return;
}

1;
