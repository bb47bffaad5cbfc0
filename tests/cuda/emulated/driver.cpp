// CUDA's driver without a GPU: memory is the host's, streams run at once, and kernels are the real ones, compiled as
// C++. -I names the folder of `kernels.cu`, the text that NVRTC would get, which is compiled for every REAL and WIDTH.
//
// A kernel with barriers runs its block's threads as fibers, which change over at each barrier; the others one after
// another. New memory is all NaN, and behind it lies a page that nobody may touch.

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "gpus.cpp"
#include "stream.hpp"

struct Dim {
  int x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;
static int min(int a, int b) { return a < b ? a : b; }
// The compiler is told to fuse nothing.
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static float __fsqrt_rn(float a) { return sqrtf(a); }
static float __fsub_rn(float a, float b) { return a - b; }
static unsigned __float_as_uint(float value) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static float __uint_as_float(unsigned bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static void __syncthreads();

#define KERNEL static
#define __device__
#define __shared__ static

// ---- Fibers ----

enum State { WAITS, RUNS, ENDED };

struct Fiber {
  ucontext_t start;
  jmp_buf place;
  State state;
  bool begun;
};

const int FIBERS = 1024, STACK = 1 << 16;
static Fiber fibers[FIBERS];
static int current;
static bool has_barriers;
static jmp_buf scheduler;
static ucontext_t home;
static const std::function<void()> *run_thread;

static void fail(const char *what) {
  fprintf(stderr, "emulated GPU: %s\n", what);
  abort();
}

static void yield(State state) {
  fibers[current].state = state;
  if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

static void __syncthreads() {
  if (!has_barriers) fail("a barrier in a kernel that is listed without");
  yield(WAITS);
}

static void live() {
  for (;;) {
    (*run_thread)();
    yield(ENDED);
  }
}

static void place_thread(int thread) {
  threadIdx = {thread % blockDim.x, thread / blockDim.x, 0};
}

// Runs a fiber until its next barrier or its end.
static void resume(int thread) {
  current = thread;
  place_thread(thread);
  Fiber &fiber = fibers[thread];
  fiber.state = RUNS;
  if (_setjmp(scheduler)) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = mmap(0, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fiber.start.uc_stack.ss_size = STACK;
  makecontext(&fiber.start, live, 0);
  swapcontext(&home, &fiber.start);
}

static void run_block(int threads) {
  if (!has_barriers) {
    for (int thread = 0; thread < threads; thread++) {
      place_thread(thread);
      (*run_thread)();
    }
    return;
  }
  for (;;) {
    int ended = 0;
    for (int thread = 0; thread < threads; thread++) {
      resume(thread);
      ended += fibers[thread].state == ENDED;
    }
    if (ended == threads) return;
    if (ended) fail("some threads of a block end where others wait at a barrier");
  }
}

// ---- Kernels ----

// A kernel with copies of its arguments.
template <class... A, size_t... I>
static std::function<void()> bound(void (*kernel)(A...), void **from, std::index_sequence<I...>) {
  auto arguments = std::make_tuple(*(A *)from[I]...);
  return [=] { std::apply(kernel, arguments); };
}

template <auto kernel>
struct Call;
template <class... A, void (*kernel)(A...)>
struct Call<kernel> {
  static std::function<void()> with(void **from) { return bound(kernel, from, std::index_sequence_for<A...>()); }
};

struct Kernel {
  const char *name;
  std::function<void()> (*bind)(void **);
  bool has_barriers;
};

static void run_grid(const Kernel &kernel, const std::function<void()> &run, Dim grid, Dim block) {
  // One at a time, whichever thread asks.
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  run_thread = &run;
  has_barriers = kernel.has_barriers;
  blockDim = block;
  gridDim = grid;
  for (int y = 0; y < gridDim.y; y++) {
    for (int x = 0; x < gridDim.x; x++) {
      blockIdx = {x, y, 0};
      run_block(block.x * block.y);
    }
  }
  pthread_mutex_unlock(&lock);
}

#define PLAIN(name) {#name, Call<name>::with, false}
#define BARRIERS(name) {#name, Call<name>::with, true}
#define KERNELS                                                                                                  \
  static Kernel kernels[] = {                                                                                    \
      BARRIERS(row_statistics), BARRIERS(group_statistics), PLAIN(running_statistics), PLAIN(normalize),         \
      BARRIERS(row_gradients),  BARRIERS(group_gradients),  PLAIN(normalize_back),     PLAIN(shift_alter),       \
      BARRIERS(add_rows),       BARRIERS(row_alterations),  PLAIN(gather_rows),        PLAIN(max_pool),          \
      PLAIN(max_pool_back),     PLAIN(mean_pool),           PLAIN(mean_pool_back),     BARRIERS(sum_pixels),     \
      PLAIN(mean_rows),         PLAIN(mean_back),           PLAIN(pack_weight),        PLAIN(fold_bias),         \
      PLAIN(unpack_gradient),   PLAIN(widen),               PLAIN(finish),             PLAIN(pack_taps),         \
      PLAIN(depthwise),         BARRIERS(row_taps),         BARRIERS(add_taps),        PLAIN(relu),              \
      PLAIN(relu_back),         PLAIN(sigmoid),             PLAIN(sigmoid_back),       PLAIN(add_constant),      \
      PLAIN(dropout),           PLAIN(add),                 PLAIN(subtract),           PLAIN(multiply),          \
      PLAIN(copy_channels),     PLAIN(pad_channels),        PLAIN(normalize_pixels),   BARRIERS(squares),        \
      PLAIN(clamp_gradients),   PLAIN(update),              PLAIN(adamw),              PLAIN(gelu),              \
      PLAIN(gelu_back),                                                                                                 \
      PLAIN(add_readers),       PLAIN(drop_rows),           BARRIERS(layer_norm),      BARRIERS(layer_norm_back), \
      BARRIERS(row_affine),     BARRIERS(attention_weights), BARRIERS(attention_slopes), PLAIN(mix_tokens),      \
      BARRIERS(log_sums),       PLAIN(mean_probabilities),  BARRIERS(mean_probabilities_back),                   \
      {nullptr, nullptr, false},                                                                                 \
  };

namespace float_1 {
#define REAL float
#define WIDTH 1
#include "kernels.cu"
KERNELS
#undef REAL
#undef WIDTH
}
namespace float_4 {
#define REAL float
#define WIDTH 4
#include "kernels.cu"
KERNELS
#undef REAL
#undef WIDTH
}
namespace bf16_1 {
#define REAL bf16
#define WIDTH 1
#include "kernels.cu"
KERNELS
#undef REAL
#undef WIDTH
}
namespace bf16_8 {
#define REAL bf16
#define WIDTH 8
#include "kernels.cu"
KERNELS
#undef REAL
#undef WIDTH
}

// ---- The driver's functions ----

extern "C" {

CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice) {
  *context = &home;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(void **context) {
  *context = &home;
  return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(void *) { return CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return CUDA_SUCCESS; }

struct Event {
  double milliseconds = 0;
  Stream *stream = nullptr;

  void wait() {
    if (stream) stream->finish();
  }
};

static void not_captured(Stream *stream, const char *what) {
  if (!stream->captured) return;
  fprintf(stderr, "emulated GPU: %s while a graph is captured\n", what);
  abort();
}

CUresult cuStreamBeginCapture_v2(Stream *stream, int) {
  stream->finish();
  stream->captured = new Graph;
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(Stream *stream, Graph **graph) {
  const CUresult INVALIDATED = 901;
  *graph = std::exchange(stream->captured, nullptr);
  return from_environment("EMULATED_CAPTURE", 1) ? CUDA_SUCCESS : INVALIDATED;
}
// A graph that can run is the graph itself, which stays until both are destroyed: to the end.
CUresult cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) {
  *executable = graph;
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(Graph *) { return CUDA_SUCCESS; }
CUresult cuGraphDestroy(Graph *) { return CUDA_SUCCESS; }
CUresult cuGraphLaunch(Graph *graph, Stream *stream) {
  not_captured(stream, "a graph is launched");
  stream->finish();
  for (auto &node : graph->nodes) node();
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(Stream **stream, unsigned) {
  *stream = new Stream;
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy_v2(Stream *stream) {
  stream->finish();  // It stays: events may still name it.
  return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(Stream *stream) {
  not_captured(stream, "a stream is waited for");
  stream->finish();
  return CUDA_SUCCESS;
}
CUresult cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
  not_captured(stream, "an event is waited for");
  event->wait();
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(Event **event, unsigned) {
  *event = new Event;
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(Event *event) {
  delete event;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(Event *event, Stream *stream) {
  not_captured(stream, "an event is recorded");
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *event = {now.tv_sec * 1e3 + now.tv_nsec / 1e6, stream};
  return CUDA_SUCCESS;
}
CUresult cuEventSynchronize(Event *event) {
  event->wait();
  return CUDA_SUCCESS;
}
CUresult cuEventElapsedTime_v2(float *milliseconds, Event *start, Event *end) {
  *milliseconds = end->milliseconds - start->milliseconds;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult, const char **text) {
  *text = "an error of the emulated GPU";
  return CUDA_SUCCESS;
}

const size_t PAGE = 4096;

// Bytes that the GPU has in all.
static size_t all_memory() {
  const char *text = getenv("EMULATED_BYTES");
  return text ? strtoull(text, nullptr, 10) : (size_t)80 << 30;
}
static size_t memory_left = all_memory();

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  cuDeviceTotalMem_v2(total, 0);
  *free = memory_left;
  return CUDA_SUCCESS;
}

// The end of what is given lies on a page's end, but for less than 256 bytes, to which addresses are aligned.
CUresult cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
  const CUresult OUT_OF_MEMORY = 2;
  if (!bytes) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > memory_left) return OUT_OF_MEMORY;
  size_t aligned = (bytes + 255) / 256 * 256, pages = (aligned + 2 * PAGE - 1) / PAGE * PAGE;
  char *first = (char *)mmap(0, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (first == MAP_FAILED) return OUT_OF_MEMORY;
  mprotect(first + pages, PAGE, PROT_NONE);
  memory_left -= bytes;
  *address = (unsigned long long)(first + pages - aligned);
  memset((void *)*address, 0xff, aligned);
  return CUDA_SUCCESS;
}
// The process is short: nothing is given back.
CUresult cuMemFree_v2(unsigned long long) { return CUDA_SUCCESS; }

CUresult cuMemAllocAsync(unsigned long long *address, size_t bytes, Stream *stream) {
  not_captured(stream, "memory is taken");
  return cuMemAlloc_v2(address, bytes);
}
CUresult cuMemFreeAsync(unsigned long long, Stream *stream) {
  not_captured(stream, "memory is given back");
  return CUDA_SUCCESS;
}

// Pinned memory, by its ends.
static std::map<char *, char *> pinned;
static pthread_mutex_t pinning = PTHREAD_MUTEX_INITIALIZER;

CUresult cuMemHostAlloc(char **address, size_t bytes, unsigned) {
  *address = (char *)malloc(bytes);
  pthread_mutex_lock(&pinning);
  pinned[*address + bytes] = *address;
  pthread_mutex_unlock(&pinning);
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(char *address) {
  pthread_mutex_lock(&pinning);
  pinned.erase(pinned.upper_bound(address));
  pthread_mutex_unlock(&pinning);
  free(address);
  return CUDA_SUCCESS;
}
static bool is_pinned(const void *address) {
  pthread_mutex_lock(&pinning);
  auto range = pinned.upper_bound((char *)address);
  bool found = range != pinned.end() && range->second <= address;
  pthread_mutex_unlock(&pinning);
  return found;
}

CUresult cuMemsetD8Async(unsigned long long address, unsigned char value, size_t bytes, Stream *stream) {
  stream->queue([=] { memset((void *)address, value, bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, Stream *stream) {
  if (stream->captured) {
    if (!is_pinned(from)) not_captured(stream, "memory is copied that is not pinned");
    stream->queue([=] { memcpy((void *)to, from, bytes); });
    return CUDA_SUCCESS;
  }
  stream->copies.push_back({(void *)to, from, bytes});
  if (!is_pinned(from)) stream->finish();
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, Stream *stream) {
  stream->queue([=] { memcpy((void *)to, (void *)from, bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, Stream *stream) {
  not_captured(stream, "a result is copied");
  stream->finish();
  memcpy(to, (void *)from, bytes);
  return CUDA_SUCCESS;
}

// What the emulated NVRTC made: the beginning of the text that it got.
CUresult cuModuleLoadData(void **module, const char *text) {
  const struct {
    const char *head;
    Kernel *kernels;
  } variants[] = {
      {"#define REAL float\n#define WIDTH 1\n", float_1::kernels},
      {"#define REAL float\n#define WIDTH 4\n", float_4::kernels},
      {"#define REAL bf16\n#define WIDTH 1\n", bf16_1::kernels},
      {"#define REAL bf16\n#define WIDTH 8\n", bf16_8::kernels},
  };
  for (auto &variant : variants) {
    if (strncmp(variant.head, text, strlen(variant.head))) continue;
    *module = variant.kernels;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuModuleUnload(void *) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(void **function, void *module, const char *name) {
  const CUresult NOT_FOUND = 500;
  for (Kernel *kernel = (Kernel *)module; kernel->name; kernel++) {
    if (strcmp(kernel->name, name)) continue;
    *function = kernel;
    return CUDA_SUCCESS;
  }
  return NOT_FOUND;
}

CUresult cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned, Stream *stream, void **parameters, void **) {
  if (!gx || !gy || gz != 1 || gy > 65535 || bz != 1 || bx * by > FIBERS) return CUDA_ERROR_INVALID_VALUE;
  Kernel *kernel = (Kernel *)function;
  auto run = kernel->bind(parameters);
  stream->queue([=] { run_grid(*kernel, run, {(int)gx, (int)gy, 1}, {(int)bx, (int)by, 1}); });
  return CUDA_SUCCESS;
}
}
