// Layer norms, as ops/layer_norm.rs: y = γ·x̂ + β, x̂ = (x − μ)·r over the channels of a pixel, r = 1/sqrt(σ² + ε).
//
// Backward, with g = γ·dy: dx = r·(g − Σg/C − x̂·Σ(g·x̂)/C), dγ = Σ dy·x̂ and dβ = Σ dy over pixels. A line of threads has a pixel.
//
// Check: cargo test --test cuda.

// Of a pixel's channels.
struct Moments {
  float mean, inverse;

  __device__ float standardized(float x) const { return (x - mean) * inverse; }
};

// From Σx and Σx², in float64; every thread of the line has them. All threads of a block come here.
__device__ inline Moments moments(const real* x, bool is_there, int channels, double eps) {
  double sum = 0, squares = 0;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + channel);
    EACH {
      double v = values.at[k];
      sum += v;
      squares += v * v;
    }
  }
  double mean = over_lanes(sum) / channels, var = over_lanes(squares) / channels - mean * mean;
  return {(float)mean, (float)(1 / sqrt((var < 0 ? 0 : var) + eps))};
}

KERNEL void layer_norm(const real* x, const float* weight, const float* bias, double eps, int pixels, int channels, real* y) {
  int pixel = line();
  bool is_there = pixel < pixels;
  size_t first = (size_t)pixel * channels;
  Moments of = moments(x + first, is_there, channels, eps);
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + first + channel), weights = floats(weight + channel), biases = floats(bias + channel);
    EACH values.at[k] = of.standardized(values.at[k]) * weights.at[k] + biases.at[k];
    store(values, y + first + channel);
  }
}

// dx; and for the gradients of weight and bias the moments of each pixel.
KERNEL void layer_norm_back(const real* dy, const real* x, const float* weight, double eps, int pixels, int channels,
                            Moments* all, real* dx) {
  int pixel = line();
  bool is_there = pixel < pixels;
  size_t first = (size_t)pixel * channels;
  Moments of = moments(x + first, is_there, channels, eps);
  double sum = 0, product = 0;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + first + channel), gradients = load(dy + first + channel), weights = floats(weight + channel);
    EACH {
      double g = (double)weights.at[k] * gradients.at[k];
      sum += g;
      product += g * of.standardized(values.at[k]);
    }
  }
  float mean = over_lanes(sum) / channels, slope = over_lanes(product) / channels;
  for (int channel = threadIdx.x * V; is_there && channel < channels; channel += blockDim.x * V) {
    Values values = load(x + first + channel), gradients = load(dy + first + channel), weights = floats(weight + channel);
    EACH {
      float g = weights.at[k] * gradients.at[k];
      gradients.at[k] = of.inverse * (g - mean - of.standardized(values.at[k]) * slope);
    }
    store(gradients, dx + first + channel);
  }
  if (is_there && threadIdx.x == 0) all[pixel] = of;
}

// Of each row Σ dy and Σ dy·x̂ of each channel over its pixels.
KERNEL void row_affine(const real* dy, const real* x, const Moments* all, int pixels, int channels, float* d_bias,
                       float* d_weight) {
  int channel = lane(), row = blockIdx.y;
  Sums sums = {}, products = {};
  if (channel < channels) {
    size_t first = (size_t)row * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      Values values = load(x + first + pixel * channels), gradients = load(dy + first + pixel * channels);
      Moments of = all[(size_t)row * pixels + pixel];
      EACH {
        sums.at[k] += gradients.at[k];
        products.at[k] += (double)gradients.at[k] * of.standardized(values.at[k]);
      }
    }
  }
  sums = over_lines(sums);
  products = over_lines(products);
  if (channel >= channels || threadIdx.y > 0) return;
  EACH d_bias[(size_t)row * channels + channel + k] = sums.at[k];
  EACH d_weight[(size_t)row * channels + channel + k] = products.at[k];
}
