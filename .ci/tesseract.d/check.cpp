// Compares the products that this processor gets with the plain loops, bit for bit, for many shapes.
#include <cstdio>
#include <cstring>
#include <random>

#include "intsimdmatrix.h"
#include "matrix.h"

using namespace tesseract;

int main() {
  std::mt19937 random(1);
  const auto byte = [&random] { return static_cast<int8_t>(random() % 255 - 127); };
  const IntSimdMatrix *matrix = IntSimdMatrix::intSimdMatrix;
  if (matrix == nullptr) {
    return std::puts("no products on this processor"), 0;
  }
  for (int outputs = 1; outputs <= 200; ++outputs) {
    for (int inputs : {1, 3, 4, 9, 31, 64, 145, 289}) {
      GENERIC_2D_ARRAY<int8_t> w(outputs, inputs + 1, 0);
      for (int i = 0; i < outputs; ++i) {
        for (int j = 0; j <= inputs; ++j) {
          w(i, j) = byte();
        }
      }
      std::vector<int8_t> shaped, u(matrix->RoundInputs(inputs));
      int32_t rounded = 0;
      matrix->Init(w, shaped, rounded);
      // What pads the inputs may be anything.
      for (auto &input : u) {
        input = byte();
      }
      std::vector<TFloat> scales(rounded), plain(outputs), fast(rounded);
      for (auto &scale : scales) {
        scale = static_cast<TFloat>(random()) / 1e12f;
      }
      IntSimdMatrix::MatrixDotVector(w, scales, u.data(), plain.data());
      matrix->matrixDotVectorFunction(outputs, inputs + 1, shaped.data(), scales.data(), u.data(), fast.data());
      if (memcmp(plain.data(), fast.data(), outputs * sizeof(TFloat)) != 0) {
        return std::printf("%d outputs, %d inputs: other products\n", outputs, inputs), 1;
      }
    }
  }
  return 0;
}
