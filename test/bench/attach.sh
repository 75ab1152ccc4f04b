# What attaching costs: rows a second of a backfill, and how much longer a writer takes.
#
# ROWS (default 300000) is the largest table that is read in. The goals are loose: they catch a plan that has become
# quadratic or a trigger that does its work twice, not the difference between two machines.
set -eu

ROWS=${ROWS:-300000}

sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# milliseconds COMMAND...: how long a psql statement takes, by \timing
milliseconds()
{
	psql -XAtq -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -1
}

# verdict TEXT VALUE OPERATOR GOAL: a line that ends in ok or MISS
verdict()
{
	awk -v text="$1" -v value="$2" -v operator="$3" -v goal="$4" 'BEGIN {
		good = operator == "<=" ? value <= goal : value >= goal
		printf "%-66s %12.2f   goal %s %-8s %s\n", text, value, operator, goal, good ? "ok" : "MISS"
	}'
}

sql <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS cxm;
SELECT cxm.create_store('UTC') WHERE to_regnamespace('cx') IS NULL;
SQL

mapping='{"at": "at", "metric": {"constant": "nps"}, "score": "score", "comment": "words", "identifiers": {"email": "mail"}, "location": "shop"}'

table()
{
	sql -c "CREATE TABLE $1 (id bigint PRIMARY KEY, at timestamptz NOT NULL, score integer, words text, mail text, shop text, note text)" \
		-c "INSERT INTO $1 SELECT g, timestamptz '2020-01-01' + g % 100000 * interval '1 minute', g % 11, CASE WHEN g % 10 = 0 THEN 'words' END,
			'u' || g % 20000 || '@example.com', 'shop ' || g % 50, '' FROM generate_series(1, $2) AS g"
}

echo 'backfill of answers, a fifth of them with new customers'
first=
for rows in $((ROWS / 30)) $((ROWS / 6)) "$ROWS"; do
	table "bench_$rows" "$rows"
	ms=$(milliseconds "CALL cxm.attach('bench_$rows', 'feedback', '$mapping')")
	rate=$(awk -v rows="$rows" -v ms="$ms" 'BEGIN { printf "%.0f", rows / ms * 1000 }')
	verdict "  $rows rows: rows a second" "$rate" '>=' 2000
	first=${first:-$rate}
done
verdict '  rate of the largest table to that of the smallest' "$(awk -v a="$rate" -v b="$first" 'BEGIN { print a / b }')" '>=' 0.5

echo 'writers: time with the table attached to time of the bare table'
table bench_bare 20000
table bench_attached 20000
sql -c "SET client_min_messages = warning" -c "CALL cxm.attach('bench_attached', 'feedback', '$mapping')"

bulk()
{
	milliseconds "INSERT INTO $1 SELECT g, '2020-01-01', g % 11, NULL, 'u' || g % 20000 || '@example.com', 'shop 1', '' FROM generate_series($2 + 1, $2 + 20000) AS g"
}
bare=$(bulk bench_bare 100000)
attached=$(bulk bench_attached 100000)
echo "  20000 rows in one statement: bare $bare ms, attached $attached ms"
verdict '  microseconds a row that the store takes' "$(awk -v a="$attached" -v b="$bare" 'BEGIN { print (a - b) / 20 }')" '<=' 500

bare=$(milliseconds "UPDATE bench_bare SET note = 'x' WHERE id <= 20000")
attached=$(milliseconds "UPDATE bench_attached SET note = 'x' WHERE id <= 20000")
echo "  update of a column that is not mapped, 20000 rows: bare $bare ms, attached $attached ms"
verdict '  microseconds a row' "$(awk -v a="$attached" -v b="$bare" 'BEGIN { print (a - b) / 20 }')" '<=' 50

single()
{
	file=$(mktemp)
	cat > "$file" <<SQL
\\set id random(1000000, 2000000000)
INSERT INTO $1 VALUES (:id, '2020-01-01', 5, NULL, 'u7@example.com', 'shop 1', '') ON CONFLICT DO NOTHING;
SQL
	pgbench -n -M prepared -f "$file" -T 5 -c 1 2>/dev/null | sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
	rm -f "$file"
}
bare=$(single bench_bare)
attached=$(single bench_attached)
echo "  one row a statement: bare $bare ms, attached $attached ms"
verdict '  milliseconds a statement that the store takes' "$(awk -v a="$attached" -v b="$bare" 'BEGIN { print a - b }')" '<=' 20
