// The optimiser's step: SGD with momentum and AdamW as exec/update.rs, whose bits these are, and the norm that decides about it.
//
// A block takes one piece of one parameter: where the piece begins, in units of UNIT values, in buffers of parameters,
// gradients and moments that are laid out alike. Frozen parameters have no pieces. Each operation is rounded by itself,
// which the intrinsics say: the compiler would fuse products and sums.
//
// Check: cargo test --test cuda.

const int UNIT = 64;

struct Piece {
  int first, count, parameter;
};

// sums[piece] = Σg², in float64, over the lines of a block of one lane. For V = 1.
KERNEL void squares(const float* gradients, const Piece* pieces, double* sums) {
  Piece piece = pieces[blockIdx.x];
  gradients += (size_t)piece.first * UNIT;
  Sums sum = {};
  for (int i = threadIdx.y; i < piece.count; i += blockDim.y) sum.at[0] += (double)gradients[i] * gradients[i];
  sum = over_lines(sum);
  if (threadIdx.y == 0) sums[blockIdx.x] = sum.at[0];
}

// g = min(max(g, −most), most); what is no number stays.
KERNEL void clamp_gradients(float* gradients, const Piece* pieces, float most) {
  Piece piece = pieces[blockIdx.x];
  gradients += (size_t)piece.first * UNIT;
  for (int i = threadIdx.y; i < piece.count; i += blockDim.y) {
    float g = gradients[i];
    gradients[i] = g > most ? most : g < -most ? -most : g;
  }
}

// d = scale·g + decay·p, v = momentum·v + d, p = p − rate·v, or of Nesterov p − rate·(d + momentum·v). `rates`: of each parameter
// rate and decay.
KERNEL void update(const float* gradients, const Piece* pieces, const float* rates, float momentum,
                                  int nesterov, float scale, float* velocity, float* params) {
  Piece piece = pieces[blockIdx.x];
  float rate = rates[2 * piece.parameter], decay = rates[2 * piece.parameter + 1];
  size_t first = (size_t)piece.first * UNIT;
  for (int i = threadIdx.y; i < piece.count; i += blockDim.y) {
    float p = params[first + i];
    float change = __fadd_rn(__fmul_rn(gradients[first + i], scale), __fmul_rn(decay, p));
    float v = __fadd_rn(__fmul_rn(momentum, velocity[first + i]), change);
    velocity[first + i] = v;
    float step = nesterov ? __fadd_rn(change, __fmul_rn(momentum, v)) : v;
    params[first + i] = __fsub_rn(p, __fmul_rn(rate, step));
  }
}

// g = scale·g, p = p·(1 − rate·decay), m = m + new1·(g − m), v = beta2·v + new2·g², p = p − rate·correction1·m / (√v / correction2 + eps).
KERNEL void adamw(const float* gradients, const Piece* pieces, const float* rates, float new1, float beta2, float new2, float eps,
                                  float correction1, float correction2, float scale, float* first_moment,
                                  float* second_moment, float* params) {
  Piece piece = pieces[blockIdx.x];
  float rate = rates[2 * piece.parameter], decay = rates[2 * piece.parameter + 1];
  float kept = __fsub_rn(1, __fmul_rn(rate, decay));
  rate = __fmul_rn(rate, correction1);
  size_t first = (size_t)piece.first * UNIT;
  for (int i = threadIdx.y; i < piece.count; i += blockDim.y) {
    float g = __fmul_rn(gradients[first + i], scale);
    float p = __fmul_rn(params[first + i], kept);
    float m = first_moment[first + i], v = second_moment[first + i];
    m = __fadd_rn(m, __fmul_rn(new1, __fsub_rn(g, m)));
    v = __fadd_rn(__fmul_rn(beta2, v), __fmul_rn(new2, __fmul_rn(g, g)));
    first_moment[first + i] = m;
    second_moment[first + i] = v;
    float size = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), correction2), eps);
    params[first + i] = __fsub_rn(p, __fdiv_rn(__fmul_rn(rate, m), size));
  }
}
