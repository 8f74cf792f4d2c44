/* CRC-32 as in zlib, for comparing with published numbers. */
#ifndef IQT_TESTS_CRC32_H
#define IQT_TESTS_CRC32_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

#endif
