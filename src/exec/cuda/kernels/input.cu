// Bytes to what the network reads: (v / 255 − mean) / std for red, green and blue in turn, as data/transform.rs.
//
// There is no product that could be fused with a sum, so every operation is rounded by itself, to the CPU's bits.
//
// Check: cargo test --test cuda.

__device__ inline float of_channel(int channel, float red, float green, float blue) {
  return channel == 0 ? red : channel == 1 ? green : blue;
}

KERNEL void normalize_pixels(const unsigned char* bytes, size_t count, float red_mean, float green_mean, float blue_mean,
                             float red_std, float green_std, float blue_std, float* values) {
  size_t first = over_all();
  if (first >= count) return;
  Vector<unsigned char, V> in = *(const Vector<unsigned char, V>*)(bytes + first);
  Values out;
  int channel = first % 3;
  EACH {
    float mean = of_channel(channel, red_mean, green_mean, blue_mean);
    float std = of_channel(channel, red_std, green_std, blue_std);
    out.at[k] = ((float)in.at[k] / 255 - mean) / std;
    channel = channel == 2 ? 0 : channel + 1;
  }
  store_floats(out, values + first);
}
