/* storm COUNT: forks COUNT children that end at once, as fast as it can, and reaps every one. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 1000;

	while (left-- > 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	puts("ready");
	fflush(stdout);
	pause();
}
