/* Machines that people run models on: what their memory holds, how fast it is read, how fast they multiply. */
#ifndef CLI_MACHINES_H
#define CLI_MACHINES_H

#include "../base/error.h"

typedef enum machine_kind { MACHINE_CPU, MACHINE_IGPU, MACHINE_GPU } machine_kind;

typedef struct machine {
    const char *name, *label;
    machine_kind kind;
    double memory;       /* GiB that a model may use as the machine comes: beside the OS; of an iGPU carve-out and GTT */
    double memory_most;  /* GiB after settings that the note names; the same where there are none */
    double peak;         /* GB/s of the memory by its data sheet; 0: not known */
    double read_low, read_high; /* GB/s that decode was seen to reach */
    double tops_low, tops_high; /* 10^12 operations a second that prefill was seen to reach: 2 a weight and token */
    const char *note;    /* what the figures stand on */
} machine;

enum { MACHINE_PRESETS = 10 };
extern const machine machine_presets[MACHINE_PRESETS];

const machine *machine_find(const char *name); /* NULL where there is none of that name */
const char *machine_names(void);               /* "this, max385-32-cpu, ..." */

/* This machine: its memory (or what a cgroup leaves of it), its read bandwidth and int8 rate, measured now with so many
 * threads (0: the physical cores); about a second. */
tawny_status machine_here(int threads, machine *out, tawny_error *err);

/* The GPU whose bandwidth `gpu-bandwidth --json` measured into a file ("-": stdin); an integrated one uses this machine's
 * memory, as far as carve-out and GTT go. A device that is the CPU (Mesa's llvmpipe) is MACHINE_CPU, and its label says so. */
tawny_status machine_gpu(const char *path, machine *out, tawny_error *err);

double machine_memory_gib(void); /* of this machine: what a model may take */

#endif
