// Batch norms over the frames of a group: y = γ·x̂ + β (+ residual), ReLU; x̂ = (x − μ)·r, r = 1/sqrt(σ² + ε).
//
// As exec/cpu/norm.rs, whose formulas, partial sums and coefficients these are: each frame's mean and sum of squares
// around it, then each group's. Backward, with g = dy where the ReLU passed: dβ = Σg, dγ = Σg·x̂,
// dx = γ·r·(g − dβ/n − x̂·dγ/n). A group's coefficients are four rows: μ, r, γ·r, β.
//
// Check: cargo test --test cuda.

struct Coefficients {
  float mean, inverse, scale, bias;
};

__device__ inline Coefficients coefficients_of(const float* coefficients, int group, int row, int channel) {
  const float* at = coefficients + (size_t)group * 4 * row + channel;
  return {at[0], at[row], at[2 * row], at[3 * row]};
}

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
extern "C" __global__ void frame_statistics(const real* x, int pixels, int channels, float* partials) {
  int channel = lane(), frame = blockIdx.y;
  double sum = 0, squares = 0;
  if (channel < channels) {
    x += (size_t)frame * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += ROWS) {
      double v = x[pixel * channels];
      sum += v;
      squares += v * v;
    }
  }
  sum = over_rows(sum);
  squares = over_rows(squares);
  if (channel < channels && threadIdx.y == 0) {
    double mean = sum / pixels, around = squares - sum * mean;
    float* partial = partials + (size_t)frame * 2 * channels + channel;
    partial[0] = mean;
    partial[channels] = around < 0 ? 0 : around;  // NaN stays.
  }
}

// One group: coefficients, and the running statistics where they follow (not null). `partials`: of its first frame.
extern "C" __global__ void group_statistics(const float* partials, int frames, int pixels, int channels, int row,
                                            const float* weight, const float* bias, float* running_mean,
                                            float* running_var, float* coefficients) {
  int channel = lane();
  // Lanes beyond the last channel repeat it: all threads meet at the barriers.
  int read = channel < channels ? channel : channels - 1;
  partials += read;
  double mean = over_frames(partials, frames, 2 * channels) / frames;
  double within = over_frames(partials + channels, frames, 2 * channels);
  double between = 0;
  for (int frame = threadIdx.y; frame < frames; frame += ROWS) {
    double distance = partials[(size_t)frame * 2 * channels] - mean;
    between += distance * distance;
  }
  double squares = within + over_rows(between) * pixels;
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)frames * pixels;
  set_coefficients(coefficients, row, channel, mean, squares / count, weight[channel], bias[channel]);
  if (running_mean) {
    double unbiased = squares / (count > 2 ? count - 1 : 1);
    running_mean[channel] = (1 - NORM_MOMENTUM) * running_mean[channel] + NORM_MOMENTUM * mean;
    running_var[channel] = (1 - NORM_MOMENTUM) * running_var[channel] + NORM_MOMENTUM * unbiased;
  }
}

// One group's coefficients from running statistics.
extern "C" __global__ void running_statistics(const float* mean, const float* var, const float* weight,
                                              const float* bias, int channels, int row, float* coefficients) {
  int channel = place();
  if (channel >= channels) return;
  set_coefficients(coefficients, row, channel, mean[channel], var[channel], weight[channel], bias[channel]);
}

extern "C" __global__ void normalize(const real* x, const float* coefficients, const int* group_of,
                                     const real* residual, int relu, int length, int channels, int row, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  Coefficients of = coefficients_of(coefficients, group_of[frame], row, at % channels);
  size_t i = (size_t)frame * length + at;
  float v = (x[i] - of.mean) * of.scale + of.bias;
  if (residual) v += residual[i];
  y[i] = relu && v < 0 ? 0 : v;  // NaN stays.
}

// The gradient behind a ReLU that follows the norm directly.
__device__ inline float behind_relu(Coefficients of, float dy, float x) {
  return (x - of.mean) * of.scale + of.bias > 0 ? dy : 0;
}

// partials[frame] = Σg of each channel, then Σg·x̂. The mask is that of the output y, if there is one, or computed again;
// g itself goes to `masked` where that is not null.
extern "C" __global__ void frame_gradients(const real* dy, const real* x, const float* coefficients,
                                           const int* group_of, const real* y, int recomputed, int pixels,
                                           int channels, int row, real* masked, float* partials) {
  int channel = lane(), frame = blockIdx.y;
  double sum = 0, product = 0;
  if (channel < channels) {
    Coefficients of = coefficients_of(coefficients, group_of[frame], row, channel);
    size_t first = (size_t)frame * pixels * channels + channel;
    for (int pixel = threadIdx.y; pixel < pixels; pixel += ROWS) {
      size_t i = first + pixel * channels;
      float g = recomputed ? behind_relu(of, dy[i], x[i]) : !y || y[i] > 0 ? (float)dy[i] : 0;
      if (masked) masked[i] = g;
      sum += g;
      product += (double)g * ((x[i] - of.mean) * of.inverse);
    }
  }
  sum = over_rows(sum);
  product = over_rows(product);
  if (channel < channels && threadIdx.y == 0) {
    float* partial = partials + (size_t)frame * 2 * channels + channel;
    partial[0] = sum;
    partial[channels] = product;
  }
}

// One group: adds to dβ and dγ; means = rows of Σg/n and Σg·x̂/n.
extern "C" __global__ void group_gradients(const float* partials, int frames, int pixels, int channels, int row,
                                           float* d_bias, float* d_weight, float* means) {
  int channel = lane();
  int read = channel < channels ? channel : channels - 1;
  double sum = over_frames(partials + read, frames, 2 * channels);
  double product = over_frames(partials + read + channels, frames, 2 * channels);
  if (channel >= channels || threadIdx.y > 0) return;
  double count = (double)frames * pixels;
  d_bias[channel] += (float)sum;
  d_weight[channel] += (float)product;
  means[channel] = sum / count;
  means[row + channel] = product / count;
}

// dx, of a frozen norm where means is null.
extern "C" __global__ void normalize_back(const real* dy, const real* x, const float* coefficients,
                                          const float* means, const int* group_of, int recomputed, int length,
                                          int channels, int row, real* dx) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels, group = group_of[frame];
  Coefficients of = coefficients_of(coefficients, group, row, channel);
  size_t i = (size_t)frame * length + at;
  float g = recomputed ? behind_relu(of, dy[i], x[i]) : (float)dy[i];
  if (means) {
    const float* mean = means + (size_t)group * 2 * row + channel;
    g -= mean[0] + (x[i] - of.mean) * of.inverse * mean[row];
  }
  dx[i] = of.scale * g;
}
