/*
 * borrowed_rights: uid 0 that acts as 65534, stuck in the middle of access(2).
 *
 * access(2) asks with the real ids, so the kernel works with other credentials than the process has.
 * The path lies in a page that nobody ever fills in: it waits there until it is killed.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *page;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (unsigned long)page;
	range.range.len = 4096;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range))
		return 77;
	if (setegid(65534) || seteuid(65534))
		return 1;
	puts("ready");
	fflush(stdout);
	access(page, R_OK);
}
