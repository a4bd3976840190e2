/* A chain of three below a subreaper; the middle ones end, and the last goes to the subreaper. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (fork() == 0) {
		if (fork() == 0) {
			if (fork() == 0) {
				usleep(100000);
				printf("%d\nready\n", getpid());
				fflush(stdout);
				pause();
			}
			usleep(20000);
			_exit(0);
		}
		_exit(0);
	}
	pause();
}
