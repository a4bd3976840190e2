/* CLONE_PARENT: the new process is a sibling of its creator, not a child. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	if (fork() == 0) {
		if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
			printf("%d\nready\n", getpid());
			fflush(stdout);
			pause();
		}
		pause();
	}
	pause();
}
