# The release toolchain: a pinned zig, which brings its own C library headers and C++ runtime. What it makes
# depends on the sources and the target alone, not on the machine it runs on.
#
# ZLMDB_TARGET (variable or environment) is the target, `aarch64-linux-gnu` or `x86_64-linux-musl` for example; the
# host, with glibc, by default.

set(ZLMDB_GLIBC 2.17) # The oldest C library the binaries run with: that of the manylinux_2_17 wheel tag.

if(NOT ZLMDB_TARGET)
  set(ZLMDB_TARGET "$ENV{ZLMDB_TARGET}")
endif()
if(NOT ZLMDB_TARGET)
  set(ZLMDB_TARGET "${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu")
endif()
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${ZLMDB_TARGET}")
set(CMAKE_SYSTEM_NAME Linux)

if(NOT ZLMDB_ZIG)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name('zig'))"
    OUTPUT_VARIABLE ZLMDB_ZIG OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "ZLMDB_TOOLCHAIN=zig needs the package ziglang: python -m pip install ziglang")
  endif()
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZLMDB_TARGET ZLMDB_ZIG)

# Baseline instructions only, whatever the host can do.
set(zig_target "${ZLMDB_TARGET}")
if(ZLMDB_TARGET MATCHES "-gnu$")
  string(APPEND zig_target ".${ZLMDB_GLIBC}")
endif()
set(zig_target -target ${zig_target} -mcpu=baseline)
set(CMAKE_C_COMPILER "${ZLMDB_ZIG}" cc ${zig_target})
set(CMAKE_CXX_COMPILER "${ZLMDB_ZIG}" c++ ${zig_target})

# Flags meant for the system's compiler must not leak into reproducible binaries.
foreach(flags CFLAGS CXXFLAGS CPPFLAGS LDFLAGS)
  unset(ENV{${flags}})
endforeach()
