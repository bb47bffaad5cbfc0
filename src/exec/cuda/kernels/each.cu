// Steps over single values, with a thread for each.
//
// Check: cargo test --test cuda.

__device__ inline size_t over_all() { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }

extern "C" __global__ void relu(const real* x, size_t count, real* y) {
  size_t i = over_all();
  if (i < count) y[i] = x[i] < 0 ? (real)0 : x[i];  // NaN stays.
}

extern "C" __global__ void relu_back(const real* dy, const real* y, size_t count, real* dx) {
  size_t i = over_all();
  if (i < count) dx[i] = y[i] > 0 ? dy[i] : (real)0;
}

extern "C" __global__ void add(const real* a, const real* b, size_t count, real* y) {
  size_t i = over_all();
  if (i < count) y[i] = a[i] + b[i];
}

extern "C" __global__ void multiply(const real* a, const real* b, size_t count, real* y) {
  size_t i = over_all();
  if (i < count) y[i] = a[i] * b[i];
}
