// Means, and sums over pixels, as ops/mean.rs and ops/binary.rs.
//
// What comes out may be float32 beside activations of another dtype.
//
// Check: cargo test --test cuda.

// y[row] = Σ a / divisor of each channel over the row's pixels; Σ a·b / divisor where b is not null.
KERNEL void sum_pixels(const real* a, const real* b, int pixels, int channels, float divisor, int is_float32, void* y) {
  int channel = lane(), row = blockIdx.y;
  Sums sums = {};
  if (channel < channels) {
    size_t first = (size_t)row * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      size_t i = first + pixel * channels;
      Values values = load(a + i), others;
      EACH others.at[k] = 1;
      if (b) others = load(b + i);
      EACH sums.at[k] += (double)values.at[k] * others.at[k];
    }
  }
  sums = over_lines(sums);
  if (channel >= channels || threadIdx.y > 0) return;
  Values values;
  EACH values.at[k] = sums.at[k] / divisor;
  store_either(values, y, is_float32, (size_t)row * channels + channel);
}

// y = the means of `count` rows of `length` values for each part of x: of the rows of a clip.
KERNEL void mean_rows(const real* x, int count, int length, int is_float32, void* y) {
  int at = place(), part = blockIdx.y;
  if (at >= length) return;
  x += (size_t)part * count * length + at;
  Values means = {};
  for (int row = 0; row < count; row++) {
    Values values = load(x + (size_t)row * length);
    EACH means.at[k] += values.at[k];
  }
  EACH means.at[k] /= count;
  store_either(means, y, is_float32, (size_t)part * length + at);
}

// dx = dy / count, for each of the `count` times that dy's values are repeated in a part of dx: the pixels of a row, the rows
// of a clip. `length`: of a part of dx; `values`: of one of dy.
KERNEL void mean_back(const void* dy, int is_float32, int count, int length, int values, real* dx) {
  int at = place(), part = blockIdx.y;
  if (at >= length) return;
  Values gradients = load_either(dy, is_float32, (size_t)part * values + at % values);
  EACH gradients.at[k] /= count;
  store(gradients, dx + (size_t)part * length + at);
}
