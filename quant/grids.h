/* The grids of the IQ formats: which combinations of levels a row number stands for. */
#ifndef QUANT_GRIDS_H
#define QUANT_GRIDS_H

#include <stdint.h>

/* Eight weights a row, weight j's level at bits 2 j. Levels 0, 1, 2 are
 *   IQ2:  8, 25, 43        IQ1: -1, 0, 1 */
extern const uint16_t quant_grid_iq2_xxs[256], quant_grid_iq2_xs[512], quant_grid_iq2_s[1024];
extern const uint16_t quant_grid_iq1[2048];

/* Four weights a row, weight j's level at bits 3 j. Levels 0 to 7 are
 *   IQ3_XXS: 4, 12, 20, 28, 36, 44, 52, 62        IQ3_S: 1, 3, 5, 7, 9, 11, 13, 15 */
extern const uint16_t quant_grid_iq3_xxs[256], quant_grid_iq3_s[512];

#endif
