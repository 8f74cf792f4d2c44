/* Reads just enough ELF: section headers, NVIDIA's attribute lists and AMD's msgpack note. Every
 * offset is checked; knows no kernel. */
#include "runtime/binary_info.h"

#include <string.h>

enum { HEADER_BYTES = 64, SECTION_BYTES = 64, MACHINE_CUDA = 190, MACHINE_AMDGPU = 224 };
enum { SECTION_NOBITS = 8 };

struct elf {
    const uint8_t *at;
    size_t size;
    uint64_t sections_at;
    uint32_t sections;
    uint64_t names_at, names_bytes;
};

struct section {
    const char *name; /* NUL-terminated within the file */
    uint32_t type;
    const uint8_t *at; /* NULL for one without bytes in the file */
    uint64_t bytes;
};

static bool inside(const struct elf *e, uint64_t at, uint64_t bytes)
{
    return at <= e->size && bytes <= e->size - at;
}

static bool read_section(const struct elf *e, uint32_t i, struct section *out)
{
    const uint8_t *h = e->at + e->sections_at + (uint64_t)i * SECTION_BYTES;
    const uint64_t name = iqt_read_u32(h), at = iqt_read_u64(h + 24);

    out->type = iqt_read_u32(h + 4);
    out->bytes = iqt_read_u64(h + 32);
    out->at = NULL;
    if (name >= e->names_bytes ||
        memchr(e->at + e->names_at + name, 0, e->names_bytes - name) == NULL)
        return false;
    out->name = (const char *)e->at + e->names_at + name;
    if (out->type == SECTION_NOBITS)
        return true;
    if (!inside(e, at, out->bytes))
        return false;
    out->at = e->at + at;
    return true;
}

static bool open_elf(const uint8_t *bytes, size_t size, struct elf *out)
{
    struct elf e = { .at = bytes, .size = size };
    const uint8_t *names;
    uint32_t index;

    if (size < HEADER_BYTES || memcmp(bytes, "\177ELF\2\1", 6) != 0)
        return false;
    e.sections_at = iqt_read_u64(bytes + 40);
    e.sections = iqt_read_u16(bytes + 60);
    index = iqt_read_u16(bytes + 62);
    if (iqt_read_u16(bytes + 58) != SECTION_BYTES || index >= e.sections ||
        !inside(&e, e.sections_at, (uint64_t)e.sections * SECTION_BYTES))
        return false;
    names = bytes + e.sections_at + (uint64_t)index * SECTION_BYTES;
    e.names_at = iqt_read_u64(names + 24);
    e.names_bytes = iqt_read_u64(names + 32);
    if (!inside(&e, e.names_at, e.names_bytes))
        return false;
    *out = e;
    return true;
}

/* ---- NVIDIA: lists of (kind, attribute, 16-bit size or value), values of kind 4 follow ---- */

enum { VALUES = 4, FRAME_SIZE = 0x11, REGISTER_COUNT = 0x2f };

/* Both attributes are (symbol, number). */
static void read_attributes(const struct section *s, struct iqt_binary_info *out)
{
    for (uint64_t i = 0; s->bytes - i >= 4;) {
        const uint8_t *a = s->at + i;
        const uint32_t bytes = a[0] == VALUES ? iqt_read_u16(a + 2) : 0;

        if (bytes > s->bytes - i - 4)
            return;
        if (bytes >= 8 && a[1] == REGISTER_COUNT)
            out->registers = iqt_read_u32(a + 8);
        if (bytes >= 8 && a[1] == FRAME_SIZE)
            out->stack_bytes = iqt_read_u32(a + 8);
        i += 4 + bytes;
    }
}

static bool starts_with(const char *text, const char *front)
{
    return strncmp(text, front, strlen(front)) == 0;
}

static enum iqt_status read_cuda(const struct elf *e, struct iqt_binary_info *out)
{
    struct section s;
    bool found = false;

