# The installed library: the folders base .. quant in one shared object of its own soname, only
# the IQT_API functions visible; headers, program, CMake package and pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(IQT_LIBRARY_FOLDERS base kernels io codegen tuner runtime quant)
set(library_objects)
foreach(folder ${IQT_LIBRARY_FOLDERS})
  list(APPEND library_objects $<TARGET_OBJECTS:iqt_${folder}>)
endforeach()
# Objects that a folder takes from elsewhere are not among its own.
get_property(more_objects GLOBAL PROPERTY IQT_MORE_OBJECTS)
list(APPEND library_objects ${more_objects})
if(TARGET iqt_embedded)
  get_target_property(embedded_type iqt_embedded TYPE)
  if(NOT embedded_type STREQUAL INTERFACE_LIBRARY)
    list(APPEND library_objects $<TARGET_OBJECTS:iqt_embedded>)
  endif()
endif()

# Every object is taken, used or not. Linking iqt_runtime adds only what it links itself: SQLite,
# jansson and so on.
function(iqt_library target type)
  add_library(${target} ${type} ${library_objects})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME iqtile EXPORT_NAME ${target} LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

iqt_library(iqtile_shared SHARED)
set_target_properties(iqtile_shared PROPERTIES
  EXPORT_NAME iqtile LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/iqtile.map)
target_link_libraries(iqtile_shared PRIVATE iqt_runtime)
target_link_options(iqtile_shared PRIVATE
  LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/iqtile.map
  $<$<NOT:$<BOOL:${IQT_SANITIZE}>>:LINKER:--no-undefined>)
install(TARGETS iqtile_shared EXPORT iqtile_targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

if(IQT_STATIC)
  iqt_library(iqtile_static STATIC)
  target_link_libraries(iqtile_static INTERFACE
    SQLite::SQLite3 ZLIB::ZLIB PkgConfig::JANSSON PkgConfig::CPUINFO Threads::Threads
    m ${CMAKE_DL_LIBS})
  install(TARGETS iqtile_static EXPORT iqtile_targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

# The program is linked statically with the folders: it uses more than the public calls.
set_target_properties(iqtile PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
install(TARGETS iqtile RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/iqtile DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/iqtile)
install(EXPORT iqtile_targets NAMESPACE iqtile:: DESTINATION ${package_dir})
configure_package_config_file(cmake/iqtileConfig.cmake.in iqtileConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(iqtileConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/iqtileConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/iqtileConfigVersion.cmake
        DESTINATION ${package_dir})

# The pkg-config file finds its prefix from where it lies, so an installed tree can be moved.
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/iqtile.pc.in iqtile.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/iqtile.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
