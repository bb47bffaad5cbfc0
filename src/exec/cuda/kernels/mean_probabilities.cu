// The logarithm of probabilities averaged over pixels, as ops/mean_probabilities.rs: y[c] = ln((1/P)·Σ_p exp(x[p, c] − l[p])) with
// l[p] = ln Σ_c exp(x[p, c]).
//
// Backward, with s = exp(x − l) and u = dy/exp(y): dx[p] = s∘(u − Σ_c s·u)/P. dy and y may be float32 beside activations of another dtype.
//
// Check: cargo test --test cuda.

// l of each pixel: a line of threads has one.
KERNEL void log_sums(const real* x, int pixels, int channels, float* sums) {
  int pixel = line();
  bool is_there = pixel < pixels;
  x += (size_t)pixel * channels;
  float largest = -1e38f;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + channel);
    EACH largest = values.at[k] > largest ? values.at[k] : largest;
  }
  largest = largest_of_lanes(largest);
  double sum = 0;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + channel);
    EACH sum += expf(values.at[k] - largest);
  }
  sum = over_lanes(sum);
  if (is_there && threadIdx.x == 0) sums[pixel] = largest + log(sum);
}

KERNEL void mean_probabilities(const real* x, const float* sums, int pixels, int channels, int is_float32, void* y) {
  int channel = place(), row = blockIdx.y;
  if (channel >= channels) return;
  x += (size_t)row * pixels * channels + channel;
  Values means = {};
  for (int pixel = 0; pixel < pixels; pixel++) {
    Values values = load(x + (size_t)pixel * channels);
    EACH means.at[k] += expf(values.at[k] - sums[row * pixels + pixel]);
  }
  EACH means.at[k] = logf(means.at[k] / pixels);
  store_either(means, y, is_float32, (size_t)row * channels + channel);
}

// `count`: pixels of all rows.
KERNEL void mean_probabilities_back(const void* dy, int dy_is_float32, const real* x, const void* y, int y_is_float32,
                                    const float* sums, int count, int pixels, int channels, real* dx) {
  int pixel = line();
  bool is_there = pixel < count;
  size_t first = (size_t)pixel * channels, of_row = (size_t)(pixel / pixels) * channels;
  double sum = 0;
  float log_sum = is_there ? sums[pixel] : 0;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + first + channel), slopes = load_either(dy, dy_is_float32, of_row + channel);
    Values outputs = load_either(y, y_is_float32, of_row + channel);
    EACH sum += (double)expf(values.at[k] - log_sum) * slopes.at[k] / expf(outputs.at[k]);
  }
  float mean = over_lanes(sum);
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + first + channel), slopes = load_either(dy, dy_is_float32, of_row + channel);
    Values outputs = load_either(y, y_is_float32, of_row + channel);
    EACH values.at[k] = expf(values.at[k] - log_sum) * (slopes.at[k] / expf(outputs.at[k]) - mean) / pixels;
    store(values, dx + first + channel);
  }
}
