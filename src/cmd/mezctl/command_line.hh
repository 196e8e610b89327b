// From argv to a command.
#pragma once

namespace mezite::mezctl {

// Exit status: 0, 1 for a failure (one sentence on stderr), 2 for a wrong command line.
int run(int argc, char** argv);

}  // namespace mezite::mezctl
