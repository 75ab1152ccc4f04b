/*
 * test/bench/notifier_listen.c
 *		Listen on a channel until SIGTERM; then print a line a notification: its outbox_id
 *		and when it arrived, in microseconds since 1970.
 *
 * usage: notifier_listen CHANNEL  (PGHOST and the like say where)
 *
 * Copyright (c) 2026, cxm developers
 */
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

typedef struct Arrival
{
	long long	outbox_id;
	int64_t		at;
} Arrival;

static volatile sig_atomic_t stopped = 0;

static void
stop(int signal_number)
{
	(void) signal_number;
	stopped = 1;
}

static void
fail(PGconn *conn)
{
	fprintf(stderr, "notifier_listen: %s", PQerrorMessage(conn));
	exit(1);
}

int
main(int argc, char **argv)
{
	PGconn	   *conn = PQconnectdb("");
	struct sigaction action = {0};
	struct pollfd fd;
	char		query[100];
	Arrival    *arrivals = NULL;
	size_t		n = 0;
	size_t		room = 0;
	PGresult   *result;

	action.sa_handler = stop;
	sigaction(SIGTERM, &action, NULL);
	if (argc != 2 || PQstatus(conn) != CONNECTION_OK)
		fail(conn);
	snprintf(query, sizeof(query), "LISTEN %.63s", argv[1]);
	result = PQexec(conn, query);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(conn);
	PQclear(result);
	printf("listening\n");
	fflush(stdout);

	fd.fd = PQsocket(conn);
	fd.events = POLLIN;
	/* a signal between the test and poll() is noticed within a tenth of a second */
	while (!stopped)
	{
		struct timeval now;
		PGnotify   *notification;

		if (poll(&fd, 1, 100) <= 0)
			continue;
		if (!PQconsumeInput(conn))
			fail(conn);
		gettimeofday(&now, NULL);
		while ((notification = PQnotifies(conn)) != NULL)
		{
			const char *id = strstr(notification->extra, "\"outbox_id\": ");

			if (n == room)
			{
				room = room == 0 ? 1024 : 2 * room;
				arrivals = realloc(arrivals, room * sizeof(Arrival));
				if (arrivals == NULL)
					abort();
			}
			arrivals[n].outbox_id = id == NULL ? 0 : atoll(id + strlen("\"outbox_id\": "));
			arrivals[n].at = (int64_t) now.tv_sec * 1000000 + now.tv_usec;
			n++;
			PQfreemem(notification);
		}
	}
	for (size_t i = 0; i < n; i++)
		printf("%lld\t%" PRId64 "\n", arrivals[i].outbox_id, arrivals[i].at);
	PQfinish(conn);
	return 0;
}
