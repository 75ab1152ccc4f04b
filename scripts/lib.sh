# scripts/lib.sh: what the scripts share. Sourced, it prints nothing and changes nothing.
# shellcheck shell=sh

root=$(cd "$(dirname "$0")/.." && pwd -P)
oldest_major=14

step() { printf '== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die()
{
	printf 'cxm: %s\n' "$*" >&2
	exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# as_root COMMAND...: with the caller's own rights when they suffice, else through sudo
as_root()
{
	if is_root; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo: $*"
	fi
}

# PostgreSQL refuses to run as root, so root lends the server and the tests to somebody harmless. On a server
# that runs already there are only clients, with the caller's own rights and password file.
if is_root && [ -z "${PGHOST:-}" ]; then
	if id postgres >/dev/null 2>&1; then
		tester=postgres
	else
		tester=nobody
	fi
else
	tester=$(id -un)
fi

as_tester()
{
	if [ "$tester" != "$(id -un)" ]; then
		setpriv --reuid="$tester" --regid="$(id -g "$tester")" --init-groups -- "$@"
	else
		"$@"
	fi
}

# major PG_CONFIG: 15 for "PostgreSQL 15.20 (Debian ...)", 18 for "PostgreSQL 18beta1"
major() { "$1" --version | sed -n 's/^PostgreSQL \([0-9][0-9]*\).*/\1/p'; }

# server_is_whole PG_CONFIG: can one build against it and start it? Debian has the build rules in the client's package,
# so that they are there says nothing of the headers.
server_is_whole()
{
	command -v "$1" >/dev/null 2>&1 &&
		[ -f "$("$1" --pgxs)" ] &&
		[ -f "$("$1" --includedir-server)/postgres.h" ] &&
		[ -x "$("$1" --bindir)/initdb" ] &&
		[ -x "$("$1" --bindir)/postgres" ]
}

# find_pg_config: set PG_CONFIG to the one that was asked for, or else to the best that is there
find_pg_config()
{
	if [ -n "${PG_CONFIG:-}" ]; then
		server_is_whole "$PG_CONFIG" || return 1
	else
		for candidate in pg_config $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV); do
			if server_is_whole "$candidate" && [ "$(major "$candidate")" -ge $oldest_major ]; then
				PG_CONFIG=$candidate
				break
			fi
		done
		[ -n "${PG_CONFIG:-}" ] || return 1
	fi
	PG_CONFIG=$(command -v "$PG_CONFIG")
	export PG_CONFIG
	[ "$(major "$PG_CONFIG")" -ge $oldest_major ] ||
		die "cxm needs PostgreSQL $oldest_major or later; $PG_CONFIG is $("$PG_CONFIG" --version)"
}

need_pg_config()
{
	find_pg_config ||
		die "no PostgreSQL server with its development files at ${PG_CONFIG:-hand}; try: make setup, or PG_CONFIG=/path/to/pg_config"
}

# has_extension NAME: is it installed for PG_CONFIG's server?
has_extension() { [ -f "$("$PG_CONFIG" --sharedir)/extension/$1.control" ]; }

extension_version() { sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$root/cxm.control"; }

jobs() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# copy_tree DIR: the sources without what a build or a checkout leaves about
copy_tree()
{
	mkdir -p "$1"
	(cd "$root" && tar -cf - --exclude=./.git --exclude=./tmp_check --exclude=node_modules \
		--exclude='*.o' --exclude='*.d' --exclude='*.bc' --exclude='*.so' --exclude=built-for .) | (cd "$1" && tar -xf -)
}

# build_and_install: in the tree, then into PG_CONFIG's server
build_and_install()
{
	step "build against $("$PG_CONFIG" --version) ($PG_CONFIG)"
	make -C "$root" --no-print-directory -s -j "$(jobs)" PG_CONFIG="$PG_CONFIG" all

	step "install into $("$PG_CONFIG" --pkglibdir)"
	if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
		make -C "$root" --no-print-directory -s PG_CONFIG="$PG_CONFIG" install
	else
		note "which needs root"
		as_root make -C "$root" --no-print-directory -s PG_CONFIG="$PG_CONFIG" install
	fi
}
