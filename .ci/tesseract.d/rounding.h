// `IntCastRounded` without asking for the sign, so that a loop of it takes many numbers at once.
static inline int RoundedAway(TFloat x) {
  return static_cast<int>(x + std::copysign(static_cast<TFloat>(0.5), x));
}
