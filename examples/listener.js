#!/usr/bin/env node
// Works on alerts: hears of them, sees what it missed, claims, acts, acknowledges. Survives restarts of the server.
//
//     listener.js NAME [STATE_FILE]
//
// The connection is that of PGHOST, PGPORT, PGDATABASE, PGUSER ... NAME is whom alerts are claimed for: each listener that
// runs needs its own. STATE_FILE (NAME.snapshot) remembers what has been seen.
'use strict';

const fs = require('fs');
const { Client } = require('pg');

const IDLE = 30000; // milliseconds without a notification; claims of others that lapsed come round silently

const [name, state = `${name}.snapshot`] = process.argv.slice(2);
if (!name) {
  console.error('usage: listener.js NAME [STATE_FILE]');
  process.exit(2);
}

let handled = null; // acted on, and not known to be acknowledged yet
let told = false;
let stopping = false;
let wait = 100; // milliseconds till the next attempt to connect
let wake = () => {};

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    stopping = true;
    wake();
  });
}

async function sleep(milliseconds) {
  if (!told && !stopping) {
    let timer;
    await new Promise((resolve) => {
      wake = resolve;
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
  }
  told = false;
}

// What is to be done about an alert: call somebody, open a ticket. Here it is only said.
async function act({ alert_id, rule, metric, score }) {
  console.log('handled', alert_id, rule, metric, score);
}

async function acknowledge(client) {
  if (handled !== null) {
    await client.query('SELECT cxm.acknowledge_alert($1, acknowledged_by => $2)', [handled, name]);
    handled = null;
  }
}

// Give back what we hold and shall not get to, such as what was claimed when the connection broke.
async function release(client) {
  await client.query("SELECT cxm.release_alert(alert_id, claimed_by) FROM cx.alert WHERE state = 'claimed' AND claimed_by = $1", [name]);
}

// Tell of every alert raised since the last look, whoever works on it: none missed, none twice.
async function look(client) {
  const seen = fs.existsSync(state) ? fs.readFileSync(state, 'utf8') : null;
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  const { now } = (await client.query('SELECT pg_current_snapshot()::text AS now')).rows[0];
  const raised = await client.query('SELECT alert_id FROM cxm.replay_alerts(seen => $1::pg_snapshot)', [seen || now]);
  await client.query('COMMIT');
  raised.rows.forEach((alert) => console.log('raised', alert.alert_id));
  fs.writeFileSync(`${state}.new`, now);
  fs.renameSync(`${state}.new`, state);
}

// Claim, act and acknowledge until nothing is left. Other listeners get other alerts.
async function work(client) {
  while (!stopping) {
    const claimed = await client.query('SELECT alert_id, rule, metric, score FROM cxm.claim_alerts(10, $1)', [name]);
    if (claimed.rows.length === 0) return;
    for (const alert of claimed.rows) {
      if (stopping) return;
      await act(alert);
      handled = alert.alert_id;
      await acknowledge(client);
    }
  }
}

async function serve(client) {
  let broken = null;
  client.on('notification', () => { told = true; wake(); });
  client.on('error', (problem) => { broken = problem; wake(); });
  await client.connect();
  wait = 100;
  await client.query('LISTEN cxm_alert');
  await acknowledge(client);
  await release(client);
  await look(client);
  console.log('connected');
  while (!stopping) {
    await work(client);
    await sleep(IDLE);
    if (broken) throw broken;
    await look(client);
  }
  await release(client);
}

// what a server that is away or going away says; any other error is a mistake of ours
const isAway = (problem) => problem.severity !== 'ERROR' && !(problem instanceof TypeError);

(async () => {
  while (!stopping) {
    const client = new Client();
    try {
      await serve(client);
    } catch (problem) {
      if (!isAway(problem)) throw problem;
      console.error(problem.message);
      await sleep(wait);
      wait = Math.min(wait * 2, 5000);
    } finally {
      await client.end().catch(() => {});
    }
  }
})();
