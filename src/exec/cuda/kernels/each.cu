// Functions of single values, as ops/each.rs, and dropout.
//
// Check: cargo test --test cuda.

KERNEL void relu(const real* x, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i);
  EACH values.at[k] = positive(values.at[k]);
  store(values, y + i);
}

KERNEL void relu_back(const real* dy, const real* y, size_t count, real* dx) {
  size_t i = over_all();
  if (i >= count) return;
  Values gradients = load(dy + i), values = load(y + i);
  EACH gradients.at[k] = values.at[k] > 0 ? gradients.at[k] : 0;
  store(gradients, dx + i);
}

KERNEL void sigmoid(const real* x, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i);
  EACH values.at[k] = 1 / (1 + expf(-values.at[k]));
  store(values, y + i);
}

KERNEL void sigmoid_back(const real* dy, const real* y, size_t count, real* dx) {
  size_t i = over_all();
  if (i >= count) return;
  Values gradients = load(dy + i), values = load(y + i);
  EACH gradients.at[k] *= values.at[k] * (1 - values.at[k]);
  store(gradients, dx + i);
}

// Φ: the distribution function of the normal distribution.
__device__ inline float normal(float x) { return 0.5f * (1 + erff(x * 0.70710678f)); }

KERNEL void gelu(const real* x, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i);
  EACH values.at[k] *= normal(values.at[k]);
  store(values, y + i);
}

KERNEL void gelu_back(const real* dy, const real* x, size_t count, real* dx) {
  size_t i = over_all();
  if (i >= count) return;
  Values gradients = load(dy + i), values = load(x + i);
  EACH {
    float at = values.at[k];
    gradients.at[k] *= normal(at) + at * 0.39894228f * expf(-0.5f * at * at);
  }
  store(gradients, dx + i);
}

KERNEL void add_constant(const real* x, float constant, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i);
  EACH values.at[k] += constant;
  store(values, y + i);
}

// y = x·m, where m was drawn on the host; m is kept for the gradient.
KERNEL void dropout(const real* x, const float* drawn, size_t count, real* y, real* mask) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i), kept = floats(drawn + i);
  EACH values.at[k] *= kept.at[k];
  store(values, y + i);
  store(kept, mask + i);
}

// The same with one number of each row and channel.
KERNEL void drop_rows(const real* x, const float* drawn, int length, int channels, real* y, real* mask) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  size_t i = (size_t)row * length + at, of_row = (size_t)row * channels + at % channels;
  Values values = load(x + i), kept = floats(drawn + of_row);
  EACH values.at[k] *= kept.at[k];
  store(values, y + i);
  if (at < channels) store(kept, mask + of_row);
}
