// The files of web/static, compiled in.
#pragma once

#include <string_view>

namespace mezite::proxy {

// "index.html" → its content; empty when there is no such file. Lives for ever.
std::string_view find_web_asset(std::string_view name);

}  // namespace mezite::proxy
