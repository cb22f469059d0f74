// Products of a matrix and a vector of 8 bits, on processors that multiply four pairs and add them up by one instruction
// (AVX-512 VNNI). The sums are whole numbers: they are the same.

#define DOCENT_VNNI __attribute__((target("avx2,avx512vl,avx512vnni")))

static inline bool HasVnni() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
}

// As many outputs as fit into so many registers. Moves all pointers behind what it has used.
template <int kRegisters>
DOCENT_VNNI __attribute__((always_inline)) inline void VnniOutputs(const int8_t *&w, const float *&scales,
                                                                   const int32_t *&starts, const int8_t *u,
                                                                   int num_in, float *&v) {
  __m256i sums[kRegisters];
#pragma GCC unroll 8
  for (int r = 0; r < kRegisters; ++r, starts += 8) {
    sums[r] = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(starts));
  }
  for (int j = 0; j < num_in; j += 4) {
    int32_t four;
    memcpy(&four, u + j, sizeof(four));
    // The instruction takes one factor of each pair without a sign: 128 more, which `starts` takes off.
    const __m256i inputs = _mm256_set1_epi32(four ^ static_cast<int32_t>(0x80808080));
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r, w += 32) {
      const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(w));
      sums[r] = _mm256_dpbusd_epi32(sums[r], inputs, weights);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRegisters; ++r, w += 8, scales += 8, v += 8) {
    const __m256i bias = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(w)));
    const __m256i sum = _mm256_add_epi32(sums[r], _mm256_mullo_epi32(bias, _mm256_set1_epi32(127)));
    _mm256_storeu_ps(v, _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(scales)));
  }
}

// What `matrixDotVector` does, in the same order of weights.
DOCENT_VNNI static void VnniMatrixDotVector(int dim1, int dim2, const int8_t *w, const float *scales,
                                            const int8_t *u, float *v) {
  const int num_in = IntSimdMatrix::Roundup(dim2 - 1, 4);
  int registers = IntSimdMatrix::Roundup(dim1, 8) / 8;
  // Behind all weights, by `AppendStarts`; at a multiple of eight bytes, as `registers * 8` is one.
  const auto *starts = reinterpret_cast<const int32_t *>(w + (num_in + 1) * registers * 8);
  for (; registers >= 8; registers -= 8) {
    VnniOutputs<8>(w, scales, starts, u, num_in, v);
  }
  if (registers & 4) {
    VnniOutputs<4>(w, scales, starts, u, num_in, v);
  }
  if (registers & 2) {
    VnniOutputs<2>(w, scales, starts, u, num_in, v);
  }
  if (registers & 1) {
    VnniOutputs<1>(w, scales, starts, u, num_in, v);
  }
}
