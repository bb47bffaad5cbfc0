// The optimiser's step: SGD with momentum as exec/update.rs, whose bits these are, and the norm that decides about it.
//
// A block takes one piece of one parameter: where the piece begins, in units of UNIT values, in banks of parameters,
// gradients and momentum that are laid out alike. Frozen parameters have no pieces. Each operation is rounded by itself,
// which the intrinsics say: the compiler would fuse products and sums.
//
// Check: cargo test --test cuda.

const int UNIT = 64;

struct Piece {
  int first, count, parameter;
};

// sums[piece] = Σg², in float64: each thread adds up every blockDim-th term, then the threads' sums are added in pairs.
KERNEL void squares(const float* gradients, const Piece* pieces, double* sums) {
  __shared__ double partial[256];
  Piece piece = pieces[blockIdx.x];
  gradients += (size_t)piece.first * UNIT;
  double sum = 0;
  for (int i = threadIdx.x; i < piece.count; i += blockDim.x) sum += (double)gradients[i] * gradients[i];
  partial[threadIdx.x] = sum;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

// v = momentum·v + (scale·g + decay·p), p = p − rate·v. `rates`: of each parameter rate and decay.
KERNEL void update(const float* gradients, const Piece* pieces, const float* rates, float momentum,
                                  float scale, float* velocity, float* params) {
  Piece piece = pieces[blockIdx.x];
  float rate = rates[2 * piece.parameter], decay = rates[2 * piece.parameter + 1];
  size_t first = (size_t)piece.first * UNIT;
  for (int i = threadIdx.x; i < piece.count; i += blockDim.x) {
    float p = params[first + i];
    float change = __fadd_rn(__fmul_rn(gradients[first + i], scale), __fmul_rn(decay, p));
    float v = __fadd_rn(__fmul_rn(momentum, velocity[first + i]), change);
    velocity[first + i] = v;
    params[first + i] = __fsub_rn(p, __fmul_rn(rate, v));
  }
}
