// NVRTC for a card whose kernels are there already: it takes every program for right.

#include <stddef.h>
#include <string.h>

static const char CUBIN[] = "emulated";

extern "C" {

int nvrtcVersion(int *major, int *minor) {
  *major = 13;
  *minor = 0;
  return 0;
}
int nvrtcCreateProgram(void **program, const char *, const char *, int, const char *const *, const char *const *) {
  *program = (void *)CUBIN;
  return 0;
}
int nvrtcDestroyProgram(void **) { return 0; }
int nvrtcCompileProgram(void *, int, const char *const *) { return 0; }
int nvrtcGetProgramLogSize(void *, size_t *size) {
  *size = 1;
  return 0;
}
int nvrtcGetProgramLog(void *, char *log) {
  *log = 0;
  return 0;
}
int nvrtcGetCUBINSize(void *, size_t *size) {
  *size = sizeof CUBIN;
  return 0;
}
int nvrtcGetCUBIN(void *, char *cubin) {
  memcpy(cubin, CUBIN, sizeof CUBIN);
  return 0;
}
}
