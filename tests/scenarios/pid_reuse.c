/*
 * The same pid, the same program, the same clock tick: a child ends, is reaped, and the next child gets
 * its pid within 10 ms (through ns_last_pid, so as root). Tries until it has happened; the second stays.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Field 22 of /proc/PID/stat; the name of this program has no brackets or spaces. */
static unsigned long long started(pid_t pid)
{
	char path[64], text[1024], *at;
	int field, file;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = open(path, O_RDONLY);
	size = read(file, text, sizeof(text) - 1);
	close(file);
	if (size <= 0)
		return 0;
	text[size] = 0;
	at = strrchr(text, ')') + 1;
	for (field = 2; field < 21; field++)
		at = strchr(at + 1, ' ');
	return strtoull(at, NULL, 10);
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	int tries;

	if (file < 0)
		return 2;
	for (tries = 0; tries < 2000; tries++) {
		pid_t first = child(), second;
		unsigned long long tick = started(first);

		end(first);
		if (dprintf(file, "%d", first - 1) < 0)
			return 3;
		second = child();
		if (second == first && started(second) == tick) {
			printf("%d\nready\n", second);
			fflush(stdout);
			pause();
		}
		end(second);
		lseek(file, 0, SEEK_SET);
	}
	return 4;
}
