# The CMake package AlpaMLIR: one archive, one header, the plugin. `cmake --install` puts it under the prefix; another
# framework then says find_package(AlpaMLIR) and links AlpaMLIR::Passes.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
find_package(Threads REQUIRED)

get_target_property(ALPA_CORE_OBJECTS alpa_core ALPA_OBJECTS)
add_library(AlpaMLIR STATIC $<TARGET_OBJECTS:alpa_passes> ${ALPA_CORE_OBJECTS})
set_target_properties(AlpaMLIR PROPERTIES EXPORT_NAME Passes)
target_compile_features(AlpaMLIR INTERFACE cxx_std_17)
target_include_directories(AlpaMLIR INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/alpa_mlir>)
# By name: the user's own MLIR provides them.
target_link_libraries(AlpaMLIR INTERFACE MLIRIR MLIRParser MLIRPass MLIRFuncDialect MLIRTransforms Threads::Threads)

install(TARGETS AlpaMLIR EXPORT AlpaMLIRTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT package)
install(FILES include/alpa/Passes.h ${CMAKE_CURRENT_BINARY_DIR}/include/alpa/Passes.h.inc
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/alpa_mlir/alpa COMPONENT package)
if(TARGET AlpaPasses)
  install(TARGETS AlpaPasses LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT package)
endif()

set(ALPA_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/AlpaMLIR)
set(ALPA_MLIR_VERSION ${MLIR_VERSION})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/AlpaMLIRConfig.cmake.in AlpaMLIRConfig.cmake
                              INSTALL_DESTINATION ${ALPA_CMAKE_DIR})
write_basic_package_version_file(AlpaMLIRConfigVersion.cmake VERSION ${PROJECT_VERSION}
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT AlpaMLIRTargets NAMESPACE AlpaMLIR:: DESTINATION ${ALPA_CMAKE_DIR} COMPONENT package)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/AlpaMLIRConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/AlpaMLIRConfigVersion.cmake
        DESTINATION ${ALPA_CMAKE_DIR} COMPONENT package)
