/* A child that ends and is not reaped. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	if (fork() == 0)
		_exit(0);
	usleep(50000);
	puts("ready");
	fflush(stdout);
	pause();
}
