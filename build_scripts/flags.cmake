# Flags for everything we ship: nothing of the build is baked in, and the usual hardening.

set(CMAKE_SKIP_RPATH ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)

# zlmdb_release_flags(<target> <source folder>...)
# No debug information, no build id, no symbol table; paths below the source folders are written relative to them.
function(zlmdb_release_flags target)
  target_compile_options(${target} PRIVATE -g0 -ffunction-sections -fdata-sections)
  foreach(folder IN LISTS ARGN)
    target_compile_options(${target} PRIVATE "-ffile-prefix-map=${folder}=.")
  endforeach()
  if(CMAKE_SYSTEM_NAME STREQUAL Linux)
    target_link_options(${target} PRIVATE -s LINKER:--build-id=none LINKER:--gc-sections
      LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
  endif()
endfunction()
