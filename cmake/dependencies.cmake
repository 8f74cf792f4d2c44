# What the library and the program need, found once. docs/dependencies.md says why each is here
# and what happens without it; scripts/lib.sh has the Debian packages.
set(IQT_DEBIAN_PACKAGES "scripts/build.sh installs what is missing on Debian 12")

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(CPUINFO REQUIRED IMPORTED_TARGET libcpuinfo)
find_path(XXHASH_INCLUDE_DIR xxhash.h) # used as a header only
if(NOT XXHASH_INCLUDE_DIR)
  message(FATAL_ERROR "xxhash.h is missing (libxxhash-dev); ${IQT_DEBIAN_PACKAGES}")
endif()
