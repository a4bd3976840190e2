/* crowd COUNT: COUNT children that sleep, in families of 100, until it is killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FAMILY 100

static pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 1000;
	int family, done[2];
	char byte;

	if (pipe(done))
		return 1;
	while (left > 0) {
		family = left < FAMILY ? left : FAMILY;
		left -= family;
		if (child() == 0) {
			while (--family > 0)
				if (child() == 0)
					for (;;)
						pause();
			if (write(done[1], "", 1) != 1)
				return 1;
			for (;;)
				pause();
		}
		if (read(done[0], &byte, 1) != 1)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	pause();
}
