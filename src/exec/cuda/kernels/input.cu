// Bytes to what the network reads: (v / 255 − mean) / std for red, green and blue in turn, as data/transform.rs.
//
// A thread takes four bytes at once; `bytes` is a multiple of four long. There is no product that could be fused with a
// sum, so every operation is rounded by itself, to the CPU's bits.
//
// Check: cargo test --test cuda.

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T v[4];
};

__device__ inline float of_channel(int channel, float red, float green, float blue) {
  return channel == 0 ? red : channel == 1 ? green : blue;
}

extern "C" __global__ void normalize_pixels(const unsigned char* bytes, size_t count, float red_mean, float green_mean,
                                            float blue_mean, float red_std, float green_std, float blue_std, float* values) {
  size_t first = 4 * over_all();
  if (first >= count) return;
  Four<unsigned char> in = *(const Four<unsigned char>*)(bytes + first);
  Four<float> out;
  int channel = first % 3;
  for (int i = 0; i < 4; i++) {
    float mean = of_channel(channel, red_mean, green_mean, blue_mean);
    float std = of_channel(channel, red_std, green_std, blue_std);
    out.v[i] = ((float)in.v[i] / 255 - mean) / std;
    channel = channel == 2 ? 0 : channel + 1;
  }
  if (count - first >= 4) {
    *(Four<float>*)(values + first) = out;
  } else {
    for (int i = 0; first + i < count; i++) values[first + i] = out.v[i];
  }
}
