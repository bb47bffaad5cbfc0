// The part of CUDA's driver that lists GPUs, without a GPU: for tests. EMULATED_DRIVER is the version that it gives
// (13000: CUDA 13.0), EMULATED_GPUS how many GPUs it sees.

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
};

static int from_environment(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

static int gpus() { return from_environment("EMULATED_GPUS", 1); }

extern "C" {

CUresult cuInit(unsigned) { return gpus() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }

CUresult cuDriverGetVersion(int *version) {
  *version = from_environment("EMULATED_DRIVER", 13000);
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  *count = gpus();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  *device = ordinal;
  return ordinal < gpus() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice) {
  strncpy(name, "Emulated GPU", length);
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
  *bytes = (size_t)80 << 30;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice) {
  const int MAJOR = 75, MEMORY_POOLS = 115;
  // Whatever else is asked for is 0: the minor version, too.
  *value = attribute == MAJOR ? 9 : attribute == MEMORY_POOLS ? 1 : 0;
  return CUDA_SUCCESS;
}
}
