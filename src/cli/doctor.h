/* The parts of `tawny doctor`: each looks at its share of the machine and adds facts and findings. None needs root, none
 * writes, and all of them work on a recorded tree as on the machine itself. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "findings.h"
#include "tree.h"

void doctor_cpu(const tree *t, findings *f);    /* model, microarchitecture, caches, CCDs, SMT, governor, EPP */
void doctor_memory(const tree *t, findings *f); /* size, speed, channels, huge pages, swap, cgroup and container limits */
void doctor_gpu(const tree *t, findings *f);    /* amdgpu, gfx target, device nodes, VRAM and GTT, IOMMU, Vulkan, NVIDIA */
void doctor_stack(const tree *t, findings *f);  /* ROCm, firmware and kernel: pairs that are known to fail; other engines here */

/* The bandwidth that the memory's modules allow, in GB/s, as far as doctor_memory could tell; 0: not known. */
double doctor_memory_peak(const findings *f);

#endif
