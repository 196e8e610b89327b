// What OpenSSL does when the process exits.
#pragma once

namespace mezite::crypto {

// From here on OpenSSL takes nothing apart at exit; to be called first thing in main(), before anything uses it. Its
// handler (OPENSSL_cleanup) would run while threads that nobody can join, gRPC's, still end: what it keeps for such a
// thread (random generators) would then be freed by nobody, and what the thread still uses would be gone.
//
// The handler wipes nothing that matters: keys are wiped by whoever owns them before main() returns, the state of the
// random generators leads to no earlier output (NIST SP 800-90A §8.8, backtracking resistance), and the kernel clears
// pages before it gives them to anybody else.
void skip_openssl_exit_handler();

}  // namespace mezite::crypto
