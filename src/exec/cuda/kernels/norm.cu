// Batch norms over the rows of a group, as ops/batch_norm.rs: y = γ·x̂ + β (+ residual), ReLU; x̂ = (x − μ)·r,
// r = 1/sqrt(σ² + ε).
//
// Each row's mean and sum of squares around it come first, then each group's. Backward, with g = dy where the ReLU passed:
// dβ = Σg, dγ = Σg·x̂, dx = γ·r·(g − dβ/n − x̂·dγ/n). A group's coefficients are four times the channels: μ, r, γ·r, β.
//
// Check: cargo test --test cuda.

// Of V channels of a group.
struct Coefficients {
  Values mean, inverse, scale, bias;

  __device__ Coefficients(const float* coefficients, int group, int channels, int channel) {
    const float* at = coefficients + (size_t)group * 4 * channels + channel;
    mean = floats(at), inverse = floats(at + channels);
    scale = floats(at + 2 * channels), bias = floats(at + 3 * channels);
  }

  __device__ float normalized(float x, int k) const { return (x - mean.at[k]) * scale.at[k] + bias.at[k]; }

  // x̂
  __device__ float standardized(float x, int k) const { return (x - mean.at[k]) * inverse.at[k]; }
};

struct Affine {
  const float *weight, *bias;
  double eps;
};

__device__ inline void set_coefficients(float* coefficients, int channels, int channel, double mean, double var,
                                        Affine affine) {
  double inverse = 1 / sqrt(var + affine.eps);
  coefficients[channel] = mean;
  coefficients[channels + channel] = inverse;
  coefficients[2 * channels + channel] = affine.weight[channel] * inverse;
  coefficients[3 * channels + channel] = affine.bias[channel];
}

// partials[row] = the mean of each channel, then the sum of squares around it: from Σx and Σx², which float64 holds to
// the last bit that matters for float32 values.
KERNEL void row_statistics(const real* x, int pixels, int channels, float* partials) {
  int channel = lane(), row = blockIdx.y;
  Sums sums = {}, squares = {};
  if (channel < channels) {
    x += (size_t)row * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      Values values = load(x + pixel * channels);
      EACH {
        double v = values.at[k];
        sums.at[k] += v;
        squares.at[k] += v * v;
      }
    }
  }
  sums = over_lines(sums);
  squares = over_lines(squares);
  if (channel >= channels || threadIdx.y > 0) return;
  float* partial = partials + (size_t)row * 2 * channels + channel;
  EACH {
    double mean = sums.at[k] / pixels, around = squares.at[k] - sums.at[k] * mean;
    partial[k] = mean;
    partial[channels + k] = around < 0 ? 0 : around;  // NaN stays.
  }
}

// One group: coefficients, and the running statistics where they follow (not null). `partials`: of its first row. For
// V = 1.
KERNEL void group_statistics(const float* partials, int rows, int pixels, int channels, const float* weight,
                             const float* bias, double eps, float* running_mean, float* running_var,
                             float* coefficients) {
  int channel = lane();
  // Lanes beyond the last channel repeat it: all threads meet at the barriers.
  partials += channel < channels ? channel : channels - 1;
  double mean = over_rows(partials, rows, 2 * channels).at[0] / rows;
  double within = over_rows(partials + channels, rows, 2 * channels).at[0];
  Sums between = {};
  for (int row = threadIdx.y; row < rows; row += blockDim.y) {
    double distance = partials[(size_t)row * 2 * channels] - mean;
    between.at[0] += distance * distance;
  }
  double squares = within + over_lines(between).at[0] * pixels;
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)rows * pixels;
  set_coefficients(coefficients, channels, channel, mean, squares / count, {weight, bias, eps});
  if (running_mean) {
    double unbiased = squares / (count > 2 ? count - 1 : 1);
    running_mean[channel] = (1 - NORM_MOMENTUM) * running_mean[channel] + NORM_MOMENTUM * mean;
    running_var[channel] = (1 - NORM_MOMENTUM) * running_var[channel] + NORM_MOMENTUM * unbiased;
  }
}

