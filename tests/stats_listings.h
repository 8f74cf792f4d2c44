/* Listings for test_stats.c, cut by hand from what the disassemblers print for small kernels. The
 * counts in the test are worked out from these lines. */
#ifndef IQT_TESTS_STATS_LISTINGS_H
#define IQT_TESTS_STATS_LISTINGS_H

/* nvdisasm -c: two functions; the second has a loop of 13 instructions with a skipped path, a loop
 * without loads, and the endless one behind every kernel. */
static const char sass_listing[] =
    "\t.target\tsm_90\n"
    "\n"
    "//--------------------- .text.first --------------------------\n"
    "\t.section\t.text.first,\"ax\",@progbits\n"
    "        .global         first\n"
    "first:\n"
    ".text.first:\n"
    "        /*0000*/                   EXIT ;\n"
    "\t.section\t.text.second,\"ax\",@progbits\n"
    ".text.second:\n"
    "        /*0000*/                   LDC R1, c[0x0][0x28] ;\n"
    "        /*0010*/                   S2R R2, SR_TID.X ;\n"
    "        /*0020*/               @P0 BRA `(.L_x_1) ;\n"
    ".L_x_0:\n"
    "        /*0030*/                   LDG.E.128.CONSTANT R8, desc[UR8][R8.64] ;\n"
    "        /*0040*/                   LDG.E.U16.CONSTANT R3, desc[UR8][R2.64] ;\n"
    "        /*0050*/                   LDC.64 R36, c[0x0][0x220] ;\n"
    "        /*0060*/                   LOP3.LUT R3, R8, 0x7070707, RZ, 0xc0, !PT ;\n"
    "        /*0070*/                   PRMT R28, R28, R15, 0xf6eaddcf ;\n"
    "        /*0080*/                   IDP.4A.S8.S8 R12, R28, R12, RZ ;\n"
    "        /*0090*/              @!P1 BRA `(.L_x_3) ;\n"
    "        /*00a0*/                   IMAD.WIDE.U32 R12, R23, 0x10, R36 ;\n"
    ".L_x_3:\n"
    "        /*00b0*/                   I2FP.F32.S32 R23, R23 ;\n"
    "        /*00c0*/                   FFMA R23, R24, R23, R25 ;\n"
    "        /*00d0*/                   UIADD3 UR4, UR4, 0x1, URZ ;\n"
    "        /*00e0*/                   ISETP.GE.U32.AND P0, PT, R7, UR6, PT ;\n"
    "        /*00f0*/              @!P0 BRA `(.L_x_0) ;\n"
    ".L_x_1:\n"
    "        /*0100*/                   SHFL.BFLY PT, R4, R5, 0x1, 0x1f ;\n"
    "        /*0110*/                   FADD R5, R4, R5 ;\n"
    "        /*0120*/               @P1 BRA `(.L_x_1) ;\n"
    "        /*0130*/                   STG.E desc[UR8][R6.64], R9 ;\n"
    "        /*0140*/                   EXIT ;\n"
    ".L_x_2:\n"
    "        /*0150*/                   BRA `(.L_x_2);\n"
    "        /*0160*/                   NOP;\n"
    ".L_x_4:\n";

/* llvm-objdump -d for gfx1100: a loop of 11 instructions that loads, with a dual issue, a quarter
 * rate multiply and a conversion; the branch back is written as a distance. */
