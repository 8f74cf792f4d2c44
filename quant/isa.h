/* The files behind iqt_encode_row() are compiled once per instruction set, with IQT_ISA as its name; what
 * they export carries the name. encoder.c has the table to choose from. */
#ifndef IQT_QUANT_ISA_H
#define IQT_QUANT_ISA_H

#define IQT_ISA_JOIN(name, isa) name##_##isa
#define IQT_ISA_PASTE(name, isa) IQT_ISA_JOIN(name, isa)

#define iqt_pick IQT_ISA_PASTE(iqt_pick, IQT_ISA)
#define iqt_block_search IQT_ISA_PASTE(iqt_block_search, IQT_ISA)
#define iqt_trellis_find IQT_ISA_PASTE(iqt_trellis_find, IQT_ISA)
#define iqt_trellis_scan IQT_ISA_PASTE(iqt_trellis_scan, IQT_ISA)
#define iqt_encode_group IQT_ISA_PASTE(iqt_encode_group, IQT_ISA)
#define iqt_guess_shared IQT_ISA_PASTE(iqt_guess_shared, IQT_ISA)

#endif
