/*
 * A disk that hangs, for LD_PRELOAD: while the file HANGING_DISK_WHILE exists, fdatasync does not come back for files whose path
 * has HANGING_DISK_IN in it. Every other file is synced as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  const char *place = getenv("HANGING_DISK_IN"), *file = getenv("HANGING_DISK_WHILE");
  char link[64], path[4096] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, path, sizeof path - 1) > 0 && place && file && strstr(path, place))
    while (access(file, F_OK) == 0) usleep(1000);
  return real(fd);
}
