/* The first thread ends and the others go on: the process lives. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *goes_on(void *unused)
{
	(void)unused;
	usleep(50000);
	puts("ready");
	fflush(stdout);
	sleep(60);
	return NULL;
}

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, goes_on, NULL);
	pthread_exit(NULL);
}
