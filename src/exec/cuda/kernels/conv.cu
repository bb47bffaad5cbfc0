// What stands around cuDNN's convolutions: weights `[out, in, k, k]` as its `[out, k, k, in]` and back, borders, and
// what follows a product in evaluation.
//
// Check: cargo test --test cuda.

// A norm's running statistics and parameters; all null where none is folded in.
__device__ inline double folded_scale(const float* var, const float* gamma, int output) {
  return gamma[output] / sqrt((double)var[output] + NORM_EPSILON);
}

// w[o, tap, i] = weight[o, i, tap]·(1 + alter[i])·γ[o]/sqrt(var[o] + ε); one block row for each output. For V = 1.
KERNEL void pack_weight(const float* weight, const float* alter, const float* var, const float* gamma, int inputs, int taps,
                        real* w) {
  int at = place(), output = blockIdx.y;
  if (at >= inputs * taps) return;
  int input = at % inputs, tap = at / inputs;
  size_t first = (size_t)output * inputs * taps;
  float v = weight[first + input * taps + tap];
  if (alter) v *= 1 + alter[input];
  if (gamma) v *= (float)folded_scale(var, gamma, output);
  round_to(v, w + first + at);
}

// b = β − μ·γ/sqrt(var + ε), or the bias itself. For V = 1.
KERNEL void pack_bias(const float* bias, const float* mean, const float* var, const float* gamma, int outputs, float* b) {
  int output = place();
  if (output >= outputs) return;
  b[output] = gamma ? bias[output] - mean[output] * folded_scale(var, gamma, output) : bias[output];
}

// The gradient of a weight in its own order, from one of `wide` inputs; one block row for each output. For V = 1.
KERNEL void unpack_gradient(const real* dw, int inputs, int wide, int taps, float* gradient) {
  int at = place(), output = blockIdx.y;
  if (at >= inputs * taps) return;
  int input = at / taps, tap = at % taps;
  gradient[(size_t)output * inputs * taps + at] = widened(dw[((size_t)output * taps + tap) * wide + input]);
}

// y: each frame of x with `border` pixels of zeros on every side. `length`: of a frame of y. For V = 1.
KERNEL void surround(const real* x, int height, int width, int border, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int wide = width + 2 * border, pixel = at / channels;
  int row = pixel / wide - border, column = pixel % wide - border;
  bool inside = row >= 0 && row < height && column >= 0 && column < width;
  size_t source = ((size_t)frame * height + row) * width + column;
  y[(size_t)frame * length + at] = inside ? x[source * channels + at % channels] : real();
}

// y: the pixels of x with V channels, zeros behind the first `channels`.
KERNEL void widen(const float* x, size_t length, int channels, real* y) {
  size_t at = over_all();
  if (at >= length) return;
  Values values;
  EACH values.at[k] = k < channels ? x[at / V * channels + k] : 0;
  store(values, y + at);
}

// y ← y + b (+ residual), ReLU: in place, behind a product.
KERNEL void finish(const float* b, const real* residual, int relu, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  size_t i = (size_t)frame * length + at;
  Values values = load(y + i);
  if (b) {
    Values biases = floats(b + at % channels);
    EACH values.at[k] += biases.at[k];
  }
  if (residual) {
    Values others = load(residual + i);
    EACH values.at[k] += others.at[k];
  }
  if (relu) EACH values.at[k] = positive(values.at[k]);
  store(values, y + i);
}
