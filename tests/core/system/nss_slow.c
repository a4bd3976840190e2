/* A name service that takes SLOW seconds for each uid; then a uid from 50000 on is called slow-UID. */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum nss_status _nss_slow_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, int *error)
{
    const char *slow = getenv("SLOW");

    sleep(slow ? atoi(slow) : 0);
    *error = ENOENT;
    if (uid < 50000 || size < 64)
        return NSS_STATUS_NOTFOUND;
    snprintf(buffer, size, "slow-%u", uid);
    *entry = (struct passwd){buffer, "x", uid, uid, "", "/", "/bin/false"};
    return NSS_STATUS_SUCCESS;
}
