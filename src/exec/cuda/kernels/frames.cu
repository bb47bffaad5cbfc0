// Rows taken along time, as ops/take_frames.rs; and a convolution along time as one over images: the channels of all the rows that
// a window sees are laid side by side, x'[t, p, k·C + c] = x[source(t, k), p, c]. A rule that takes frames is the case of one.
//
// Check: cargo test --test cuda.

// y[row, p, k·C + c] = x[sources[row·time + k], p, c] for k below `time`; zeros where the source is -1. `length`: of a row of y.
KERNEL void gather_rows(const real* x, const int* sources, int time, int length, int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int pixel = at / (time * channels), within = at % (time * channels);
  int source = sources[row * time + within / channels];
  Values values = {};
  if (source >= 0) values = load(x + (size_t)source * (length / time) + pixel * channels + within % channels);
  store(values, y + (size_t)row * length + at);
}

// The adjoint: dx[row, p, c] = Σ dy[t, p, k·C + c] over the t·time + k in readers[readers[row]], …, up to readers[readers[row + 1]].
// `length`: of a row of dx.
KERNEL void add_readers(const real* dy, const int* readers, int time, int length, int channels, real* dx) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int pixel = at / channels, channel = at % channels;
  Values sums = {};
  for (int i = readers[row]; i < readers[row + 1]; i++) {
    int reader = readers[i] / time, part = readers[i] % time;
    Values values = load(dy + (size_t)reader * time * length + (pixel * time + part) * channels + channel);
    EACH sums.at[k] += values.at[k];
  }
  store(sums, dx + (size_t)row * length + at);
}
