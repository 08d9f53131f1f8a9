/* The presets. Memory beside the OS: 3 GiB are left to it. The iGPU of Strix Halo sees the BIOS carve-out (0.5 GiB as
 * Framework ships it) and GTT, which Linux limits to half of the memory unless ttm.pages_limit says otherwise.
 *
 * Strix Halo: 256 bit of LPDDR5X-8000 are 256 GB/s. Its cores read 110 to 125 GB/s with both CCDs, since each CCD's link
 * carries 32 bytes a cycle of the fabric (2 GHz: 64 GB/s); the Max 385 has one CCD. Its iGPU reads 204 to 221 GB/s.
 * int8 on the cores: 16 cores x 512 bit of VNNI twice a cycle make 18 TOPS at the clock of such loads, of which prefill
 * reaches 55 to 72 per cent. GPUs: what llama.cpp's published results for Llama 2 7B Q4_0 come to (pp512 times 13.2
 * GOP a token; tg128 times 3.8 GB for the lower end of reading, larger models for the upper). */
#include "machines.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const machine machine_presets[MACHINE_PRESETS] = {
    {"max385-32-cpu", "Framework Desktop Max 385 32 GB, CPU", MACHINE_CPU, 27.5, 27.5, 256, 52, 62, 4.5, 6.5,
     "8 cores, one CCD: the link of one CCD bounds what they read"},
    {"max385-32-igpu", "Framework Desktop Max 385 32 GB, iGPU", MACHINE_IGPU, 16, 27.5, 256, 185, 215, 9, 13.5,
     "Radeon 8050S; more than half of the memory needs ttm.pages_limit"},
    {"max395-64-cpu", "Framework Desktop Max+ 395 64 GB, CPU", MACHINE_CPU, 59.5, 59.5, 256, 105, 122, 10, 13, "16 cores, two CCDs"},
    {"max395-64-igpu", "Framework Desktop Max+ 395 64 GB, iGPU", MACHINE_IGPU, 32, 59.5, 256, 185, 215, 12, 17,
     "Radeon 8060S; more than half of the memory needs ttm.pages_limit"},
    {"max395-128-cpu", "Framework Desktop Max+ 395 128 GB, CPU", MACHINE_CPU, 123.5, 123.5, 256, 105, 122, 10, 13, "16 cores, two CCDs"},
    {"max395-128-igpu", "Framework Desktop Max+ 395 128 GB, iGPU", MACHINE_IGPU, 64, 123.5, 256, 185, 215, 12, 17,
     "Radeon 8060S; more than half of the memory needs ttm.pages_limit"},
    {"rtx4090", "RTX 4090 24 GB", MACHINE_GPU, 23, 23, 1008, 700, 900, 155, 185, "what does not fit runs on the host's CPU"},
    {"rtx3090", "RTX 3090 24 GB", MACHINE_GPU, 23, 23, 936, 600, 800, 60, 73, "what does not fit runs on the host's CPU"},
    {"2xrtx3090", "2x RTX 3090 48 GB", MACHINE_GPU, 46, 46, 936, 580, 780, 60, 73, "layers split: the cards take turns at a token"},
    {"m3max-128", "Mac M3 Max 128 GB", MACHINE_GPU, 96, 120, 400, 250, 340, 9, 10.5, "Metal takes three quarters of the memory unless iogpu.wired_limit_mb says otherwise"},
};

const machine *machine_find(const char *name)
{
    for (int i = 0; i < MACHINE_PRESETS; i++)
        if (strcasecmp(machine_presets[i].name, name) == 0) return &machine_presets[i];
    return NULL;
}

const char *machine_names(void)
{
    static char names[512];
    size_t at = (size_t)snprintf(names, sizeof names, "this");
    for (int i = 0; i < MACHINE_PRESETS && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, ", %s", machine_presets[i].name);
    return names;
}
