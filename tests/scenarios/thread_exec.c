/* A thread that is not the first one executes a program: one process, with a new image. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *executes(void *unused)
{
	(void)unused;
	execl("/bin/sh", "executed-by-a-thread", "-c", "echo ready; read line", NULL);
	return NULL;
}

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, executes, NULL);
	pthread_join(thread, NULL);
	return 1;
}
