// What all kernels share.
//
// Activations are NHWC, rows × pixels × channels, of dtype `real`: float or bf16. A thread takes V neighbouring values at
// once, which are channels of one pixel: V is 1, or as many as 16 bytes hold. This text is compiled for each REAL and WIDTH
// by itself. Arithmetic is float32 whatever the dtype; values are rounded to the nearest when they are stored, ties to even.
//
// A kernel over single values has a thread for every V values of a row, and a line of blocks for each row. One that sums
// over pixels or rows has blocks of lanes × lines, THREADS in all and both powers of two: a lane has V channels, and each
// line adds up every so many-th term; or, within rows, a line has a row, and its lanes what lies every so many values apart. Sums are float64 and have an order that shapes alone decide: no atomics. Indices
// within a row are int, those over all rows size_t.

struct bf16 {
  unsigned short bits;  // The upper half of a float32.
};

typedef REAL real;
const int V = WIDTH;
const int THREADS = 512;  // of a block that sums

#ifndef KERNEL
#define KERNEL extern "C" __global__
#endif
#define EACH for (int k = 0; k < V; k++)

__device__ inline float widened(float value) { return value; }
__device__ inline float widened(bf16 value) { return __uint_as_float((unsigned)value.bits << 16); }

__device__ inline void round_to(float value, float* to) { *to = value; }
__device__ inline void round_to(float value, bf16* to) {
#ifdef __CUDA_ARCH__
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(value));
#else
  unsigned bits = __float_as_uint(value), odd = bits >> 16 & 1;
  to->bits = value != value ? 0x7fff : (bits + 0x7fff + odd) >> 16;
#endif
}

template <class T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Vector {
  T at[count];
};
typedef Vector<float, V> Values;
typedef Vector<double, V> Sums;

// V activations.
__device__ inline Values load(const real* from) {
  Vector<real, V> found = *(const Vector<real, V>*)from;
  Values values;
  EACH values.at[k] = widened(found.at[k]);
  return values;
}

__device__ inline void store(Values values, real* to) {
  Vector<real, V> rounded;
  EACH round_to(values.at[k], &rounded.at[k]);
  *(Vector<real, V>*)to = rounded;
}

// V values of what is float32 in every program.
__device__ inline Values floats(const float* from) { return *(const Values*)from; }

__device__ inline void store_floats(Values values, float* to) { *(Values*)to = values; }

// V values from index `at` on of a buffer that may be float32 beside activations of another dtype.
__device__ inline Values load_either(const void* from, int is_float32, size_t at) {
  return is_float32 ? floats((const float*)from + at) : load((const real*)from + at);
}

__device__ inline void store_either(Values values, void* to, int is_float32, size_t at) {
  if (is_float32) {
    store_floats(values, (float*)to + at);
  } else {
    store(values, (real*)to + at);
  }
}

// How many rows of its clip lie before and after a row, for operations along time.
struct Span {
  int before, after;

  // Whether the row `offset` rows later is one of the clip.
  __device__ bool has(int offset) const { return offset < 0 ? -offset <= before : offset <= after; }
};

// max(v, 0); NaN stays.
__device__ inline float positive(float v) { return v < 0 ? 0 : v; }

// The first value, within a row, of a thread over single values.
__device__ inline int place() { return (blockIdx.x * blockDim.x + threadIdx.x) * V; }

// The same in a buffer that is one row.
__device__ inline size_t over_all() { return ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V; }

// The first channel of a thread that sums.
__device__ inline int lane() { return (blockIdx.x * blockDim.x + threadIdx.x) * V; }

// The row of a thread that sums within a row, which the lanes of a line share.
__device__ inline int line() { return blockIdx.x * blockDim.y + threadIdx.y; }

// The sum over the lanes of a line, by halves; every thread of the line has it. All threads of a block come here.
__device__ inline double over_lanes(double sum) {
  __shared__ double values[THREADS];
  int first = threadIdx.y * blockDim.x, thread = first + threadIdx.x;
  __syncthreads();  // Readers of an earlier sum are done.
  values[thread] = sum;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) values[thread] += values[thread + half];
  }
  __syncthreads();
  return values[first];
}

// The largest value of a line likewise.
__device__ inline float largest_of_lanes(float largest) {
  __shared__ float values[THREADS];
  int first = threadIdx.y * blockDim.x, thread = first + threadIdx.x;
  __syncthreads();
  values[thread] = largest;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half && values[thread] < values[thread + half]) values[thread] = values[thread + half];
  }
  __syncthreads();
  return values[first];
}

// The sum over the block's lines of each thread's values, by halves; every thread of a lane has it.
__device__ inline Sums over_lines(Sums sums) {
  __shared__ double values[V][THREADS];
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();  // Readers of an earlier sum are done.
  EACH values[k][thread] = sums.at[k];
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) EACH values[k][thread] += values[k][thread + half * blockDim.x];
  }
  __syncthreads();
  EACH sums.at[k] = values[k][threadIdx.x];
  return sums;
}

// The sum of V columns over `count` rows that lie `stride` values apart.
__device__ inline Sums over_rows(const float* rows, int count, int stride) {
  Sums sums = {};
  for (int row = threadIdx.y; row < count; row += blockDim.y) {
    Values values = floats(rows + (size_t)row * stride);
    EACH sums.at[k] += values.at[k];
  }
  return over_lines(sums);
}
