// test/bench/sequence.mjs: what test/bench/sequence.sh compares with: sessions and transitions in the SQL of DuckDB, in
// memory, on two threads.
//
// node sequence.mjs MODULE FILE: MODULE is the place of @duckdb/node-api, FILE a CSV of customer, seconds, code. A line
// on standard input names a question; the answer is a line "seconds answer".
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const [module, file] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(module + '/')('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const db = await instance.connect();

const queries = {
    sessions: `
        SELECT count(*) FROM (SELECT ts - lag(ts) OVER (PARTITION BY customer ORDER BY ts) AS gap FROM event) AS e WHERE gap IS NULL OR gap > 86400`,
    transitions: `
        SELECT count(*) || ':' || sum(n) || ':' || sum(customers) FROM (
            SELECT code, next_code, count(*) AS n, count(DISTINCT customer) AS customers, avg(gap), median(gap)
            FROM (SELECT customer, code, lead(code) OVER w AS next_code, lead(ts) OVER w - ts AS gap FROM event WINDOW w AS (PARTITION BY customer ORDER BY ts, code)) AS e
            WHERE next_code IS NOT NULL GROUP BY code, next_code) AS t`,
    next: `
        SELECT string_agg(next_code || ':' || n, ',' ORDER BY next_code) FROM (
            SELECT next_code, count(*) AS n
            FROM (SELECT customer, arg_min(next_code, (ts, code)) AS next_code
                  FROM (SELECT customer, ts, code, lead(code) OVER (PARTITION BY customer ORDER BY ts, code) AS next_code FROM event) AS e
                  WHERE code = 3 GROUP BY customer) AS f
            WHERE next_code IS NOT NULL GROUP BY next_code) AS g`
};

await db.run(`CREATE TABLE event AS SELECT * FROM read_csv('${file}', header = false, columns = {customer: 'INTEGER', ts: 'BIGINT', code: 'UTINYINT'})`);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    const answer = (await db.runAndReadAll(queries[line])).getRows()[0][0];
    console.log(`${((performance.now() - started) / 1000).toFixed(4)} ${answer}`);
}
