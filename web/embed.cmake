# cmake -D OUT=web_assets.cc -D "FILES=a;b" -P embed.cmake: the files as byte arrays, for proxy/web_assets.hh.
set(arrays "")
set(rows "")
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", {reinterpret_cast<const char*>(kFile${number}), sizeof kFile${number} - 1}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "// Made of web/static by web/embed.cmake.
#include \"proxy/web_assets.hh\"

namespace mezite::proxy {
namespace {
${arrays}}  // namespace

std::string_view find_web_asset(std::string_view name) {
  static const struct {
    std::string_view name;
    std::string_view content;
  } kFiles[] = {
${rows}  };
  for (const auto& file : kFiles) {
    if (file.name == name) return file.content;
  }
  return {};
}

}  // namespace mezite::proxy
")
