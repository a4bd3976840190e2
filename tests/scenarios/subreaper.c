/*
 * A chain of DEPTH processes below a subreaper. From the top down each ends as soon as the next one
 * runs, so that the last is moved again and again, and at the end to the subreaper.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH 6

int main(void)
{
	int up[2], depth;
	char byte;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (depth = 0; depth < DEPTH; depth++) {
		if (pipe(up) || fork())
			break;
		/* The creator of a link waits until the link has told that it runs. */
		if (depth == DEPTH - 1) {
			close(up[1]);
			usleep(100000);
			printf("%d\nready\n", getpid());
			fflush(stdout);
			pause();
		}
		close(up[1]);
	}
	close(up[1]);
	if (depth == 0) {
		while (wait(NULL) > 0)
			;
		pause();
	}
	if (read(up[0], &byte, 1) == 0)
		usleep(5000 * depth);
	_exit(0);
}
