/* A daemon's double fork: the grandchild outlives its parent and gets another one. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pid = fork();
		if (pid)
			_exit(0);
		while (getppid() == 0)
			usleep(1000);
		usleep(50000);
		printf("%d\nready\n", getpid());
		fflush(stdout);
		pause();
	}
	waitpid(pid, NULL, 0);
	pause();
}
