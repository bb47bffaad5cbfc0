// Channels taken apart and put together, as ops/channels.rs.
//
// A thread's V channels come from one pixel and go to one: every count of channels, and every first one, is a multiple of V.
//
// Check: cargo test --test cuda.

// y[pixel, to + c] = x[pixel, from + c] for each of `count` channels. `length`: of a row of what is copied; `inputs` and
// `outputs`: channels of x and y.
KERNEL void copy_channels(const real* x, int inputs, int from, int count, int length, int outputs, int to, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  size_t pixel = (size_t)row * (length / count) + at / count;
  store(load(x + pixel * inputs + from + at % count), y + pixel * outputs + to + at % count);
}

// y: x's channels from `first` on, zeros around. `length`: of a row of y; `count` and `channels`: channels of x and y.
KERNEL void pad_channels(const real* x, int first, int count, int length, int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int channel = at % channels - first;
  size_t pixel = (size_t)row * (length / channels) + at / channels;
  Values values = {};
  if (channel >= 0 && channel < count) values = load(x + pixel * count + channel);
  store(values, y + (size_t)row * length + at);
}
