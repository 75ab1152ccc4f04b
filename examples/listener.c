/*
 * Works on alerts: hears of them, sees what it missed, claims, acts, acknowledges. Survives restarts of the server.
 *
 *     listener NAME [STATE_FILE]
 *
 * The connection is that of libpq: PGHOST, PGDATABASE, PGUSER, PGSERVICE ... NAME is whom alerts are claimed for: each
 * listener that runs needs its own. STATE_FILE (NAME.snapshot) remembers what has been seen.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#define IDLE 30000				/* milliseconds; claims of others that lapsed come round silently */

static const char *name;
static char state[4096];
static char handled[32];		/* acted on, and not known to be acknowledged yet */
static volatile sig_atomic_t stopping;
static int	signals[2];			/* a signal makes this readable, and so ends a wait */

static void
stop(int number)
{
	(void) number;
	stopping = 1;
	(void) !write(signals[1], "", 1);
}

/* Runs a statement. NULL when the server is away; any other error is a mistake of ours. */
static PGresult *
run(PGconn *conn, const char *sql, int n, const char *a, const char *b)
{
	const char *values[2] = {a, b};
	PGresult   *result = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
	const char *severity;

	if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
		return result;
	fprintf(stderr, "%s", PQerrorMessage(conn));
	/* a server that ends the session says FATAL; one that is gone says nothing */
	severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	if (severity != NULL && strcmp(severity, "ERROR") == 0)
		exit(EXIT_FAILURE);
	PQclear(result);
	return NULL;
}

static bool
did(PGresult *result)
{
	bool		fine = result != NULL;

	PQclear(result);
	return fine;
}

/* What is to be done about an alert: call somebody, open a ticket. Here it is only said. */
static void
act(const char *alert_id, const char *rule, const char *metric, const char *score)
{
	printf("handled %s %s %s %s\n", alert_id, rule, metric, score);
}

static bool
acknowledge(PGconn *conn)
{
	if (*handled && !did(run(conn, "SELECT cxm.acknowledge_alert($1, acknowledged_by => $2)", 2, handled, name)))
		return false;
	*handled = '\0';
	return true;
}

/* Gives back what we hold and shall not get to, such as what was claimed when the connection broke. */
static bool
release(PGconn *conn)
{
	return did(run(conn, "SELECT cxm.release_alert(alert_id, claimed_by) FROM cx.alert WHERE state = 'claimed' AND claimed_by = $1", 1, name, NULL));
}

/* Tells of every alert raised since the last look, whoever works on it: none missed, none twice. */
static bool
look(PGconn *conn)
{
	char		seen[65536] = "",
				new_state[sizeof(state) + 4];
	PGresult   *now = NULL,
			   *raised = NULL;
	FILE	   *file = fopen(state, "r");

	if (file != NULL)
	{
		seen[fread(seen, 1, sizeof(seen) - 1, file)] = '\0';
		fclose(file);
	}
	if (!did(run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", 0, NULL, NULL)) ||
		(now = run(conn, "SELECT pg_current_snapshot()", 0, NULL, NULL)) == NULL ||
		(raised = run(conn, "SELECT alert_id FROM cxm.replay_alerts(seen => $1::pg_snapshot)", 1, *seen ? seen : PQgetvalue(now, 0, 0), NULL)) == NULL ||
		!did(run(conn, "COMMIT", 0, NULL, NULL)))
		return PQclear(now), PQclear(raised), false;
	for (int i = 0; i < PQntuples(raised); i++)
		printf("raised %s\n", PQgetvalue(raised, i, 0));
	snprintf(new_state, sizeof(new_state), "%s.new", state);
	if ((file = fopen(new_state, "w")) == NULL || fputs(PQgetvalue(now, 0, 0), file) == EOF || fclose(file) != 0 || rename(new_state, state) != 0)
		perror(state), exit(EXIT_FAILURE);
	return PQclear(now), PQclear(raised), true;
}

/* Claims, acts and acknowledges until nothing is left. Other listeners get other alerts. */
static bool
work(PGconn *conn)
{
	int			n = 1;

	while (n > 0 && !stopping)
	{
		PGresult   *claimed = run(conn, "SELECT alert_id, rule, metric, score FROM cxm.claim_alerts(10, $1)", 1, name, NULL);

		n = claimed == NULL ? -1 : PQntuples(claimed);
		for (int i = 0; i < n && !stopping; i++)
		{
			act(PQgetvalue(claimed, i, 0), PQgetvalue(claimed, i, 1), PQgetvalue(claimed, i, 2), PQgetvalue(claimed, i, 3));
			snprintf(handled, sizeof(handled), "%s", PQgetvalue(claimed, i, 0));
			if (!acknowledge(conn))
				n = -1;
		}
		PQclear(claimed);
	}
	return n >= 0;
}

/* Waits for a notification, a signal or the end of the time. */
static void
rest(PGconn *conn, int milliseconds)
{
	struct pollfd fds[2] = {{.fd = signals[0],.events = POLLIN}, {.fd = conn ? PQsocket(conn) : -1,.events = POLLIN}};
	PGnotify   *told = conn ? PQnotifies(conn) : NULL;

	if (told == NULL && !stopping)
		poll(fds, 2, milliseconds);
	if (conn != NULL && PQconsumeInput(conn))
		do
			PQfreemem(told);
		while ((told = PQnotifies(conn)) != NULL);
	PQfreemem(told);
}

int
main(int argc, char **argv)
{
	int			wait = 100;

	if (argc < 2 || argc > 3 || pipe(signals) != 0)
		return fprintf(stderr, "usage: listener NAME [STATE_FILE]\n"), 2;
	name = argv[1];
	snprintf(state, sizeof(state), argc > 2 ? "%s" : "%s.snapshot", argv[argc - 1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);

	while (!stopping)
	{
		PGconn	   *conn = PQconnectdb("");

		if (PQstatus(conn) != CONNECTION_OK)
			fprintf(stderr, "%s", PQerrorMessage(conn));
		else if (did(run(conn, "LISTEN cxm_alert", 0, NULL, NULL)) && acknowledge(conn) && release(conn) && look(conn))
		{
			printf("connected\n");
			wait = 100;
			while (!stopping && work(conn) && (rest(conn, IDLE), look(conn)))
				 /* all is done in the conditions */ ;
			if (stopping)
				release(conn);
		}
		PQfinish(conn);
		if (!stopping)
			rest(NULL, wait);
		wait = wait < 2500 ? wait * 2 : 5000;
	}
	return 0;
}
