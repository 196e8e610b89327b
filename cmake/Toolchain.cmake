option(MEZITE_FUZZ "Build the libFuzzer harnesses (clang only)" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  # One cache serves every build folder and checkout of the tree.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Debug information is kept small: line tables are enough for a backtrace and halve the compile time of heavy headers.
add_compile_options(-g1 -fno-plt -fstack-protector-strong -fdiagnostics-color=auto)
if(NOT MEZITE_SANITIZE AND CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_definitions(_FORTIFY_SOURCE=2)
endif()
if(MEZITE_SANITIZE)
  set(CMAKE_CXX_FLAGS_SANITIZED "-O1" CACHE STRING "")  # half the compile time of -O2 and fast enough to test with
  add_compile_options(-fsanitize=${MEZITE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MEZITE_SANITIZE})
  add_compile_definitions(MEZITE_SANITIZED)
  if(MEZITE_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  if(MEZITE_SANITIZE STREQUAL "thread")
    # protobuf's maps are laid out otherwise under this macro, and Debian's library was built without it.
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
endif()
if(MEZITE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Our own targets get these; generated code does not.
set(MEZITE_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wconversion
  -Wno-sign-conversion -Wno-missing-field-initializers -Wundef -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12 inside std::string and std::vector (GCC bugs 105651, 105329, 107852).
  list(APPEND MEZITE_WARNINGS -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread
    -Wno-maybe-uninitialized -Wno-free-nonheap-object)
endif()
