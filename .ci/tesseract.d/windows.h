// The surroundings of a place that has all of its neighbors, copied at once. Elsewhere the caller does it, and makes up what is
// missing, in the same order as ever.

static inline bool CopyWindow(const StrideMap::Index &place, int half_x, int half_y, int features,
                              const NetworkIO &input, NetworkIO *output) {
  const int x = place.index(FD_WIDTH), y = place.index(FD_HEIGHT);
  if (!input.int_mode() || x < half_x || y < half_y || x + half_x > place.MaxIndexOfDim(FD_WIDTH) ||
      y + half_y > place.MaxIndexOfDim(FD_HEIGHT)) {
    return false;
  }
  const int row = input.stride_map().Size(FD_WIDTH);
  auto *to = const_cast<int8_t *>(output->i(place.t()));
  for (int dx = -half_x; dx <= half_x; ++dx) {
    for (int dy = -half_y; dy <= half_y; ++dy, to += features) {
      const int8_t *from = input.i(place.t() + dx + dy * row);
      if (features == 1) {
        *to = *from;
      } else {
        memcpy(to, from, features);
      }
    }
  }
  return true;
}