// One group's coefficients from running statistics. For V = 1.
KERNEL void running_statistics(const float* mean, const float* var, const float* weight, const float* bias, double eps,
                               int channels, float* coefficients) {
  int channel = place();
  if (channel >= channels) return;
  set_coefficients(coefficients, channels, channel, mean[channel], var[channel], {weight, bias, eps});
}

KERNEL void normalize(const real* x, const float* coefficients, const int* group_of, const real* residual, int relu,
                      int length, int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  Coefficients of(coefficients, group_of[row], channels, at % channels);
  size_t i = (size_t)row * length + at;
  Values values = load(x + i);
  EACH values.at[k] = of.normalized(values.at[k], k);
  if (residual) {
    Values others = load(residual + i);
    EACH values.at[k] += others.at[k];
  }
  if (relu) EACH values.at[k] = positive(values.at[k]);
  store(values, y + i);
}

// g: dy where the ReLU passed. The mask is that of the output y, if there is one, or computed again.
__device__ inline Values behind_relu(const Coefficients& of, Values gradients, Values x, const real* y, int recomputed) {
  Values outputs;
  if (recomputed) {
    EACH outputs.at[k] = of.normalized(x.at[k], k);
  } else if (y) {
    outputs = load(y);
  } else {
    return gradients;
  }
  EACH gradients.at[k] = outputs.at[k] > 0 ? gradients.at[k] : 0;
  return gradients;
}

// partials[row] = Σg of each channel, then Σg·x̂; g itself goes to `masked` where that is not null.
KERNEL void row_gradients(const real* dy, const real* x, const float* coefficients, const int* group_of, const real* y,
                          int recomputed, int pixels, int channels, real* masked, float* partials) {
  int channel = lane(), row = blockIdx.y;
  Sums sums = {}, products = {};
  if (channel < channels) {
    Coefficients of(coefficients, group_of[row], channels, channel);
    size_t first = (size_t)row * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      size_t i = first + pixel * channels;
      Values values = load(x + i);
      Values gradients = behind_relu(of, load(dy + i), values, y ? y + i : nullptr, recomputed);
      if (masked) store(gradients, masked + i);
      EACH {
        sums.at[k] += gradients.at[k];
        products.at[k] += (double)gradients.at[k] * of.standardized(values.at[k], k);
      }
    }
  }
  sums = over_lines(sums);
  products = over_lines(products);
  if (channel >= channels || threadIdx.y > 0) return;
  float* partial = partials + (size_t)row * 2 * channels + channel;
  EACH partial[k] = sums.at[k];
  EACH partial[channels + k] = products.at[k];
}

// One group: adds to dβ and dγ; means = rows of Σg/n and Σg·x̂/n. For V = 1.
KERNEL void group_gradients(const float* partials, int rows, int pixels, int channels, float* d_bias,
                            float* d_weight, float* means) {
  int channel = lane();
  partials += channel < channels ? channel : channels - 1;
  double sum = over_rows(partials, rows, 2 * channels).at[0];
  double product = over_rows(partials + channels, rows, 2 * channels).at[0];
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)rows * pixels;
  d_bias[channel] += (float)sum;
  d_weight[channel] += (float)product;
  means[channel] = sum / count;
  means[channels + channel] = product / count;
}

// dx, of a frozen norm where means is null. `dy` is g already where there is no mask: neither `y` nor `recomputed`.
KERNEL void normalize_back(const real* dy, const real* x, const float* coefficients, const float* means,
                           const int* group_of, const real* y, int recomputed, int length, int channels, real* dx) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels, group = group_of[row];
  Coefficients of(coefficients, group, channels, channel);
  size_t i = (size_t)row * length + at;
  Values values = load(x + i);
  Values gradients = behind_relu(of, load(dy + i), values, y ? y + i : nullptr, recomputed);
  if (means) {
    const float* mean = means + (size_t)group * 2 * channels + channel;
    Values sums = floats(mean), products = floats(mean + channels);
    EACH gradients.at[k] -= sums.at[k] + of.standardized(values.at[k], k) * products.at[k];
  }
  EACH gradients.at[k] *= of.scale.at[k];
  store(gradients, dx + i);
}
