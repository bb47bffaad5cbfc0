// Functions of two values, as ops/binary.rs: b has a row for each of a's, which is as long, or one pixel for all of a's.
//
// b may be float32 beside an a of another dtype. `length`: of a row of a; `values`: of one of b.
//
// Check: cargo test --test cuda.

struct Pair {
  Values a, b;
  bool is_inside;
  size_t at;
};

__device__ inline Pair pair(const real* a, const void* b, int is_float32, int length, int values) {
  int at = place(), row = blockIdx.y;
  if (at >= length) return {{}, {}, false, 0};
  size_t i = (size_t)row * length + at;
  return {load(a + i), load_either(b, is_float32, (size_t)row * values + at % values), true, i};
}

KERNEL void add(const real* a, const void* b, int is_float32, int length, int values, real* y) {
  Pair of = pair(a, b, is_float32, length, values);
  if (!of.is_inside) return;
  EACH of.a.at[k] += of.b.at[k];
  store(of.a, y + of.at);
}

KERNEL void subtract(const real* a, const void* b, int is_float32, int length, int values, real* y) {
  Pair of = pair(a, b, is_float32, length, values);
  if (!of.is_inside) return;
  EACH of.a.at[k] -= of.b.at[k];
  store(of.a, y + of.at);
}

KERNEL void multiply(const real* a, const void* b, int is_float32, int length, int values, real* y) {
  Pair of = pair(a, b, is_float32, length, values);
  if (!of.is_inside) return;
  EACH of.a.at[k] *= of.b.at[k];
  store(of.a, y + of.at);
}
