// What stands around cuDNN's convolutions: weights `[out, in, k, k]` as its `[out, k, k, in]` and back, borders, and
// what follows a product in evaluation.
//
// Check: cargo test --test cuda.

// A norm's running statistics and parameters; all null where none is folded in.
__device__ inline double folded_scale(const float* var, const float* gamma, int output) {
  return gamma[output] / sqrt((double)var[output] + NORM_EPSILON);
}

// w[o, tap, i] = weight[o, i, tap]·(1 + alter[i])·γ[o]/sqrt(var[o] + ε); one block row for each output.
extern "C" __global__ void pack_weight(const float* weight, const float* alter, const float* var, const float* gamma,
                                       int inputs, int taps, real* w) {
  int at = place(), output = blockIdx.y;
  if (at >= inputs * taps) return;
  int input = at % inputs, tap = at / inputs;
  size_t first = (size_t)output * inputs * taps;
  float v = weight[first + input * taps + tap];
  if (alter) v *= 1 + alter[input];
  if (gamma) v *= (float)folded_scale(var, gamma, output);
  w[first + at] = v;
}

// b = β − μ·γ/sqrt(var + ε), or the bias itself.
extern "C" __global__ void pack_bias(const float* bias, const float* mean, const float* var, const float* gamma,
                                     int outputs, float* b) {
  int output = place();
  if (output >= outputs) return;
  b[output] = gamma ? bias[output] - mean[output] * folded_scale(var, gamma, output) : bias[output];
}

// The gradient of a weight in its own order; one block row for each output.
extern "C" __global__ void unpack_gradient(const real* dw, int inputs, int taps, float* gradient) {
  int at = place(), output = blockIdx.y;
  if (at >= inputs * taps) return;
  int input = at / taps, tap = at % taps;
  size_t first = (size_t)output * inputs * taps;
  gradient[first + at] = dw[first + tap * inputs + input];
}

// y: each frame of x with `border` pixels of zeros on every side. `length`: of a frame of y.
extern "C" __global__ void surround(const real* x, int height, int width, int border, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int wide = width + 2 * border, pixel = at / channels;
  int row = pixel / wide - border, column = pixel % wide - border;
  bool inside = row >= 0 && row < height && column >= 0 && column < width;
  size_t source = ((size_t)frame * height + row) * width + column;
  y[(size_t)frame * length + at] = inside ? x[source * channels + at % channels] : 0;
}

// y ← y + b (+ residual), ReLU: in place, behind a product.
extern "C" __global__ void finish(const float* b, const real* residual, int relu, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  size_t i = (size_t)frame * length + at;
  float v = y[i];
  if (b) v += b[at % channels];
  if (residual) v += residual[i];
  y[i] = relu && v < 0 ? 0 : v;
}
