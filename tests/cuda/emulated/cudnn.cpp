// cuDNN's convolutions by their definition, on the host: NHWC, float32 or bf16 with float32's sums.
//
// Of the algorithms that it proposes, the first is not deterministic and the second cannot be had; what asks for one of
// these is refused.

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "stream.hpp"

enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
enum { NHWC = 1, FLOAT = 0, BFLOAT16 = 9, CROSS_CORRELATION = 1, DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, FMA_MATH = 3 };
const int NOT_DETERMINISTIC = 0, NOT_TO_BE_HAD = 1, GOOD = 2;
const size_t WORKSPACE = 1000;

struct Tensor {
  int n, c, h, w, type;

  size_t count() const { return (size_t)n * c * h * w; }
};
struct Handle {
  Stream *stream;
};
struct Conv {
  int padding_h, padding_w, stride_h, stride_w, math;
};

// As cudnnConvolutionFwdAlgoPerf_t, and as those of the other directions.
struct Perf {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};

// Each algorithm goes with a way to multiply; the good one for bf16 with tensor cores.
static int propose(const Tensor *x, int most, int *found, Perf *to) {
  for (int i = 0; i <= GOOD && i < most; i++) {
    int math = x->type == FLOAT ? FMA_MATH : i == GOOD ? TENSOR_OP_MATH : DEFAULT_MATH;
    to[i] = {i, SUCCESS, 1, 0, i != NOT_DETERMINISTIC, math, {}};
  }
  *found = GOOD + 1;
  return SUCCESS;
}

// What a search finds: the first is twice as fast as the last, and the one between cannot be had.
static int search(const Tensor *x, const Tensor *w, const Conv *conv, const Tensor *y, int most, int *found, Perf *to,
                  size_t bytes) {
  if (bytes < WORKSPACE || x->type != w->type || x->n != y->n || !conv->stride_h) return BAD_PARAM;
  propose(x, most, found, to);
  for (int i = 0; i < *found; i++) to[i].time = 1 + i, to[i].status = i == NOT_TO_BE_HAD ? NOT_SUPPORTED : SUCCESS;
  return SUCCESS;
}

static int workspace(int algorithm, size_t *bytes) {
  *bytes = WORKSPACE;
  return algorithm == NOT_TO_BE_HAD ? NOT_SUPPORTED : SUCCESS;
}

// Whether shapes fit together and the call is what it must be; writes all over the workspace.
static bool is_legal(const Tensor *x, const Tensor *w, const Conv *conv, const Tensor *y, int algorithm, void *scratch,
                     size_t bytes, const void *alpha, const void *beta) {
  auto side = [](int from, int kernel, int padding, int stride) { return (from + 2 * padding - kernel) / stride + 1; };
  if (algorithm != GOOD || bytes < WORKSPACE || x->type != w->type || x->type != y->type) return false;
  if (conv->math != (x->type == FLOAT ? FMA_MATH : TENSOR_OP_MATH)) return false;
  for (size_t i = 0; i < WORKSPACE; i++) ((char *)scratch)[i] = -1;
  return *(const float *)alpha == 1 && *(const float *)beta == 0 && x->n == y->n && x->c == w->c && y->c == w->n &&
         y->h == side(x->h, w->h, conv->padding_h, conv->stride_h) &&
         y->w == side(x->w, w->w, conv->padding_w, conv->stride_w);
}

// Calls `visit(pixel of x, tap, pixel of y)` for every product of pixels.
template <class Visit>
static void products(const Tensor *x, const Tensor *w, const Conv *conv, const Tensor *y, Visit visit) {
  for (int n = 0; n < y->n; n++)
    for (int oh = 0; oh < y->h; oh++)
      for (int ow = 0; ow < y->w; ow++)
        for (int kh = 0; kh < w->h; kh++)
          for (int kw = 0; kw < w->w; kw++) {
            int h = oh * conv->stride_h + kh - conv->padding_h, v = ow * conv->stride_w + kw - conv->padding_w;
            if (h < 0 || v < 0 || h >= x->h || v >= x->w) continue;
            visit(((size_t)n * x->h + h) * x->w + v, kh * w->w + kw, ((size_t)n * y->h + oh) * y->w + ow);
          }
}

// Σ a·b, in lanes that the compiler may take for a vector.
static float dot(const float *a, const float *b, int count) {
  const int LANES = 16;
  float sums[LANES] = {};
  int i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int lane = 0; lane < LANES; lane++) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < count; i++) sums[0] += a[i] * b[i];
  float sum = 0;
  for (float lane : sums) sum += lane;
  return sum;
}

