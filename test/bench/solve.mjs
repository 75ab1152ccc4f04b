// test/bench/solve.mjs: what test/bench/solve.sh compares with: connected components by randomised contraction
// (Boegeholz, Brand, Todor: ICDE 2020) in the SQL of DuckDB, in memory, on two threads.
//
// node solve.mjs MODULE FILE: MODULE is the place of @duckdb/node-api, FILE a CSV of links. A line on standard input
// is a run, "ids", "hubs" or "texts"; the answer is a line "seconds clusters".
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const [module, file] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(module + '/')('@duckdb/node-api');
const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
const db = await instance.connect();
const number = async (query) => Number((await db.runAndReadAll(query)).getRows()[0][0]);

// the links in both directions; texts by their hash, with a dictionary to find them again
const sources = {
    ids: `CREATE TABLE edge AS SELECT a, b FROM link UNION ALL SELECT b, a FROM link`,
    hubs: `CREATE TABLE edge AS
        WITH both_ways AS (SELECT a, b FROM link UNION ALL SELECT b, a FROM link),
             hub AS MATERIALIZED (SELECT a FROM both_ways GROUP BY a HAVING count(*) > 100)
        SELECT a, b FROM both_ways WHERE a NOT IN (SELECT a FROM hub) AND b NOT IN (SELECT a FROM hub)`,
    texts: `CREATE TABLE edge AS SELECT hash(a) AS a, hash(b) AS b FROM text_link UNION ALL SELECT hash(b), hash(a) FROM text_link`,
};

// Each node goes to the one of its neighbourhood that a new random order puts first; what is left is solved likewise.
async function solve(source) {
    const id = source === 'texts' ? 'UBIGINT' : 'BIGINT';
    let round = 0;
    await db.run(sources[source]);
    for (; await number('SELECT count(*) FROM (SELECT 1 FROM edge LIMIT 1)') > 0; round++) {
        const order = (node) => `hash(xor(${node}, ${round * 1000003}))`;
        await db.run(`CREATE TABLE step_${round} AS
            SELECT a AS node, CASE WHEN ${order('next')} < ${order('a')} THEN next ELSE a END AS next
            FROM (SELECT a, arg_min(b, ${order('b')}) AS next FROM edge GROUP BY a)`);
        await db.run(`CREATE TABLE contracted AS
            SELECT DISTINCT x.next AS a, y.next AS b FROM edge JOIN step_${round} AS x ON x.node = edge.a JOIN step_${round} AS y ON y.node = edge.b WHERE x.next <> y.next`);
        await db.run('DROP TABLE edge; ALTER TABLE contracted RENAME TO edge');
    }
    await db.run(`CREATE TABLE label (node ${id}, component ${id})`);
    while (round-- > 0) {
        await db.run(`CREATE TABLE longer AS SELECT s.node, coalesce(l.component, s.next) AS component FROM step_${round} AS s LEFT JOIN label AS l ON l.node = s.next`);
        await db.run(`DROP TABLE label; DROP TABLE step_${round}; ALTER TABLE longer RENAME TO label`);
    }
    if (source === 'texts') {
        await db.run(`CREATE TABLE longer AS
            SELECT d.name AS node, component FROM (SELECT a AS name FROM text_link UNION SELECT b FROM text_link) AS d JOIN label ON label.node = hash(d.name)`);
        await db.run('DROP TABLE label; ALTER TABLE longer RENAME TO label');
    }
    await db.run('DROP TABLE edge');
}

await db.run(`SET preserve_insertion_order = false`);
await db.run(`CREATE TABLE link AS SELECT * FROM read_csv('${file}', header = false, columns = {a: 'BIGINT', b: 'BIGINT'})`);
await db.run(`CREATE TABLE text_link AS SELECT a || '@mail.example' AS a, b || '@mail.example' AS b FROM link`);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    await solve(line);
    const seconds = (performance.now() - started) / 1000;
    console.log(`${seconds.toFixed(3)} ${await number('SELECT count(DISTINCT component) FROM label')}`);
    await db.run('DROP TABLE label');
}
