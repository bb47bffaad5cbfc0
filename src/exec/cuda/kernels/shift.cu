// The temporal shift and the weight alteration, as ops/shift_alter.rs: y = (1 + a)·S(x).
//
// Of C channels, [0, fold) come from the next row of the clip, [fold, 2·fold) from the previous one, zero at the clip's
// ends. The adjoint takes the same channels from the other neighbour. A thread's V channels come from one row: fold is a
// multiple of V.
//
// Check: cargo test --test cuda.

// Where in a row of `length` values a thread reads.
struct Shifted {
  const Span* spans;
  int length, fold, adjoint;

  __device__ Values of(const real* x, int row, int at, int channel) const {
    int offset = channel >= 2 * fold ? 0 : (channel < fold) != (bool)adjoint ? 1 : -1;
    if (!spans[row].has(offset)) return {};
    return load(x + (size_t)(row + offset) * length + at);
  }
};

// y = (1 + a)·S(x) (+ add); with `adjoint` Sᵀ. No alteration and nothing to add where they are null.
KERNEL void shift_alter(const real* x, const Span* spans, const float* alter, const real* add, int adjoint, int fold,
                        int length, int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels;
  size_t i = (size_t)row * length + at;
  Values values = Shifted{spans, length, fold, adjoint}.of(x, row, at, channel);
  if (alter) {
    Values altered = floats(alter + channel);
    EACH values.at[k] *= 1 + altered.at[k];
  }
  if (add) {
    Values others = load(add + i);
    EACH values.at[k] += others.at[k];
  }
  store(values, y + i);
}

// partials[row] = Σ dy·S(x) of each channel.
KERNEL void row_alterations(const real* x, const real* dy, const Span* spans, int fold, int pixels, int channels,
                            float* partials) {
  int channel = lane(), row = blockIdx.y, length = pixels * channels;
  Shifted shifted = {spans, length, fold, 0};
  Sums sums = {};
  if (channel < channels) {
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      int at = pixel * channels + channel;
      Values values = shifted.of(x, row, at, channel), gradients = load(dy + (size_t)row * length + at);
      EACH sums.at[k] += (double)values.at[k] * gradients.at[k];
    }
  }
  sums = over_lines(sums);
  if (channel < channels && threadIdx.y == 0) EACH partials[(size_t)row * channels + channel + k] = sums.at[k];
}

// Adds rows to a gradient: an alteration's, a bias's.
KERNEL void add_rows(const float* rows, int count, int channels, float* gradient) {
  int channel = lane();
  Sums sums = over_rows(rows + (channel < channels ? channel : channels - V), count, channels);
  if (channel < channels && threadIdx.y == 0) EACH gradient[channel + k] += (float)sums.at[k];
}
