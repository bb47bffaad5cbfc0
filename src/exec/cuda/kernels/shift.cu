// The temporal shift and the weight alteration: y = (1 + a)·S(x), as exec/cpu/shift.rs.
//
// Of C channels, [0, fold) come from the next frame of the clip, [fold, 2·fold) from the previous one, zero at the clip's
// ends. The adjoint takes the same channels from the other neighbour. neighbours[frame]: bit 0, whether there is a
// previous frame in the clip, bit 1, a next one.
//
// Check: cargo test --test cuda.

const int PREVIOUS = 1;
const int NEXT = 2;

__device__ inline float shifted(const real* x, const int* neighbours, int frame, int at, int channel, int length, int fold,
                                int adjoint) {
  int from = channel >= 2 * fold ? 0 : (channel < fold) != (bool)adjoint ? NEXT : PREVIOUS;
  if (from && !(neighbours[frame] & from)) return 0;
  size_t source = frame + (from == NEXT ? 1 : from == PREVIOUS ? -1 : 0);
  return x[source * length + at];
}

// y = (1 + a)·S(x) (+ add); with `adjoint` Sᵀ. No alteration and nothing to add where they are null.
extern "C" __global__ void shift_alter(const real* x, const int* neighbours, const float* alter, const real* add,
                                       int adjoint, int fold, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels;
  size_t i = (size_t)frame * length + at;
  float v = shifted(x, neighbours, frame, at, channel, length, fold, adjoint);
  if (alter) v *= 1 + alter[channel];
  y[i] = add ? v + add[i] : v;
}

// partials[frame] = Σ dy·S(x) of each channel.
extern "C" __global__ void frame_alterations(const real* x, const real* dy, const int* neighbours, int fold, int pixels,
                                             int channels, float* partials) {
  int channel = lane(), frame = blockIdx.y, length = pixels * channels;
  double sum = 0;
  if (channel < channels) {
    for (int at = threadIdx.y * channels + channel; at < length; at += ROWS * channels) {
      double v = shifted(x, neighbours, frame, at, channel, length, fold, 0);
      sum += v * dy[(size_t)frame * length + at];
    }
  }
  sum = over_rows(sum);
  if (channel < channels && threadIdx.y == 0) partials[(size_t)frame * channels + channel] = sum;
}

// Adds rows to a gradient: those of frames to an alteration's, those of an output's gradient to a bias's.
extern "C" __global__ void add_rows(const float* rows, int count, int channels, float* gradient) {
  int channel = lane();
  double sum = over_frames(rows + (channel < channels ? channel : channels - 1), count, channels);
  if (channel < channels && threadIdx.y == 0) gradient[channel] += (float)sum;
}
