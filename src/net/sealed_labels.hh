// What comes before a statement when it is signed, so that a signature of one kind is never taken for one of another
// (docs/protocols.md, sealed calls).
#pragma once

#include <string>

namespace mezite::net {

inline const std::string kSealedCallLabel{"mezite-sealed-call-v1\0", 22};
inline const std::string kSealedAnswerLabel{"mezite-sealed-answer-v1\0", 24};

}  // namespace mezite::net
