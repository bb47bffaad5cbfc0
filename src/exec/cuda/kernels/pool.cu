// Pooling over square windows of single images, as ops/pool.rs: the largest value, or the mean.
//
// The maximum's gradient goes to the first pixel of the window, line by line, that has it; NaN is larger than anything. The mean
// divides by the whole window, what of it lies outside the image included.
//
// Check: cargo test --test cuda.

// Windows of `size` × `size` pixels, `stride` apart, that begin `padding` pixels outside an image of height × width.
struct Windows {
  int size, stride, padding, height, width;

  __device__ static int first(int at) { return at > 0 ? at : 0; }

  // Lines and columns inside the image of the window of the output's pixel (line, column).
  __device__ int top(int line) const { return first(line * stride - padding); }
  __device__ int bottom(int line) const { return min(line * stride - padding + size, height); }
  __device__ int left(int column) const { return first(column * stride - padding); }
  __device__ int right(int column) const { return min(column * stride - padding + size, width); }

  // The output's lines, or columns, whose windows have line, or column, `at`: from the first to the last of `count`.
  __device__ int from(int at) const { return at + padding < size ? 0 : (at + padding - size) / stride + 1; }
  __device__ int to(int at, int count) const { return min((at + padding) / stride, count - 1); }
};

struct Maxima {
  float value[V];
  int pixel[V];  // line · width + column
};

// Of the window of output (line, column), of V channels of a row.
__device__ inline Maxima maxima(const real* x, const Windows& windows, int line, int column, int channels) {
  int first = windows.top(line) * windows.width + windows.left(column);
  Values values = load(x + first * channels);
  Maxima found;
  EACH found.value[k] = values.at[k];
  EACH found.pixel[k] = first;
  for (int l = windows.top(line); l < windows.bottom(line); l++) {
    for (int c = windows.left(column); c < windows.right(column); c++) {
      int pixel = l * windows.width + c;
      values = load(x + pixel * channels);
      EACH {
        float v = values.at[k], best = found.value[k];
        if (best < v || (v != v && best == best)) found.value[k] = v, found.pixel[k] = pixel;
      }
    }
  }
  return found;
}

// `length`: of a row of the output, whose lines are `columns` wide.
KERNEL void max_pool(const real* x, int size, int stride, int padding, int height, int width, int columns, int length,
                     int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int pixel = at / channels;
  x += (size_t)row * height * width * channels + at % channels;
  Windows windows = {size, stride, padding, height, width};
  Maxima found = maxima(x, windows, pixel / columns, pixel % columns, channels);
  Values values;
  EACH values.at[k] = found.value[k];
  store(values, y + (size_t)row * length + at);
}

// Each input adds up the gradients of the windows whose maximum it is. `lines` × `columns`: the output's.
KERNEL void max_pool_back(const real* dy, const real* x, int size, int stride, int padding, int height, int width, int lines,
                          int columns, int channels, real* dx) {
  int at = place(), row = blockIdx.y, length = height * width * channels;
  if (at >= length) return;
  int pixel = at / channels, line = pixel / width, column = pixel % width, channel = at % channels;
  x += (size_t)row * length + channel;
  dy += (size_t)row * lines * columns * channels + channel;
  Windows windows = {size, stride, padding, height, width};
  Values sums = {};
  for (int l = windows.from(line); l <= windows.to(line, lines); l++) {
    for (int c = windows.from(column); c <= windows.to(column, columns); c++) {
      Maxima found = maxima(x, windows, l, c, channels);
      Values gradients = load(dy + (l * columns + c) * channels);
      EACH if (found.pixel[k] == pixel) sums.at[k] += gradients.at[k];
    }
  }
  store(sums, dx + (size_t)row * length + at);
}

// As max_pool.
KERNEL void mean_pool(const real* x, int size, int stride, int padding, int height, int width, int columns, int length,
                      int channels, real* y) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return;
  int pixel = at / channels, line = pixel / columns, column = pixel % columns;
  x += (size_t)row * height * width * channels + at % channels;
  Windows windows = {size, stride, padding, height, width};
  Values sums = {};
  for (int l = windows.top(line); l < windows.bottom(line); l++) {
    for (int c = windows.left(column); c < windows.right(column); c++) {
      Values values = load(x + (l * width + c) * channels);
      EACH sums.at[k] += values.at[k];
    }
  }
  EACH sums.at[k] /= size * size;
  store(sums, y + (size_t)row * length + at);
}

// As max_pool_back: each input adds up the gradients of the windows that it is in.
KERNEL void mean_pool_back(const real* dy, int size, int stride, int padding, int height, int width, int lines, int columns,
                           int channels, real* dx) {
  int at = place(), row = blockIdx.y, length = height * width * channels;
  if (at >= length) return;
  int pixel = at / channels, line = pixel / width, column = pixel % width;
  dy += (size_t)row * lines * columns * channels + at % channels;
  Windows windows = {size, stride, padding, height, width};
  Values sums = {};
  for (int l = windows.from(line); l <= windows.to(line, lines); l++) {
    for (int c = windows.from(column); c <= windows.to(column, columns); c++) {
      Values gradients = load(dy + (l * columns + c) * channels);
      EACH sums.at[k] += gradients.at[k];
    }
  }
  EACH sums.at[k] /= size * size;
  store(sums, dx + (size_t)row * length + at);
}
