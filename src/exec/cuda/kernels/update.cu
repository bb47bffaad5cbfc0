// The optimiser's step: SGD with momentum as exec/update.rs, whose bits these are, and the norm that decides about it.
//
// A block takes one piece of one parameter: where the piece begins, in units of UNIT values, in buffers of parameters,
// gradients and momentum that are laid out alike. Frozen parameters have no pieces. Each operation is rounded by itself,
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

// v = momentum·v + (scale·g + decay·p), p = p − rate·v. `rates`: of each parameter rate and decay.
KERNEL void update(const float* gradients, const Piece* pieces, const float* rates, float momentum,
                                  float scale, float* velocity, float* params) {
  Piece piece = pieces[blockIdx.x];
  float rate = rates[2 * piece.parameter], decay = rates[2 * piece.parameter + 1];
  size_t first = (size_t)piece.first * UNIT;
  for (int i = threadIdx.y; i < piece.count; i += blockDim.y) {
    float p = params[first + i];
    float change = __fadd_rn(__fmul_rn(gradients[first + i], scale), __fmul_rn(decay, p));
    float v = __fadd_rn(__fmul_rn(momentum, velocity[first + i]), change);
    velocity[first + i] = v;
    params[first + i] = __fsub_rn(p, __fmul_rn(rate, v));
  }
}
