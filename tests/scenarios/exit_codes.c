/*
 * exit_codes HOW: two threads that end in an order in which "the" exit code is not the last one's.
 *
 * group   the first thread ends with 5, then the other ends the process with 0
 * alone   the first thread ends with 5, then the other by itself with 7
 * stopped is stopped and continued before it ends with 3
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *how;

static void *other(void *unused)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	while (state != 'Z') { /* the first thread has ended */
		file = fopen(path, "r");
		if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			_exit(1);
		fclose(file);
	}
	if (!strcmp(how, "group"))
		_exit(0);
	syscall(SYS_exit, 7);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	how = argc > 1 ? argv[1] : "group";
	if (!strcmp(how, "stopped")) {
		raise(SIGSTOP);
		_exit(3);
	}
	pthread_create(&thread, NULL, other, NULL);
	syscall(SYS_exit, 5);
}
