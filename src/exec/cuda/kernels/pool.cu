// Pooling: 3×3 maxima of stride 2 with padding 1, the mean over a frame, the mean over a clip; as exec/cpu/pool.rs.
//
// The maximum's gradient goes to the first pixel of the window (row by row) that has it; NaN is larger than anything.
//
// Check: cargo test --test cuda.

struct Maxima {
  float value[V];
  int pixel[V];  // row · width + column
};

// Under output (row, column), of V channels of a frame.
__device__ inline Maxima maxima(const real* x, int row, int column, int height, int width, int channels) {
  int top = row > 0 ? 2 * row - 1 : 0, bottom = min(2 * row + 2, height);
  int left = column > 0 ? 2 * column - 1 : 0, right = min(2 * column + 2, width);
  int first = top * width + left;
  Values values = load(x + first * channels);
  Maxima found;
  EACH found.value[k] = values.at[k];
  EACH found.pixel[k] = first;
  for (int r = top; r < bottom; r++) {
    for (int c = left; c < right; c++) {
      int pixel = r * width + c;
      values = load(x + pixel * channels);
      EACH {
        float v = values.at[k];
        if (found.value[k] < v) found.value[k] = v, found.pixel[k] = pixel;
        if (v != v) found.value[k] = v;
      }
    }
  }
  return found;
}

// `length`: of an output frame, `columns` wide.
KERNEL void max_pool(const real* x, int height, int width, int columns, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int pixel = at / channels;
  x += (size_t)frame * height * width * channels + at % channels;
  Maxima found = maxima(x, pixel / columns, pixel % columns, height, width, channels);
  Values values;
  EACH values.at[k] = found.value[k];
  store(values, y + (size_t)frame * length + at);
}

// Each input adds up the gradients of the windows whose maximum it is. `rows` × `columns`: the output's.
KERNEL void max_pool_back(const real* x, const real* dy, int height, int width, int rows, int columns, int channels,
                          real* dx) {
  int at = place(), frame = blockIdx.y, length = height * width * channels;
  if (at >= length) return;
  int pixel = at / channels, row = pixel / width, column = pixel % width, channel = at % channels;
  x += (size_t)frame * length + channel;
  dy += (size_t)frame * rows * columns * channels + channel;
  Values sums = {};
  for (int r = row / 2; r <= min((row + 1) / 2, rows - 1); r++) {
    for (int c = column / 2; c <= min((column + 1) / 2, columns - 1); c++) {
      Maxima found = maxima(x, r, c, height, width, channels);
      Values gradients = load(dy + (r * columns + c) * channels);
      EACH if (found.pixel[k] == pixel) sums.at[k] += gradients.at[k];
    }
  }
  store(sums, dx + (size_t)frame * length + at);
}

// y = the means of `count` rows of each part of x: of the pixels of a frame, or of the frames of a clip.
KERNEL void mean_rows(const real* x, int count, int channels, float* y) {
  int channel = place(), part = blockIdx.y;
  if (channel >= channels) return;
  x += (size_t)part * count * channels + channel;
  Values means = {};
  for (int row = 0; row < count; row++) {
    Values values = load(x + (size_t)row * channels);
    EACH means.at[k] += values.at[k];
  }
  EACH means.at[k] /= count;
  store_floats(means, y + (size_t)part * channels + channel);
}

// dx = dy / count, for every row of a part. `length`: of a part.
KERNEL void mean_rows_back(const float* dy, int count, int length, int channels, real* dx) {
  int at = place(), part = blockIdx.y;
  if (at >= length) return;
  Values gradients = floats(dy + (size_t)part * channels + at % channels);
  EACH gradients.at[k] /= count;
  store(gradients, dx + (size_t)part * length + at);
}
