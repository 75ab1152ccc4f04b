#!/usr/bin/env python3
"""Works on alerts: hears of them, sees what it missed, claims, acts, acknowledges. Survives restarts of the server.

    listener.py NAME [STATE_FILE]

The connection is that of libpq: PGHOST, PGDATABASE, PGUSER, PGSERVICE ... NAME is whom alerts are claimed for: each
listener that runs needs its own. STATE_FILE (NAME.snapshot) remembers what has been seen.
"""
import os
import pathlib
import select
import signal
import sys

import psycopg  # version 3

IDLE = 30  # seconds without a notification; claims of others that lapsed come round silently


class Listener:
    def __init__(self, name, state_file):
        self.name = name
        self.state = pathlib.Path(state_file)
        self.handled = None  # acted on, and not known to be acknowledged yet
        self.told = False
        self.stopping = False
        # a signal makes this readable, and so ends a wait
        self.signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def stop(self, *_):
        self.stopping = True

    def act(self, alert_id, rule, metric, score):
        """What is to be done about an alert: call somebody, open a ticket. Here it is only said."""
        print("handled", alert_id, rule, metric, score, flush=True)

    def look(self, conn):
        """Tell of every alert raised since the last look, whoever works on it: none missed, none twice."""
        seen = self.state.read_text() if self.state.exists() else None
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            now = conn.execute("SELECT pg_current_snapshot()::text").fetchone()[0]
            raised = conn.execute("SELECT alert_id FROM cxm.replay_alerts(seen => %s::pg_snapshot)", [seen or now]).fetchall()
        for (alert_id,) in raised:
            print("raised", alert_id, flush=True)
        new = self.state.with_name(self.state.name + ".new")
        new.write_text(now)
        new.replace(self.state)

    def work(self, conn):
        """Claim, act and acknowledge until nothing is left. Other listeners get other alerts."""
        while not self.stopping:
            claimed = conn.execute("SELECT alert_id, rule, metric, score FROM cxm.claim_alerts(10, %s)", [self.name]).fetchall()
            if not claimed:
                return
            for alert in claimed:
                if self.stopping:
                    return
                self.act(*alert)
                self.handled = alert[0]
                self.acknowledge(conn)

    def acknowledge(self, conn):
        if self.handled is not None:
            conn.execute("SELECT cxm.acknowledge_alert(%s, acknowledged_by => %s)", [self.handled, self.name])
            self.handled = None

    def release(self, conn):
        """Give back what we hold and shall not get to, such as what was claimed when the connection broke."""
        conn.execute("SELECT cxm.release_alert(alert_id, claimed_by) FROM cx.alert WHERE state = 'claimed' AND claimed_by = %s", [self.name])

    def notified(self, _):
        self.told = True

    def sleep(self, sockets, seconds):
        if not self.told and not self.stopping:
            select.select([self.signals, *sockets], [], [], seconds)
        self.told = False

    def serve(self, conn):
        conn.add_notify_handler(self.notified)
        conn.execute("LISTEN cxm_alert")
        self.acknowledge(conn)
        self.release(conn)
        self.look(conn)
        print("connected", flush=True)
        while not self.stopping:
            self.work(conn)
            self.sleep([conn.fileno()], IDLE)
            self.look(conn)
        self.release(conn)

    def run(self):
        wait = 0.1
        while not self.stopping:
            try:
                with psycopg.connect(autocommit=True) as conn:
                    wait = 0.1
                    self.serve(conn)
            except psycopg.OperationalError as problem:
                print(str(problem).strip(), file=sys.stderr, flush=True)
                self.sleep([], wait)
                wait = min(wait * 2, 5)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    Listener(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.argv[1] + ".snapshot").run()