static const char rdna_listing[] =
    "\n"
    "a.co:\tfile format elf64-amdgpu\n"
    "\n"
    "Disassembly of section .text:\n"
    "\n"
    "0000000000001900 <kernel>:\n"
    "\ts_load_b128 s[4:7], s[0:1], 0x40                           // 000000001900: F4080100\n"
    "\tv_dual_mov_b32 v14, 0 :: v_dual_and_b32 v13, 3, v0         // 000000001908: CA240080\n"
    "\ts_cbranch_execz 1070                                       // 000000001910: BFA5042E "
    "<kernel+0x58>\n"
    "\tglobal_load_b128 v[23:26], v17, s[2:3]                     // 000000001914: DC5E0000\n"
    "\tglobal_load_d16_u8 v27, v18, s[2:3]                        // 00000000191C: DC5E0000\n"
    "\ts_waitcnt vmcnt(1)                                         // 000000001924: BF8907F7\n"
    "\tv_and_b32_e32 v5, 1, v0                                    // 000000001928: 360A0081\n"
    "\tv_perm_b32 v5, v6, v7, v8                                  // 00000000192C: 360A0081\n"
    "\tv_dot4_i32_iu8 v5, v6, v7, v8 neg_lo:[1,1,0]               // 000000001934: 360A0081\n"
    "\tv_mul_lo_u32 v3, v3, v6                                    // 00000000193C: D5690003\n"
    "\tv_cvt_f32_i32_e32 v53, v53                                 // 000000001944: 7E6A0B35\n"
    "\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_add_nc_u32 v4, 4, v4  // 000000001948: CA240080\n"
    "\tv_cmp_gt_u32_e32 vcc_lo, s4, v12                           // 000000001950: 7C981804\n"
    "\ts_cbranch_vccnz 65520                                      // 000000001954: BFA4FFF0 "
    "<kernel+0x14>\n"
    "\tglobal_store_b32 v0, v1, s[0:1]                            // 000000001958: DC6A0000\n"
    "\ts_endpgm                                                   // 000000001960: BFB00000\n"
    "\ts_code_end                                                 // 000000001964: BF9F0000\n";

/* llvm-objdump -d for gfx906, whose buffer instructions reach private memory. */
static const char gcn_listing[] =
    "0000000000001000 <kernel>:\n"
    "\tv_lshlrev_b64 v[0:1], 3, v[2:3]                            // 000000001000: D28F0000\n"
    "\tglobal_load_dwordx2 v[4:5], v[0:1], off                    // 000000001008: DC548000\n"
    "\tbuffer_store_dword v5, off, s[0:3], 0 offset:4             // 000000001010: E0700004\n"
    "\tv_cvt_f32_f16_e32 v4, v4                                   // 000000001018: 7E081704\n"
    "\tv_cvt_f32_ubyte0_sdwa v4, v4 src0_sel:BYTE_0               // 00000000101C: 7E081704\n"
    "\tv_mul_lo_u32 v4, v4, v5                                    // 000000001024: D2850004\n"
    "\ts_cbranch_scc1 65525                                       // 00000000102C: BF85FFF5 "
    "<kernel>\n"
    "\ts_endpgm                                                   // 000000001030: BF810000\n";

/* ACO: no addresses, blocks are labels. An outer loop, one inside of it that loads little. */
static const char aco_listing[] =
    "BB0:\n"
    "\tv_and_b32_e32 v1, 3, v0                                     ; 36020083\n"
    "BB1:\n"
    "\ts_cbranch_scc0 BB20                                         ; bf840740\n"
    "BB9:\n"
    "\ts_load_dwordx4 s[16:19], s[12:13], null                     ; f4080406 fa000000\n"
    "\tbuffer_load_dwordx4 v[8:11], v7, s[16:19], 0 offen          ; e0381000 80040807\n"
    "\tbuffer_load_dwordx4 v[12:15], v6, s[16:19], 0 offen         ; e0381000 80040c06\n"
    "\tv_mul_lo_u32 v3, v3, v6                                     ; d5690003 00000d03\n"
    "BB10:\n"
    "\tbuffer_load_dword v6, v6, s[16:19], 0 offen                 ; e0301000 80040606\n"
    "\tv_fma_f32 v6, v6, v7, v8                                    ; d54b0006 04220f06\n"
    "\ts_cbranch_scc1 BB10                                         ; bf85fff9\n"
    "BB19:\n"
    "\ts_branch BB1                                                ; bf82f890\n"
    "BB20:\n"
    "\tds_bpermute_b32 v1, v2, v3                                  ; d8fc0000 01000302\n"
    "\ts_endpgm                                                    ; bf810000\n";

#endif
