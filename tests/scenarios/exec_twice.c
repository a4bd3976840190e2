/* Two images one after the other in one process, then a third that stays. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int step = argc > 1 ? atoi(argv[1]) : 0;

	if (step == 0)
		execl(argv[0], argv[0], "1", NULL);
	execl("/bin/sh", "third", "-c", "echo ready; read line", NULL);
	return 1;
}
