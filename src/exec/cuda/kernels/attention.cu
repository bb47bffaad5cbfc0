// Attention of one clip, as ops/attention.rs: for each head P = softmax of scale·Q·Kᵀ by rows, Y = P·V.
//
// Tokens have queries, keys and values of heads × width channels each, side by side. P is kept, heads × tokens × tokens, in float32.
// Backward: dV = Pᵀ·dY, D = scale·P∘(dP − Σ P∘dP by rows) with dP = dY·Vᵀ, dQ = D·K, dK = Dᵀ·Q. A line of threads has a row of P.
//
// Check: cargo test --test cuda.

__device__ inline float product(const real* a, const real* b, int width) {
  float sum = 0;
  for (int i = 0; i < width; i += V) {
    Values left = load(a + i), right = load(b + i);
    EACH sum += left.at[k] * right.at[k];
  }
  return sum;
}

// P from x, the clip's first token.
KERNEL void attention_weights(const real* x, int heads, int tokens, int width, float scale, float* p) {
  int row = line(), channels = heads * width, pitch = 3 * channels;
  bool is_there = row < heads * tokens;
  p += (size_t)row * tokens;
  x += row / tokens * width;
  const real *query = x + (size_t)(row % tokens) * pitch, *keys = x + channels;
  float largest = -1e38f;
  for (int key = threadIdx.x; is_there && key < tokens; key += blockDim.x) {
    p[key] = scale * product(query, keys + (size_t)key * pitch, width);
    largest = p[key] > largest ? p[key] : largest;
  }
  largest = largest_of_lanes(largest);
  double sum = 0;
  for (int key = threadIdx.x; is_there && key < tokens; key += blockDim.x) {
    p[key] = expf(p[key] - largest);
    sum += p[key];
  }
  float inverse = 1 / over_lanes(sum);
  for (int key = threadIdx.x; is_there && key < tokens; key += blockDim.x) p[key] *= inverse;
}

// D from P, dY, and V of the clip's first token.
KERNEL void attention_slopes(const real* dy, const real* values, const float* p, int heads, int tokens, int width, float scale,
                             float* d) {
  int row = line(), channels = heads * width, first = row / tokens * width;
  bool is_there = row < heads * tokens;
  p += (size_t)row * tokens, d += (size_t)row * tokens;
  dy += (size_t)(row % tokens) * channels + first;
  values += first;
  double sum = 0;
  for (int key = threadIdx.x; is_there && key < tokens; key += blockDim.x) {
    d[key] = product(dy, values + (size_t)key * 3 * channels, width);
    sum += (double)p[key] * d[key];
  }
  float mean = over_lanes(sum);
  for (int key = threadIdx.x; is_there && key < tokens; key += blockDim.x) d[key] = scale * p[key] * (d[key] - mean);
}

// y[i, h, c] = Σ_j p[h, i, j]·x[j, h, c], with `transposed` p[h, j, i]. `from` and `to`: values from one token of x and y to the next;
// `length`: heads × width.
KERNEL void mix_tokens(const float* p, int transposed, const real* x, int from, int tokens, int width, int length, int to,
                       real* y) {
  int at = place(), token = blockIdx.y;
  if (at >= length) return;
  p += (size_t)(at / width) * tokens * tokens + (transposed ? (size_t)token : (size_t)token * tokens);
  size_t step = transposed ? tokens : 1;
  Values sums = {};
  for (int j = 0; j < tokens; j++) {
    Values values = load(x + (size_t)j * from + at);
    EACH sums.at[k] += p[j * step] * values.at[k];
  }
  store(sums, y + (size_t)token * to + at);
}
