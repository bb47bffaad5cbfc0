// What all kernels share.
//
// Activations are NHWC, frames × pixels × channels. A kernel over single values has a thread for each value of a frame and
// a row of blocks for each frame; one that sums over pixels or frames has blocks of LANES channels × ROWS rows, each row
// adding up every ROWS-th term. Sums are float64 and have an order that shapes alone decide: no atomics. Indices within
// a frame are int, those over all frames size_t.

typedef float real;  // an activation's element

const int LANES = 32;
const int ROWS = 16;

// The place in a frame of a thread over single values.
__device__ inline int place() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The channel of a thread that sums.
__device__ inline int lane() { return blockIdx.x * LANES + threadIdx.x; }

// The sum over the block's rows of a value of each thread, in order; every thread of a lane has it.
__device__ double over_rows(double value) {
  __shared__ double values[ROWS][LANES];
  __syncthreads();  // Readers of an earlier sum are done.
  values[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  double sum = 0;
  for (int row = 0; row < ROWS; row++) sum += values[row][threadIdx.x];
  return sum;
}

// The sum of column `channel` over rows that lie `stride` values apart.
__device__ double over_frames(const float* rows, int count, int stride) {
  double sum = 0;
  for (int row = threadIdx.y; row < count; row += ROWS) sum += rows[(size_t)row * stride];
  return over_rows(sum);
}
