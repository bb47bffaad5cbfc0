// The temporal shift and the weight alteration: y = (1 + a)·S(x), as exec/cpu/shift.rs.
//
// Of C channels, [0, fold) come from the next frame of the clip, [fold, 2·fold) from the previous one, zero at the clip's
// ends. The adjoint takes the same channels from the other neighbour. A thread's V channels come from one frame: fold is
// a multiple of V. neighbours[frame]: bit 0, whether there is a previous frame in the clip, bit 1, a next one.
//
// Check: cargo test --test cuda.

const int PREVIOUS = 1;
const int NEXT = 2;

// Where in a frame of `length` values a thread reads.
struct Shifted {
  const int* neighbours;
  int length, fold, adjoint;

  __device__ Values of(const real* x, int frame, int at, int channel) const {
    int from = channel >= 2 * fold ? 0 : (channel < fold) != (bool)adjoint ? NEXT : PREVIOUS;
    if (from && !(neighbours[frame] & from)) return {};
    size_t source = frame + (from == NEXT ? 1 : from == PREVIOUS ? -1 : 0);
    return load(x + source * length + at);
  }
};

// y = (1 + a)·S(x) (+ add); with `adjoint` Sᵀ. No alteration and nothing to add where they are null.
KERNEL void shift_alter(const real* x, const int* neighbours, const float* alter, const real* add, int adjoint, int fold,
                        int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels;
  size_t i = (size_t)frame * length + at;
  Values values = Shifted{neighbours, length, fold, adjoint}.of(x, frame, at, channel);
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

// partials[frame] = Σ dy·S(x) of each channel.
KERNEL void frame_alterations(const real* x, const real* dy, const int* neighbours, int fold, int pixels, int channels,
                              float* partials) {
  int channel = lane(), frame = blockIdx.y, length = pixels * channels;
  Shifted shifted = {neighbours, length, fold, 0};
  Sums sums = {};
  if (channel < channels) {
    for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      int at = pixel * channels + channel;
      Values values = shifted.of(x, frame, at, channel), gradients = load(dy + (size_t)frame * length + at);
      EACH sums.at[k] += (double)values.at[k] * gradients.at[k];
    }
  }
  sums = over_rows(sums);
  if (channel < channels && threadIdx.y == 0) EACH partials[(size_t)frame * channels + channel + k] = sums.at[k];
}

// Adds rows to a gradient: those of frames to an alteration's, those of an output's gradient to a bias's.
KERNEL void add_rows(const float* rows, int count, int channels, float* gradient) {
  int channel = lane();
  Sums sums = over_frames(rows + (channel < channels ? channel : channels - V), count, channels);
  if (channel < channels && threadIdx.y == 0) EACH gradient[channel + k] += (float)sums.at[k];
}
