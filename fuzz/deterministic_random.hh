// Makes OpenSSL's random numbers a function of how many were asked for since the start of the input.
#pragma once

namespace mezite::fuzz {

// Starts the sequence again; the first call puts it in OpenSSL's place.
void restart_random();

}  // namespace mezite::fuzz
