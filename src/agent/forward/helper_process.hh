// The inside of the helper process (user_helper.hh).
#pragma once

namespace mezite::agent {

// For main(): when the command line is that of the helper, serves requests on descriptor 0 until its end of file,
// removes what it made, and exits. Does nothing for other command lines.
void run_forward_helper(int argc, char** argv);

}  // namespace mezite::agent
