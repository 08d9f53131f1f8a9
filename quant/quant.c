/* The registry of weight formats. */
#include "quant.h"

#include <strings.h>

int quant_from_ggml(uint32_t ggml_type)
{
    for (int i = 0; i < QUANT_FORMATS; i++)
        if (quant_table[i].ggml_id == ggml_type) return i;
    return -1;
}

int quant_from_name(const char *name)
{
    for (int i = 0; i < QUANT_FORMATS; i++)
        if (strcasecmp(quant_table[i].name, name) == 0) return i;
    return -1;
}
