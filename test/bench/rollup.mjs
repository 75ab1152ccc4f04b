// test/bench/rollup.mjs: what test/bench/rollup.sh compares with: NPS by store out of the raw rows, in DuckDB, in
// memory, on two threads.
//
// node rollup.mjs MODULE ROWS: MODULE is the place of @duckdb/node-api. A line on standard input is a run of
// eleven; the answer is a line "milliseconds checksum", of the median.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const [module, rows] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(module + '/')('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const db = await instance.connect();

// the same rows as rollup.sh makes
await db.run(`CREATE TABLE answer AS
    SELECT (TIMESTAMP '2024-01-01' + to_seconds(i * 7919 % 31622400)) AS at, (i * 104729 % 1000003 % 100)::INTEGER AS store_id, (i * 15485863 % 1000033 % 11)::SMALLINT AS score
    FROM range(1, ${rows} + 1) AS r(i)`);
console.log('ready');
for await (const _ of createInterface({ input: process.stdin })) {
    const taken = [];
    let found;
    for (let i = 0; i < 11; i++) {
        const started = performance.now();
        found = (await db.runAndReadAll(`SELECT store_id, 100.0 * (count(*) FILTER (score >= 9) - count(*) FILTER (score <= 6)) / count(*) FROM answer GROUP BY store_id`)).getRows();
        taken.push(performance.now() - started);
    }
    const milliseconds = taken.sort((a, b) => a - b)[5];
    console.log(`${milliseconds.toFixed(3)} ${found.reduce((sum, row) => sum + (row[0] + 1) * Number(row[1]), 0).toFixed(3)}`);
}