    for (uint32_t i = 0; i < e->sections; i++) {
        if (!read_section(e, i, &s))
            return iqt_fail(IQT_ERR_FORMAT, "cubin: section %u lies outside the file", i);
        if (strcmp(s.name, ".nv.info") == 0 && s.at != NULL) {
            read_attributes(&s, out);
            found = true;
        }
        if (starts_with(s.name, ".nv.shared.") &&
            !starts_with(s.name, ".nv.shared.reserved"))
            out->shared_bytes = (uint32_t)s.bytes;
    }
    return found ? IQT_OK : iqt_fail(IQT_ERR_FORMAT, "cubin: no section .nv.info");
}

/* ---- AMD: a msgpack map; numbers follow their keys ---- */

/* A non-negative msgpack integer. */
static bool read_number(const uint8_t *at, size_t bytes, uint32_t *out)
{
    if (bytes >= 1 && at[0] < 0x80)
        *out = at[0];
    else if (bytes >= 2 && at[0] == 0xcc)
        *out = at[1];
    else if (bytes >= 3 && at[0] == 0xcd)
        *out = (uint32_t)at[1] << 8 | at[2];
    else if (bytes >= 5 && at[0] == 0xce)
        *out =
            (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
    else
        return false;
    return true;
}

/* The number behind the first key of this name: the first kernel's, its arguments have others. */
static bool find_number(const struct section *s, const char *key, uint32_t *out)
{
    const size_t length = strlen(key);

    for (uint64_t i = 0; i + length < s->bytes; i++) {
        const uint8_t *at = s->at + i;
        const bool fix = at[0] == (0xa0 | length) && length < 32;
        const bool str8 = i > 0 && at[-1] == 0xd9 && at[0] == length;

        if ((fix || str8) && memcmp(at + 1, key, length) == 0)
            return read_number(at + 1 + length, s->bytes - i - 1 - length, out);
    }
    return false;
}

static enum iqt_status read_amd(const struct elf *e, struct iqt_binary_info *out)
{
    uint32_t vector_spills = 0, scalar_spills = 0;
    const struct {
        const char *key;
        uint32_t *to;
    } wanted[] = {
        { ".vgpr_count", &out->registers },
        { ".sgpr_count", &out->scalars },
        { ".vgpr_spill_count", &vector_spills },
        { ".sgpr_spill_count", &scalar_spills },
        { ".private_segment_fixed_size", &out->stack_bytes },
        { ".group_segment_fixed_size", &out->shared_bytes },
    };
    struct section s;

    for (uint32_t i = 0; i < e->sections; i++) {
        if (!read_section(e, i, &s))
            return iqt_fail(IQT_ERR_FORMAT,
                            "code object: section %u lies outside the file", i);
        if (strcmp(s.name, ".note") != 0 || s.at == NULL)
            continue;
        for (size_t j = 0; j < IQT_COUNT(wanted); j++)
            if (!find_number(&s, wanted[j].key, wanted[j].to))
                return iqt_fail(IQT_ERR_FORMAT, "code object: the note has no %s",
                                wanted[j].key);
        out->spills = vector_spills + scalar_spills;
        return IQT_OK;
    }
    return iqt_fail(IQT_ERR_FORMAT, "code object: no section .note");
}

enum iqt_status iqt_binary_info(const void *bytes, size_t size,
                                struct iqt_binary_info *out)
{
    struct iqt_binary_info info = { 0 };
    struct elf e;
    uint16_t machine;

    if (!open_elf(bytes, size, &e))
        return iqt_fail(IQT_ERR_FORMAT, "%zu bytes are no 64-bit little-endian ELF file",
                        size);
    machine = iqt_read_u16(e.at + 18);
    if (machine == MACHINE_CUDA)
        IQT_TRY(read_cuda(&e, &info));
    else if (machine == MACHINE_AMDGPU)
        IQT_TRY(read_amd(&e, &info));
    else
        return iqt_fail(IQT_ERR_FORMAT,
                        "ELF machine %u is neither CUDA (190) nor AMDGPU (224)", machine);
    *out = info;
    return IQT_OK;
}