// A tensor's values as float32.
static std::vector<float> values(const Tensor *tensor, const void *from) {
  std::vector<float> values(tensor->count());
  if (tensor->type == FLOAT) {
    memcpy(values.data(), from, values.size() * sizeof(float));
  } else {
    for (size_t i = 0; i < values.size(); i++) {
      unsigned bits = ((const unsigned short *)from)[i] << 16;
      memcpy(&values[i], &bits, sizeof bits);
    }
  }
  return values;
}

// Rounds values to a tensor's own.
static void write(const Tensor *tensor, const std::vector<float> &values, void *to) {
  if (tensor->type == FLOAT) {
    memcpy(to, values.data(), values.size() * sizeof(float));
    return;
  }
  for (size_t i = 0; i < values.size(); i++) {
    unsigned bits;
    memcpy(&bits, &values[i], sizeof bits);
    bool is_nan = values[i] != values[i];
    ((unsigned short *)to)[i] = is_nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  }
}

// The shapes of a convolution that is queued: their descriptors may be gone when it runs.
struct Shapes {
  Tensor x, w, y;
  Conv conv;
};

static void forward(const Shapes &of, const void *x_at, const void *w_at, void *y_at) {
  int inputs = of.x.c, outputs = of.y.c, taps = of.w.h * of.w.w;
  auto x = values(&of.x, x_at), w = values(&of.w, w_at), y = std::vector<float>(of.y.count());
  products(&of.x, &of.w, &of.conv, &of.y, [&](size_t from, int tap, size_t to) {
    for (int o = 0; o < outputs; o++)
      y[to * outputs + o] += dot(&x[from * inputs], &w[((size_t)o * taps + tap) * inputs], inputs);
  });
  write(&of.y, y, y_at);
}

static void backward_data(const Shapes &of, const void *w_at, const void *dy_at, void *dx_at) {
  int inputs = of.x.c, outputs = of.y.c, taps = of.w.h * of.w.w;
  auto w = values(&of.w, w_at), dy = values(&of.y, dy_at), dx = std::vector<float>(of.x.count());
  products(&of.x, &of.w, &of.conv, &of.y, [&](size_t to, int tap, size_t from) {
    for (int o = 0; o < outputs; o++) {
      float gradient = dy[from * outputs + o], *row = &dx[to * inputs];
      const float *weight = &w[((size_t)o * taps + tap) * inputs];
      for (int i = 0; i < inputs; i++) row[i] += gradient * weight[i];
    }
  });
  write(&of.x, dx, dx_at);
}

static void backward_filter(const Shapes &of, const void *x_at, const void *dy_at, void *dw_at) {
  int inputs = of.x.c, outputs = of.y.c, taps = of.w.h * of.w.w;
  auto x = values(&of.x, x_at), dy = values(&of.y, dy_at), dw = std::vector<float>(of.w.count());
  products(&of.x, &of.w, &of.conv, &of.y, [&](size_t from, int tap, size_t to) {
    for (int o = 0; o < outputs; o++) {
      float gradient = dy[to * outputs + o], *row = &dw[((size_t)o * taps + tap) * inputs];
      for (int i = 0; i < inputs; i++) row[i] += gradient * x[from * inputs + i];
    }
  });
  write(&of.w, dw, dw_at);
}

