// test/bench/funnel.mjs: what test/bench/funnel.sh compares with: the same funnel in the SQL of DuckDB, in memory, on two
// threads. For each event of a step, the latest beginning of a chain that has come to the step before: a window a step.
//
// node funnel.mjs MODULE FILE: MODULE is the place of @duckdb/node-api, FILE a CSV of customer, seconds, code. A line on
// standard input is a run; the answer is a line "seconds levels".
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const [module, file] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(module + '/')('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const db = await instance.connect();

const query = `
    WITH s1 AS (SELECT customer, ts, code, max(CASE WHEN code = 1 THEN ts END) OVER w AS b1 FROM event WHERE code <= 4
                WINDOW w AS (PARTITION BY customer ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
         s2 AS (SELECT *, max(CASE WHEN code = 2 AND ts - b1 <= 604800 THEN b1 END) OVER w AS b2 FROM s1
                WINDOW w AS (PARTITION BY customer ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
         s3 AS (SELECT *, max(CASE WHEN code = 3 AND ts - b2 <= 604800 THEN b2 END) OVER w AS b3 FROM s2
                WINDOW w AS (PARTITION BY customer ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
         level AS (SELECT e.customer, coalesce(max(CASE WHEN code = 4 AND ts - b3 <= 604800 THEN 4 WHEN b3 IS NOT NULL THEN 3
                                                        WHEN b2 IS NOT NULL THEN 2 WHEN b1 IS NOT NULL THEN 1 ELSE 0 END), 0) AS level
                   FROM (SELECT DISTINCT customer FROM event) AS e LEFT JOIN s3 USING (customer) GROUP BY 1),
         levels AS (SELECT level, count(*) AS customers FROM level GROUP BY 1)
    SELECT string_agg(level || ':' || customers, ',' ORDER BY level) FROM levels`;

await db.run(`CREATE TABLE event AS SELECT * FROM read_csv('${file}', header = false, columns = {customer: 'INTEGER', ts: 'BIGINT', code: 'UTINYINT'})`);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    const levels = (await db.runAndReadAll(query)).getRows()[0][0];
    console.log(`${((performance.now() - started) / 1000).toFixed(4)} ${line === '' ? '' : levels}`);
}
