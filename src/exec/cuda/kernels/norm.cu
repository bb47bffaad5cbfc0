// Batch norms over the frames of a group: y = γ·x̂ + β (+ residual), ReLU; x̂ = (x − μ)·r, r = 1/sqrt(σ² + ε).
//
// As exec/cpu/norm.rs, whose formulas, partial sums and coefficients these are: each frame's mean and sum of squares
// around it, then each group's. Backward, with g = dy where the ReLU passed: dβ = Σg, dγ = Σg·x̂,
// dx = γ·r·(g − dβ/n − x̂·dγ/n). A group's coefficients are four rows: μ, r, γ·r, β.
//
// Check: cargo test --test cuda.

// Of V channels of a group.
struct Coefficients {
  Values mean, inverse, scale, bias;

  __device__ Coefficients(const float* coefficients, int group, int row, int channel) {
    const float* at = coefficients + (size_t)group * 4 * row + channel;
    mean = floats(at), inverse = floats(at + row), scale = floats(at + 2 * row), bias = floats(at + 3 * row);
  }

  __device__ float normalized(float x, int k) const { return (x - mean.at[k]) * scale.at[k] + bias.at[k]; }

  // x̂
  __device__ float standardized(float x, int k) const { return (x - mean.at[k]) * inverse.at[k]; }
};

__device__ inline void set_coefficients(float* coefficients, int row, int channel, double mean, double var, float weight,
                                        float bias) {
  double inverse = 1 / sqrt(var + NORM_EPSILON);
  coefficients[channel] = mean;
  coefficients[row + channel] = inverse;
  coefficients[2 * row + channel] = weight * inverse;
  coefficients[3 * row + channel] = bias;
}

// partials[frame] = the mean of each channel, then the sum of squares around it: from Σx and Σx², which float64 holds to
// the last bit that matters for float32 values.
KERNEL void frame_statistics(const real* x, int pixels, int channels, float* partials) {
  int channel = lane(), frame = blockIdx.y;
  Sums sums = {}, squares = {};
  if (channel < channels) {
    x += (size_t)frame * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      Values values = load(x + pixel * channels);
      EACH {
        double v = values.at[k];
        sums.at[k] += v;
        squares.at[k] += v * v;
      }
    }
  }
  sums = over_rows(sums);
  squares = over_rows(squares);
  if (channel >= channels || threadIdx.y > 0) return;
  float* partial = partials + (size_t)frame * 2 * channels + channel;
  EACH {
    double mean = sums.at[k] / pixels, around = squares.at[k] - sums.at[k] * mean;
    partial[k] = mean;
    partial[channels + k] = around < 0 ? 0 : around;  // NaN stays.
  }
}

// One group: coefficients, and the running statistics where they follow (not null). `partials`: of its first frame. For
// V = 1.
KERNEL void group_statistics(const float* partials, int frames, int pixels, int channels, int row, const float* weight,
                             const float* bias, float* running_mean, float* running_var, float* coefficients) {
  int channel = lane();
  // Lanes beyond the last channel repeat it: all threads meet at the barriers.
  partials += channel < channels ? channel : channels - 1;
  double mean = over_frames(partials, frames, 2 * channels).at[0] / frames;
  double within = over_frames(partials + channels, frames, 2 * channels).at[0];
  Sums between = {};
  for (int frame = threadIdx.y; frame < frames; frame += blockDim.y) {
    double distance = partials[(size_t)frame * 2 * channels] - mean;
    between.at[0] += distance * distance;
  }
  double squares = within + over_rows(between).at[0] * pixels;
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)frames * pixels;
  set_coefficients(coefficients, row, channel, mean, squares / count, weight[channel], bias[channel]);
  if (running_mean) {
    double unbiased = squares / (count > 2 ? count - 1 : 1);
    running_mean[channel] = (1 - NORM_MOMENTUM) * running_mean[channel] + NORM_MOMENTUM * mean;
    running_var[channel] = (1 - NORM_MOMENTUM) * running_var[channel] + NORM_MOMENTUM * unbiased;
  }
}

// One group's coefficients from running statistics. For V = 1.
KERNEL void running_statistics(const float* mean, const float* var, const float* weight, const float* bias, int channels,
                               int row, float* coefficients) {
  int channel = place();
  if (channel >= channels) return;
  set_coefficients(coefficients, row, channel, mean[channel], var[channel], weight[channel], bias[channel]);
}

KERNEL void normalize(const real* x, const float* coefficients, const int* group_of, const real* residual, int relu,
                      int length, int channels, int row, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  Coefficients of(coefficients, group_of[frame], row, at % channels);
  size_t i = (size_t)frame * length + at;
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

// partials[frame] = Σg of each channel, then Σg·x̂; g itself goes to `masked` where that is not null.
KERNEL void frame_gradients(const real* dy, const real* x, const float* coefficients, const int* group_of, const real* y,
                            int recomputed, int pixels, int channels, int row, real* masked, float* partials) {
  int channel = lane(), frame = blockIdx.y;
  Sums sums = {}, products = {};
  if (channel < channels) {
    Coefficients of(coefficients, group_of[frame], row, channel);
    size_t first = (size_t)frame * pixels * channels + channel;
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
  sums = over_rows(sums);
  products = over_rows(products);
  if (channel >= channels || threadIdx.y > 0) return;
  float* partial = partials + (size_t)frame * 2 * channels + channel;
  EACH partial[k] = sums.at[k];
  EACH partial[channels + k] = products.at[k];
}

// One group: adds to dβ and dγ; means = rows of Σg/n and Σg·x̂/n. For V = 1.
KERNEL void group_gradients(const float* partials, int frames, int pixels, int channels, int row, float* d_bias,
                            float* d_weight, float* means) {
  int channel = lane();
  partials += channel < channels ? channel : channels - 1;
  double sum = over_frames(partials, frames, 2 * channels).at[0];
  double product = over_frames(partials + channels, frames, 2 * channels).at[0];
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)frames * pixels;
  d_bias[channel] += (float)sum;
  d_weight[channel] += (float)product;
  means[channel] = sum / count;
  means[row + channel] = product / count;
}

// dx, of a frozen norm where means is null. `dy` is g already, unless the mask is to be computed again.
KERNEL void normalize_back(const real* dy, const real* x, const float* coefficients, const float* means,
                           const int* group_of, int recomputed, int length, int channels, int row, real* dx) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels, group = group_of[frame];
  Coefficients of(coefficients, group, row, channel);
  size_t i = (size_t)frame * length + at;
  Values values = load(x + i), gradients = behind_relu(of, load(dy + i), values, nullptr, recomputed);
  if (means) {
    const float* mean = means + (size_t)group * 2 * row + channel;
    Values sums = floats(mean), products = floats(mean + row);
    EACH gradients.at[k] -= sums.at[k] + of.standardized(values.at[k], k) * products.at[k];
  }
  EACH gradients.at[k] *= of.scale.at[k];
  store(gradients, dx + i);
}