extern "C" {

size_t cudnnGetVersion() { return 91900; }
int cudnnCreate(Handle **handle) {
  *handle = new Handle();
  return SUCCESS;
}
int cudnnDestroy(Handle *handle) {
  delete handle;
  return SUCCESS;
}
int cudnnSetStream(Handle *handle, Stream *stream) {
  handle->stream = stream;
  return SUCCESS;
}
const char *cudnnGetErrorString(int) { return "an error of the emulated GPU"; }

int cudnnCreateTensorDescriptor(Tensor **tensor) {
  *tensor = new Tensor();
  return SUCCESS;
}
int cudnnDestroyTensorDescriptor(Tensor *tensor) {
  delete tensor;
  return SUCCESS;
}
int cudnnSetTensor4dDescriptor(Tensor *tensor, int format, int type, int n, int c, int h, int w) {
  *tensor = {n, c, h, w, type};
  return format == NHWC && (type == FLOAT || type == BFLOAT16) ? SUCCESS : BAD_PARAM;
}
int cudnnCreateFilterDescriptor(Tensor **filter) { return cudnnCreateTensorDescriptor(filter); }
int cudnnDestroyFilterDescriptor(Tensor *filter) { return cudnnDestroyTensorDescriptor(filter); }
int cudnnSetFilter4dDescriptor(Tensor *filter, int type, int format, int k, int c, int h, int w) {
  return cudnnSetTensor4dDescriptor(filter, format, type, k, c, h, w);
}
int cudnnCreateConvolutionDescriptor(Conv **conv) {
  *conv = new Conv();
  return SUCCESS;
}
int cudnnDestroyConvolutionDescriptor(Conv *conv) {
  delete conv;
  return SUCCESS;
}
int cudnnSetConvolution2dDescriptor(Conv *conv, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,
                                    int dilation_w, int mode, int type) {
  *conv = {pad_h, pad_w, stride_h, stride_w, -1};
  bool plain = dilation_h == 1 && dilation_w == 1;
  return plain && mode == CROSS_CORRELATION && type == FLOAT ? SUCCESS : BAD_PARAM;
}
int cudnnSetConvolutionMathType(Conv *conv, int math) {
  conv->math = math;
  return SUCCESS;
}

int cudnnGetConvolutionForwardAlgorithm_v7(void *, Tensor *x, Tensor *, Conv *, Tensor *, int most, int *found,
                                           Perf *to) {
  return propose(x, most, found, to);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void *, Tensor *x, Tensor *, Conv *, Tensor *, int most, int *found,
                                                Perf *to) {
  return propose(x, most, found, to);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void *, Tensor *x, Tensor *, Conv *, Tensor *, int most, int *found,
                                                  Perf *to) {
  return propose(x, most, found, to);
}
int cudnnGetConvolutionForwardWorkspaceSize(void *, Tensor *, Tensor *, Conv *, Tensor *, int algorithm,
                                            size_t *bytes) {
  return workspace(algorithm, bytes);
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(void *, Tensor *, Tensor *, Conv *, Tensor *, int algorithm,
                                                 size_t *bytes) {
  return workspace(algorithm, bytes);
}
int cudnnGetConvolutionBackwardFilterWorkspaceSize(void *, Tensor *, Tensor *, Conv *, Tensor *, int algorithm,
                                                   size_t *bytes) {
  return workspace(algorithm, bytes);
}

int cudnnFindConvolutionForwardAlgorithmEx(Handle *, Tensor *x, const void *, Tensor *w, const void *, Conv *conv,
                                           Tensor *y, void *, int most, int *found, Perf *to, void *, size_t bytes) {
  return search(x, w, conv, y, most, found, to, bytes);
}
int cudnnFindConvolutionBackwardDataAlgorithmEx(Handle *, Tensor *w, const void *, Tensor *y, const void *, Conv *conv,
                                                Tensor *x, void *, int most, int *found, Perf *to, void *,
                                                size_t bytes) {
  return search(x, w, conv, y, most, found, to, bytes);
}
int cudnnFindConvolutionBackwardFilterAlgorithmEx(Handle *, Tensor *x, const void *, Tensor *y, const void *, Conv *conv,
                                                  Tensor *w, void *, int most, int *found, Perf *to, void *,
                                                  size_t bytes) {
  return search(x, w, conv, y, most, found, to, bytes);
}

int cudnnConvolutionForward(Handle *handle, const void *alpha, Tensor *x, const void *x_at, Tensor *w, const void *w_at,
                            Conv *conv, int algorithm, void *scratch, size_t bytes, const void *beta, Tensor *y,
                            void *y_at) {
  if (!is_legal(x, w, conv, y, algorithm, scratch, bytes, alpha, beta)) return BAD_PARAM;
  Shapes of = {*x, *w, *y, *conv};
  handle->stream->queue([=] { forward(of, x_at, w_at, y_at); });
  return SUCCESS;
}

int cudnnConvolutionBackwardData(Handle *handle, const void *alpha, Tensor *w, const void *w_at, Tensor *y,
                                 const void *dy_at, Conv *conv, int algorithm, void *scratch, size_t bytes,
                                 const void *beta, Tensor *x, void *dx_at) {
  if (!is_legal(x, w, conv, y, algorithm, scratch, bytes, alpha, beta)) return BAD_PARAM;
  Shapes of = {*x, *w, *y, *conv};
  handle->stream->queue([=] { backward_data(of, w_at, dy_at, dx_at); });
  return SUCCESS;
}

int cudnnConvolutionBackwardFilter(Handle *handle, const void *alpha, Tensor *x, const void *x_at, Tensor *y,
                                   const void *dy_at, Conv *conv, int algorithm, void *scratch, size_t bytes,
                                   const void *beta, Tensor *w, void *dw_at) {
  if (!is_legal(x, w, conv, y, algorithm, scratch, bytes, alpha, beta)) return BAD_PARAM;
  Shapes of = {*x, *w, *y, *conv};
  handle->stream->queue([=] { backward_filter(of, x_at, dy_at, dw_at); });
  return SUCCESS;
}
}
