/* The files prelude_host*.h as text, made by CMake. */
#ifndef IQT_CODEGEN_PRELUDE_H
#define IQT_CODEGEN_PRELUDE_H

extern const char iqt_prelude_host[], iqt_prelude_host_avx512[], iqt_prelude_host_avx2[],
    iqt_prelude_host_portable[];

#endif
