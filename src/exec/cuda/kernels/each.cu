// Steps over single values.
//
// Check: cargo test --test cuda.

KERNEL void relu(const real* x, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(x + i);
  EACH values.at[k] = positive(values.at[k]);
  store(values, y + i);
}

KERNEL void relu_back(const real* dy, const real* y, size_t count, real* dx) {
  size_t i = over_all();
  if (i >= count) return;
  Values gradients = load(dy + i), values = load(y + i);
  EACH gradients.at[k] = values.at[k] > 0 ? gradients.at[k] : 0;
  store(gradients, dx + i);
}

KERNEL void add(const real* a, const real* b, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(a + i), others = load(b + i);
  EACH values.at[k] += others.at[k];
  store(values, y + i);
}

KERNEL void multiply(const real* a, const real* b, size_t count, real* y) {
  size_t i = over_all();
  if (i >= count) return;
  Values values = load(a + i), others = load(b + i);
  EACH values.at[k] *= others.at[k];
  store(values, y + i);
}
