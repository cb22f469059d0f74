// Where the sums of products.h start: for each output, 128 times its weights, taken off.
static inline void AppendStarts(const GENERIC_2D_ARRAY<int8_t> &w, int rounded_num_out, std::vector<int8_t> &shaped_w) {
  std::vector<int32_t> starts(rounded_num_out, 0);
  for (int output = 0; output < w.dim1(); ++output) {
    // The last one is the bias, whose factor is no input.
    for (int input = 0; input < w.dim2() - 1; ++input) {
      starts[output] -= 128 * w(output, input);
    }
  }
  const auto *bytes = reinterpret_cast<const int8_t *>(starts.data());
  shaped_w.insert(shaped_w.end(), bytes, bytes + starts.size() * sizeof(starts[0]));
}
