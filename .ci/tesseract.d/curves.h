// The logistic function and tanh of many numbers, from the tables that are there, step by step without a jump.
struct LogisticCurve {
  static const TFloat *Table() { return LogisticTable; }
  static TFloat Negative(TFloat y) { return 1 - y; }
};
struct TanhCurve {
  static const TFloat *Table() { return TanhTable; }
  static TFloat Negative(TFloat y) { return -y; }
};
// So many numbers, with all that is known of them, fit into the nearest cache.
constexpr int kCurveBlock = 64;

template <class Curve>
inline void CurveOfBlock(int n, const TFloat *__restrict x, TFloat *__restrict y) {
  constexpr TFloat last = kTableSize - 1;
  const TFloat *table = Curve::Table();
  TFloat place[kCurveBlock];
  int index[kCurveBlock];
  TFloat ends[kCurveBlock][2];
  for (int i = 0; i < n; ++i) {
    TFloat p = std::fabs(x[i]) * kScaleFactor;
    place[i] = p < last ? p : last;
    index[i] = static_cast<int>(p < last ? p : 0);
  }
  for (int i = 0; i < n; ++i) {
    memcpy(ends[i], table + index[i], sizeof(ends[i]));
  }
  for (int i = 0; i < n; ++i) {
    TFloat between = ends[i][0] + (ends[i][1] - ends[i][0]) * (place[i] - index[i]);
    TFloat positive = place[i] < last ? between : 1;
    y[i] = x[i] < 0 ? Curve::Negative(positive) : positive;
  }
}

template <class Curve>
inline void CurveInplace(int n, TFloat *inout) {
  TFloat y[kCurveBlock];
  for (; n > 0; n -= kCurveBlock, inout += kCurveBlock) {
    int m = n < kCurveBlock ? n : kCurveBlock;
    CurveOfBlock<Curve>(m, inout, y);
    memcpy(inout, y, m * sizeof(y[0]));
  }
}
template <>
inline void FuncInplace<FFunc>(int n, TFloat *inout) {
  CurveInplace<LogisticCurve>(n, inout);
}
template <>
inline void FuncInplace<GFunc>(int n, TFloat *inout) {
  CurveInplace<TanhCurve>(n, inout);
}
template <>
inline void FuncMultiply<HFunc>(const TFloat *u, const TFloat *v, int n, TFloat *out) {
  TFloat y[kCurveBlock];
  for (int start = 0; start < n; start += kCurveBlock) {
    int m = n - start < kCurveBlock ? n - start : kCurveBlock;
    CurveOfBlock<TanhCurve>(m, u + start, y);
    for (int i = 0; i < m; ++i) {
      out[start + i] = y[i] * v[start + i];
    }
  }
}
