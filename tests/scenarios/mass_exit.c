/* 48 threads that end together with the first one, in a child; then the parent reaps it. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 48

static pthread_barrier_t barrier;

static void *ends(void *unused)
{
	pthread_barrier_wait(&barrier);
	return unused;
}

int main(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t thread;
		int i;

		pthread_barrier_init(&barrier, NULL, THREADS + 1);
		for (i = 0; i < THREADS; i++)
			pthread_create(&thread, NULL, ends, NULL);
		pthread_barrier_wait(&barrier);
		pthread_exit(NULL);
	}
	waitpid(pid, NULL, 0);
	puts("ready");
	fflush(stdout);
	pause();
}
