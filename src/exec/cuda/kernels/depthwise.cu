// Convolutions with a group for each channel, of stride 1 with a padding that keeps the size:
// y[p, c] = Σ_k w[k, c]·x[p + k − padding, c] along time, height and width; what lies outside clip or image is zero.
//
// The input's gradient is the same with the kernel turned round. Of the weight's, each row's sums come first, then those
// over the rows.
//
// Check: cargo test --test cuda.

// Where the taps of a kernel of time × lines × columns look.
struct Kernel3 {
  int time, lines, columns;

  __device__ int taps() const { return time * lines * columns; }
  __device__ int row(int tap) const { return tap / (lines * columns) - time / 2; }
  __device__ int line(int tap) const { return tap / columns % lines - lines / 2; }
  __device__ int column(int tap) const { return tap % columns - columns / 2; }
};

// The images that it looks into.
struct Images {
  const Span* spans;
  int height, width, channels;

  // V values of what tap `tap` sees from a pixel; zeros outside.
  __device__ Values seen(const real* x, const Kernel3& kernel, int tap, int row, int pixel, int channel) const {
    int offset = kernel.row(tap), line = pixel / width + kernel.line(tap), column = pixel % width + kernel.column(tap);
    bool inside = line >= 0 && line < height && column >= 0 && column < width;
    if (!inside || !spans[row].has(offset)) return {};
    return load(x + (((size_t)(row + offset) * height + line) * width + column) * channels + channel);
  }
};

// w[tap, c] = weight[c, tap], or with `turned` the taps from the last to the first. For V = 1.
KERNEL void pack_taps(const float* weight, int taps, int turned, int length, int channels, float* w) {
  int at = place();
  if (at >= length) return;
  int tap = at / channels;
  w[at] = weight[at % channels * taps + (turned ? taps - 1 - tap : tap)];
}

// `w`: as pack_taps leaves it.
KERNEL void depthwise(const real* x, const float* w, const Span* spans, int time, int lines, int columns, int height,
                      int width, int channels, real* y) {
  int at = place(), row = blockIdx.y, length = height * width * channels;
  if (at >= length) return;
  int pixel = at / channels, channel = at % channels;
  Kernel3 kernel = {time, lines, columns};
  Images images = {spans, height, width, channels};
  Values sums = {};
  for (int tap = 0; tap < kernel.taps(); tap++) {
    Values values = images.seen(x, kernel, tap, row, pixel, channel), weights = floats(w + tap * channels + channel);
    EACH sums.at[k] += values.at[k] * weights.at[k];
  }
  store(sums, y + (size_t)row * length + at);
}

// partials[row, tap] = Σ x[p + k − padding]·dy[p] of each channel over the row's pixels.
KERNEL void row_taps(const real* x, const real* dy, const Span* spans, int time, int lines, int columns, int height,
                     int width, int channels, float* partials) {
  int channel = lane(), row = blockIdx.y, pixels = height * width;
  Kernel3 kernel = {time, lines, columns};
  Images images = {spans, height, width, channels};
  dy += (size_t)row * pixels * channels + channel;
  partials += (size_t)row * kernel.taps() * channels + channel;
  for (int tap = 0; tap < kernel.taps(); tap++) {
    Sums sums = {};
    if (channel < channels) {
      for (int pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
        Values values = images.seen(x, kernel, tap, row, pixel, channel), gradients = load(dy + pixel * channels);
        EACH sums.at[k] += (double)values.at[k] * gradients.at[k];
      }
    }
    sums = over_lines(sums);
    if (channel < channels && threadIdx.y == 0) EACH partials[tap * channels + k] = sums.at[k];
  }
}

// Adds the rows' partial sums, of taps × channels, to the gradient of the weight. For V = 1.
KERNEL void add_taps(const float* partials, int rows, int taps, int channels, float* gradient) {
  int at = lane(), length = taps * channels;
  double sum = over_rows(partials + (at < length ? at : length - 1), rows, length).at[0];
  if (at < length && threadIdx.y == 0) gradient[at % channels * taps + at / channels] += (float)sum;
}
