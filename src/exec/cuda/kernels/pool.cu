// Pooling: 3×3 maxima of stride 2 with padding 1, the mean over a frame, the mean over a clip; as exec/cpu/pool.rs.
//
// The maximum's gradient goes to the first pixel of the window (row by row) that has it; NaN is larger than anything.
//
// Check: cargo test --test cuda.

struct Maximum {
  float value;
  int pixel;  // row · width + column
};

// Under output (row, column), of one channel of a frame.
__device__ inline Maximum maximum(const real* x, int row, int column, int height, int width, int channels) {
  int top = row > 0 ? 2 * row - 1 : 0, bottom = min(2 * row + 2, height);
  int left = column > 0 ? 2 * column - 1 : 0, right = min(2 * column + 2, width);
  int first = top * width + left;
  Maximum found = {x[first * channels], first};
  for (int r = top; r < bottom; r++) {
    for (int c = left; c < right; c++) {
      float v = x[(r * width + c) * channels];
      if (found.value < v) found = {v, r * width + c};
      if (v != v) found.value = v;
    }
  }
  return found;
}

// `length`: of an output frame, `columns` wide.
extern "C" __global__ void max_pool(const real* x, int height, int width, int columns, int length, int channels, real* y) {
  int at = place(), frame = blockIdx.y;
  if (at >= length) return;
  int pixel = at / channels;
  x += (size_t)frame * height * width * channels + at % channels;
  y[(size_t)frame * length + at] = maximum(x, pixel / columns, pixel % columns, height, width, channels).value;
}

// Each input adds up the gradients of the windows whose maximum it is. `rows` × `columns`: the output's.
extern "C" __global__ void max_pool_back(const real* x, const real* dy, int height, int width, int rows, int columns,
                                         int channels, real* dx) {
  int at = place(), frame = blockIdx.y, length = height * width * channels;
  if (at >= length) return;
  int pixel = at / channels, row = pixel / width, column = pixel % width, channel = at % channels;
  x += (size_t)frame * length + channel;
  dy += (size_t)frame * rows * columns * channels + channel;
  float sum = 0;
  for (int r = row / 2; r <= min((row + 1) / 2, rows - 1); r++) {
    for (int c = column / 2; c <= min((column + 1) / 2, columns - 1); c++) {
      bool is_winner = maximum(x, r, c, height, width, channels).pixel == pixel;
      if (is_winner) sum += dy[(r * columns + c) * channels];
    }
  }
  dx[(size_t)frame * length + at] = sum;
}

// y = the means of `count` rows of each part of x: of the pixels of a frame, or of the frames of a clip.
extern "C" __global__ void mean_rows(const real* x, int count, int channels, real* y) {
  int channel = place(), part = blockIdx.y;
  if (channel >= channels) return;
  x += (size_t)part * count * channels + channel;
  float sum = 0;
  for (int row = 0; row < count; row++) sum += x[(size_t)row * channels];
  y[(size_t)part * channels + channel] = sum / count;
}

// dx = dy / count, for every row of a part. `length`: of a part.
extern "C" __global__ void mean_rows_back(const real* dy, int count, int length, int channels, real* dx) {
  int at = place(), part = blockIdx.y;
  if (at >= length) return;
  dx[(size_t)part * length + at] = dy[(size_t)part * channels + at % channels] / count;
}
