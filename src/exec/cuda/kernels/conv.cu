// What stands around cuDNN's convolutions: weights `[out, in, time, taps]` as its `[out, taps, time·in]` and back, inputs of few channels,
// and what follows a product.
//
// Check: cargo test --test cuda.

// γ/sqrt(var + ε) of a folded norm.
__device__ inline double folded_scale(const float* var, const float* gamma, double eps, int output) {
  return gamma[output] / sqrt((double)var[output] + eps);
}

// w[o, tap, k·inputs + i] = weight[o, i, k, tap]·(1 + alter[i])·γ[o]/sqrt(var[o] + ε) for k below `time`, the rows that a window sees;
// zero behind them up to `wide`; one line of blocks for each output. No alteration and no norm where they are null. For V = 1.
KERNEL void pack_weight(const float* weight, const float* alter, const float* var, const float* gamma, double eps, int inputs,
                        int time, int wide, int taps, real* w) {
  int at = place(), output = blockIdx.y;
  if (at >= wide * taps) return;
  int part = at % wide, tap = at / wide, input = part % inputs;
  float v = 0;
  if (part < inputs * time) {
    v = weight[(((size_t)output * inputs + input) * time + part / inputs) * taps + tap];
    if (alter) v *= 1 + alter[input];
    if (gamma) v *= (float)folded_scale(var, gamma, eps, output);
  }
  round_to(v, w + (size_t)output * wide * taps + at);
}

// b = β − μ·γ/sqrt(var + ε). For V = 1.
KERNEL void fold_bias(const float* bias, const float* mean, const float* var, const float* gamma, double eps, int outputs,
                      float* b) {
  int output = place();
  if (output >= outputs) return;
  b[output] = bias[output] - mean[output] * folded_scale(var, gamma, eps, output);
}

// The gradient of a weight in its own order, from one as pack_weight leaves it; one line of blocks for each output. For V = 1.
KERNEL void unpack_gradient(const real* dw, int inputs, int time, int wide, int taps, float* gradient) {
  int at = place(), output = blockIdx.y;
  if (at >= inputs * time * taps) return;
  int tap = at % taps, part = at / taps % time * inputs + at / taps / time;
  gradient[(size_t)output * inputs * time * taps + at] = widened(dw[((size_t)output * taps + tap) * wide + part]);
}

// y: the pixels of x with `wide` channels, a multiple of V, zeros behind the first `channels`. `length`: of y.
KERNEL void widen(const float* x, size_t length, int channels, int wide, real* y) {
  size_t at = over_all();
  if (at >= length) return;
  int channel = at % wide;
  x += at / wide * channels + channel;
  Values values;
  EACH values.at[k] = channel + k < channels ? x[k] : 0;
  store(values, y + at);
}

// y ← y + b (+ residual), ReLU: in place, behind a product.
KERNEL void finish(const float* b, const real* residual, int relu, int length, int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  size_t i = (size_t)row * length + at;
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
