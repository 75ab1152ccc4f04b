// test/bench/retention.mjs: what test/bench/retention.sh compares with: the same cohort matrix and the same lifecycle in
// the SQL of DuckDB, in memory, on two threads.
//
// node retention.mjs MODULE FILE: MODULE is the place of @duckdb/node-api, FILE a CSV of customer, seconds, code. A line on
// standard input, matrix or lifecycle, is a run; the answer is a line "seconds answer".
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const [module, file] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(module + '/')('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const db = await instance.connect();

// the clock of Berlin in the months of the data, without a table of time zones: that is in this peer's favour
const week = (at) => `(((${at} + CASE WHEN ${at} >= 1774746000 THEN 7200 ELSE 3600 END) // 86400 + 3) // 7 - 1565)`;

const queries = {
    matrix: `
        WITH start AS (SELECT customer, min(ts) AS since FROM event WHERE code = 3 GROUP BY customer),
             cell AS (SELECT DISTINCT s.customer, ${week('s.since')} AS cohort, ${week('e.ts')} - ${week('s.since')} AS number
                      FROM start AS s JOIN event AS e ON e.customer = s.customer AND e.ts >= s.since
                      WHERE e.code = 5),
             counted AS (SELECT cohort, number, count(*) AS n FROM cell WHERE number <= 12 GROUP BY ALL
                         UNION ALL SELECT ${week('since')}, -1, count(*) FROM start GROUP BY ALL)
        SELECT count(*) || ':' || sum(n) || ':' || sum(n * cohort * (number + 2)) FROM counted`,
    lifecycle: `
        WITH active AS (SELECT DISTINCT customer, ${week('ts')} AS week FROM event),
             life AS (SELECT week, CASE WHEN before IS NULL THEN 0 WHEN before = week - 1 THEN 1 ELSE 2 END AS state
                      FROM (SELECT week, lag(week) OVER (PARTITION BY customer ORDER BY week) AS before FROM active)
                      UNION ALL
                      SELECT week + 1, 3 FROM (SELECT week, lead(week) OVER (PARTITION BY customer ORDER BY week) AS after FROM active)
                      WHERE after IS DISTINCT FROM week + 1),
             counted AS (SELECT week, state, count(*) AS n FROM life GROUP BY ALL)
        SELECT count(*) || ':' || sum(n) || ':' || sum(n * week * (state + 2)) FROM counted`,
};

await db.run(`CREATE TABLE event AS SELECT * FROM read_csv('${file}', header = false, columns = {customer: 'INTEGER', ts: 'BIGINT', code: 'UTINYINT'})`);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    const answer = (await db.runAndReadAll(queries[line])).getRows()[0][0];
    console.log(`${((performance.now() - started) / 1000).toFixed(4)} ${answer}`);
}
