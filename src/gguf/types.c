/* The tensor types of GGUF files, as facts of the format: number, name, weights a block, bytes a block.
 * What the weights of a block mean is quant/'s subject. Numbers are those of ggml's enumeration. */
#include "gguf.h"

static const gguf_type_info types[] = {
    [0] = {"F32", 1, 4, false},
    [1] = {"F16", 1, 2, false},
    [2] = {"Q4_0", 32, 18, false},
    [3] = {"Q4_1", 32, 20, false},
    [4] = {"Q4_2", 16, 10, true},
    [5] = {"Q4_3", 16, 12, true},
    [6] = {"Q5_0", 32, 22, false},
    [7] = {"Q5_1", 32, 24, false},
    [8] = {"Q8_0", 32, 34, false},
    [9] = {"Q8_1", 32, 36, false},
    [10] = {"Q2_K", 256, 84, false},
    [11] = {"Q3_K", 256, 110, false},
    [12] = {"Q4_K", 256, 144, false},
    [13] = {"Q5_K", 256, 176, false},
    [14] = {"Q6_K", 256, 210, false},
    [15] = {"Q8_K", 256, 292, false},
    [16] = {"IQ2_XXS", 256, 66, false},
    [17] = {"IQ2_XS", 256, 74, false},
    [18] = {"IQ3_XXS", 256, 98, false},
    [19] = {"IQ1_S", 256, 50, false},
    [20] = {"IQ4_NL", 32, 18, false},
    [21] = {"IQ3_S", 256, 110, false},
    [22] = {"IQ2_S", 256, 82, false},
    [23] = {"IQ4_XS", 256, 136, false},
    [24] = {"I8", 1, 1, false},
    [25] = {"I16", 1, 2, false},
    [26] = {"I32", 1, 4, false},
    [27] = {"I64", 1, 8, false},
    [28] = {"F64", 1, 8, false},
    [29] = {"IQ1_M", 256, 56, false},
    [30] = {"BF16", 1, 2, false},
    [31] = {"Q4_0_4_4", 32, 18, true}, /* 31 to 33 and 36 to 38: rows interleaved for ARM, never in wide use */
    [32] = {"Q4_0_4_8", 32, 18, true},
    [33] = {"Q4_0_8_8", 32, 18, true},
    [34] = {"TQ1_0", 256, 54, false},
    [35] = {"TQ2_0", 256, 66, false},
    [36] = {"IQ4_NL_4_4", 32, 18, true},
    [37] = {"IQ4_NL_4_8", 32, 18, true},
    [38] = {"IQ4_NL_8_8", 32, 18, true},
    [39] = {"MXFP4", 32, 17, false},
    [40] = {"NVFP4", 64, 36, false},
    [41] = {"Q1_0", 128, 18, false},
    [42] = {"Q2_0", 64, 18, false},
};

const gguf_type_info *gguf_tensor_type(uint32_t type)
{
    return type < sizeof types / sizeof *types ? &types[type] : NULL;
}

/* Values of general.file_type: what most of the weights are in (ggml's ftype enumeration). */
static const char *const file_types[] = {
    [0] = "F32", [1] = "F16", [2] = "Q4_0", [3] = "Q4_1", [7] = "Q8_0", [8] = "Q5_0", [9] = "Q5_1",
    [10] = "Q2_K", [11] = "Q3_K_S", [12] = "Q3_K_M", [13] = "Q3_K_L", [14] = "Q4_K_S", [15] = "Q4_K_M",
    [16] = "Q5_K_S", [17] = "Q5_K_M", [18] = "Q6_K", [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S",
    [22] = "IQ3_XS", [23] = "IQ3_XXS", [24] = "IQ1_S", [25] = "IQ4_NL", [26] = "IQ3_S", [27] = "IQ3_M",
    [28] = "IQ2_S", [29] = "IQ2_M", [30] = "IQ4_XS", [31] = "IQ1_M", [32] = "BF16", [36] = "TQ1_0",
    [37] = "TQ2_0", [38] = "MXFP4_MOE", [39] = "NVFP4", [40] = "Q1_0", [41] = "Q2_0",
};

const char *gguf_file_type_name(uint32_t file_type)
{
    return file_type < sizeof file_types / sizeof *file_types ? file_types[file_type] : NULL;
}

const char *gguf_type_name(gguf_type type)
{
    static const char *const names[GGUF_TYPES] = {"u8",   "i8",  "u16", "i16", "u32", "i32", "f32",
                                                  "bool", "str", "arr", "u64", "i64", "f64"};
    return (unsigned)type < GGUF_TYPES ? names[type] : "?";
}

size_t gguf_type_size(gguf_type type)
{
    static const uint8_t sizes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return (unsigned)type < GGUF_TYPES ? sizes[type] : 0;
}
