// What the post-quantum key encapsulations cost: a client generates and decapsulates, a server encapsulates.
#include <benchmark/benchmark.h>

#include "crypto/mlkem768.hh"
#include "crypto/sntrup761.hh"

namespace {

using namespace mezite;
using namespace mezite::crypto;

void sntrup761_generate(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sntrup761::generate());
}
void sntrup761_encapsulate(benchmark::State& state) {
  const auto pair = sntrup761::generate();
  for (auto _ : state) benchmark::DoNotOptimize(sntrup761::encapsulate(pair.public_key));
}
void sntrup761_decapsulate(benchmark::State& state) {
  const auto pair = sntrup761::generate();
  const auto sent = sntrup761::encapsulate(pair.public_key);
  for (auto _ : state) benchmark::DoNotOptimize(sntrup761::decapsulate(pair.private_key.view(), sent->ciphertext));
}
void mlkem768_generate(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(mlkem768::generate());
}
void mlkem768_encapsulate(benchmark::State& state) {
  const auto pair = mlkem768::generate();
  for (auto _ : state) benchmark::DoNotOptimize(mlkem768::encapsulate(pair.public_key));
}
void mlkem768_decapsulate(benchmark::State& state) {
  const auto pair = mlkem768::generate();
  const auto sent = mlkem768::encapsulate(pair.public_key);
  for (auto _ : state) benchmark::DoNotOptimize(mlkem768::decapsulate(pair.private_key.view(), sent->ciphertext));
}

BENCHMARK(sntrup761_generate)->Unit(benchmark::kMicrosecond);
BENCHMARK(sntrup761_encapsulate)->Unit(benchmark::kMicrosecond);
BENCHMARK(sntrup761_decapsulate)->Unit(benchmark::kMicrosecond);
BENCHMARK(mlkem768_generate)->Unit(benchmark::kMicrosecond);
BENCHMARK(mlkem768_encapsulate)->Unit(benchmark::kMicrosecond);
BENCHMARK(mlkem768_decapsulate)->Unit(benchmark::kMicrosecond);

}  // namespace
